"""A stream says what happens while it happens, and fails with a status as long as it can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from starlette.responses import Response, StreamingResponse

from functions import streaming
from shared import body
from shared.errors import ContentBlocked, DarkroomError
from shared.generate import Admitted, Ask, admit
from shared.providers import Inline
from shared.surfaces import Shown
from shared.work import Answer
from tests.darkroom import Darkroom, play
from tests.upstream import Gate, picture, withheld

pytestmark = pytest.mark.pictures
SKETCH = Inline(b"a sketch", "image/png")


class Words:
    """Frames that a test can read."""

    media_type = "text/plain"

    def waiting(self) -> bytes:
        return b"..."

    def sketch(self, picture: Inline) -> bytes:
        return b"[" + picture.data + b"]"

    def refusal(self, answer: Answer) -> DarkroomError | None:
        return answer.error

    def ended(self, answer: Answer, pictures: Sequence[Shown]) -> Iterable[bytes]:
        for shown in pictures:
            yield f"{shown.image.id} {bool(shown.b64_json)}".encode()

    def failed(self, error: DarkroomError) -> bytes:
        return error.code.encode()


class Clumsy(Words):
    """Frames with a fault of their own."""

    def ended(self, answer: Answer, pictures: Sequence[Shown]) -> Iterable[bytes]:
        raise ValueError("a fault")


async def begun(darkroom: Darkroom) -> Admitted:
    caller = await darkroom.app.accounts.authenticate(await darkroom.live_key())
    parsed = body.generate({"model": "gemini-3-pro-image", "prompt": "a cup"}, {})
    return await admit(darkroom.app, Ask(caller, parsed.request, parsed.fingerprint))


def chunks_of(response: Response) -> AsyncGenerator[bytes, None]:
    assert isinstance(response, StreamingResponse)
    return cast("AsyncGenerator[bytes, None]", response.body_iterator)


async def read(response: Response) -> list[bytes]:
    return [chunk async for chunk in chunks_of(response)]


async def through(admitted: Admitted, frames: streaming.Frames, *sketches: Inline) -> Response:
    book = streaming.sketchbook()
    for one in sketches:
        book.put_nowait(one)
    return await streaming.stream(admitted, book, frames, "b64_json", {"x-request-id": "r"})


def test_sketches_come_before_the_picture(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        admitted = await begun(darkroom)
        response = await through(admitted, Words(), SKETCH, SKETCH)
        *sketches, last = await read(response)
        assert sketches == [b"[a sketch]", b"[a sketch]"]
        assert last == f"img_{admitted.record.id[4:]}_0 True".encode()
        assert response.headers["x-request-id"] == "r"
        assert response.headers["cache-control"] == "no-cache"

    play(tmp_path, story, picture())


def test_silence_is_broken_by_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "KEEP_ALIVE_S", 0.001)

    async def story(darkroom: Darkroom) -> None:
        admitted = await begun(darkroom)
        response = await through(admitted, Words())
        chunks = chunks_of(response)
        assert [await anext(chunks) for _ in range(3)] == [b"..."] * 3
        gate.opened.set()
        assert [c async for c in chunks if c != b"..."] == [
            f"img_{admitted.record.id[4:]}_0 True".encode()
        ]

    gate = Gate()
    play(tmp_path, story, gate)


def test_what_fails_before_anything_was_sent_has_a_status(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        with pytest.raises(ContentBlocked):
            await through(await begun(darkroom), Words())

    play(tmp_path, story, withheld())


def test_what_fails_later_is_told_in_the_stream(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        response = await through(await begun(darkroom), Words(), SKETCH)
        assert await read(response) == [b"[a sketch]", b"content_blocked"]

    play(tmp_path, story, withheld())


def test_a_fault_of_ours_ends_the_stream_in_words(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        response = await through(await begun(darkroom), Clumsy())
        assert await read(response) == [b"internal"]

    play(tmp_path, story, picture())


def test_the_callers_time_ends_the_stream_and_not_the_work(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        admitted = await begun(darkroom)
        await gate.asked.wait()
        now = asyncio.get_running_loop().time()
        response = await through(replace(admitted, deadline=now), Words(), SKETCH)
        assert await read(response) == [b"[a sketch]", b"outcome_unknown"]
        gate.opened.set()
        assert (await admitted.end()).record.status == "succeeded"

    gate = Gate()
    play(tmp_path, story, gate)


def test_who_hangs_up_stops_nothing(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        admitted = await begun(darkroom)
        chunks = chunks_of(await through(admitted, Words(), SKETCH))
        await anext(chunks)
        await chunks.aclose()
        await asyncio.sleep(0)
        waiting = {str(task.get_coro()) for task in asyncio.all_tasks()}
        assert not [one for one in waiting if "Admitted.end" in one]
        gate.opened.set()
        assert (await admitted.end()).record.status == "succeeded"

    gate = Gate()
    play(tmp_path, story, gate)

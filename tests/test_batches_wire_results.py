"""The results of providers' batches, taken in by the whole engine, whatever state their files are
in: every paid picture is delivered once, and nothing else is charged."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from shared import batch_transport, receiving, sweep
from tests.batch_upstream import (
    PAGE,
    Asked,
    Google,
    OpenAI,
    Provider,
    google_error,
    google_line,
    google_withheld,
    openai_error,
    openai_line,
)
from tests.darkroom import Darkroom, play
from tests.upstream import png, refusal

pytestmark = pytest.mark.pictures
UNIT = 19_500
OPENAI = {"GEMINI_API_KEY": "", "OPENAI_API_KEY": "a-key"}
ROUNDS = 60


def body(items: int, model: str = "nano-banana", **fields: object) -> dict[str, Any]:
    """A batch of so many items, "i0" and so on, for the provider's own batches."""
    listed = [{"custom_id": f"i{n}", "prompt": f"cup {n}", **fields} for n in range(items)]
    return {"model": model, "items": listed, "mode": "provider"}


async def ended(darkroom: Darkroom, asked: dict[str, Any], key: str) -> dict[str, Any]:
    """A batch, from its beginning to its end, minute by minute."""
    made = await darkroom.post("/batch", asked, key)
    assert made.status_code == 202, made.text
    return await waited_for(darkroom, made.json()["id"], key)


async def waited_for(darkroom: Darkroom, batch_id: str, key: str) -> dict[str, Any]:
    """The end of a batch."""
    for _ in range(ROUNDS):
        await darkroom.deliver()
        batch: dict[str, Any] = (await darkroom.get(f"/batch/{batch_id}", key)).json()
        if batch["completed_at"] is not None:
            return batch
        darkroom.pass_time(timedelta(minutes=1))
        await sweep.sweep(darkroom.app, darkroom.now)
    raise AssertionError(f"the batch has not ended: {batch}")


async def results(darkroom: Darkroom, batch: dict[str, Any], key: str) -> dict[str, dict[str, Any]]:
    """What became of each item, by its name: each has one result."""
    answer = await darkroom.get(f"/batch/{batch['id']}/results", key)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    found = {line["custom_id"]: line for line in lines}
    assert len(found) == len(lines) == batch["counts"]["total"]
    return found


async def all_there(darkroom: Darkroom, batch: dict[str, Any], key: str, had: int) -> None:
    """Every item succeeded, once, and was charged once."""
    found = await results(darkroom, batch, key)
    missing = {n: one["error"] for n, one in found.items() if one["status"] != "succeeded"}
    assert not missing, missing
    assert batch["status"] == "succeeded"
    assert had - await darkroom.balance_micros(key) == UNIT * len(found)
    await darkroom.check()


def pictures(asked: Sequence[Asked]) -> list[bytes]:
    """A picture for each, in another order."""
    return [google_line(one.key) for one in Random(1).sample(asked, len(asked))]


def test_lines_in_any_order_with_failures_and_what_is_no_line_between(tmp_path: Path) -> None:
    def write(asked: Sequence[Asked]) -> list[bytes]:
        lines = [google_line(one.key) for one in asked[5:]]
        lines += [google_error(asked[0].key, 3), google_withheld(asked[1].key)]
        lines += [google_error(asked[2].key, 13), google_error(asked[3].key, 8)]
        # Item 4 is a web page in the middle of the file, and two have a line more than they should.
        lines += [PAGE, b"", b"[1]", google_line("99"), google_line("x"), google_line(asked[7].key)]
        lines += [google_error(asked[8].key, 13)]
        first = lines[:-3]
        return [*Random(3).sample(first, len(first)), *lines[-3:]]

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        batch = await ended(darkroom, body(40), key)
        found = await results(darkroom, batch, key)
        assert batch["counts"] == {"total": 40, "succeeded": 35, "failed": 5, "cancelled": 0}
        assert batch["status"] == "succeeded"
        codes = [found[f"i{n}"]["error"]["code"] for n in range(5)]
        assert codes == [
            "invalid_request",
            "content_blocked",
            "provider_error",
            "rate_limited",
            "provider_error",
        ]
        assert await darkroom.balance_micros(key) == 10_000_000 - 35 * UNIT
        image = found["i9"]["images"][0]
        assert (await darkroom.client.get(image["url"])).content == png()
        await darkroom.check()

    play(tmp_path, story, Google(write))


def test_lines_of_four_megabytes_that_are_mostly_signature(tmp_path: Path) -> None:
    signature = base64.b64encode(Random(5).randbytes(2_900_000)).decode()

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        batch = await ended(darkroom, body(12, "nano-banana-2", resolution="1K"), key)
        found = await results(darkroom, batch, key)
        assert {one["status"] for one in found.values()} == {"succeeded"}
        await darkroom.check()

    play(
        tmp_path,
        story,
        Google(lambda asked: [google_line(one.key, None, signature) for one in asked]),
    )


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_a_file_cut_again_and_again_is_taken_up_where_it_broke(
    tmp_path: Path, ranges: bool, seed: int
) -> None:
    random = Random(seed)
    google = Google(pictures, ranges=ranges)
    size = 60 * (len(google_line("10")) + 1)
    # From the start each time, a file that is not given out in parts breaks ever later.
    google.cuts = [random.randrange(size // 4) for _ in range(4)]
    if not ranges:
        google.cuts = [size // 5 * n + random.randrange(100) for n in range(1, 5)]

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        batch = await ended(darkroom, body(60), key)
        await all_there(darkroom, batch, key, 10_000_000)
        assert len(google.downloads) == 5
        assert google.downloads == sorted(google.downloads)
        assert google.downloads[-1] > 0
        [(_, data)] = google.batches
        whole = b"".join(line + b"\n" for line in google.write(google.asked(0)))
        assert all(start == 0 or whole[start - 1 : start] == b"\n" for start in google.downloads)
        assert len(data.splitlines()) == 60

    play(tmp_path, story, google)


def test_when_time_is_up_the_next_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    google = Google(pictures)

    async def story(darkroom: Darkroom) -> None:
        google.between = lambda: darkroom.pass_time(timedelta(seconds=100))
        key = await darkroom.live_key()
        batch = await ended(darkroom, body(400), key)
        await all_there(darkroom, batch, key, 10_000_000)
        assert len(google.downloads) > 2
        assert google.downloads == sorted(set(google.downloads))

    play(tmp_path, story, google)


def test_a_file_that_was_read_to_its_end_before_its_reader_died(tmp_path: Path) -> None:
    """The next one asks for what follows the last byte, which is nothing (416)."""

    def write(asked: Sequence[Asked]) -> list[bytes]:
        return [openai_line(one.key) for one in asked[1:]] + [
            openai_error(asked[0].key, 400, "moderation_blocked")
        ]

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        asked = body(20, "gpt-image-1.5", quality="low")
        whole = sum(len(openai_line(str(n))) + 1 for n in range(1, 20))
        advance, died = darkroom.app.records.advance_batch, False

        async def dying(batch: Any, *rest: Any) -> Any:
            nonlocal died
            if not died and any(job.file == 1 for job in batch.jobs):
                died = True
                raise OSError("the disk is gone")
            return await advance(batch, *rest)

        darkroom.app.records.advance_batch = dying  # type: ignore[method-assign, assignment]
        batch = await ended(darkroom, asked, key)
        assert died
        assert whole in provider.downloads
        found = await results(darkroom, batch, key)
        assert batch["counts"]["succeeded"] == 19
        assert found["i0"]["error"]["code"] == "content_blocked"
        assert batch["status"] == "succeeded"
        await darkroom.check()

    provider = OpenAI(write)
    play(tmp_path, story, provider, env=OPENAI)


@pytest.mark.parametrize(
    "fault",
    [
        refusal(500, "INTERNAL"),
        refusal(503, "UNAVAILABLE"),
        refusal(429, "RESOURCE_EXHAUSTED"),
        refusal(401, "UNAUTHENTICATED"),
        httpx.Response(200, text="<html>"),
        httpx.Response(502, text="<html>"),
        httpx.ReadTimeout("lost"),
    ],
    ids=str,
)
@pytest.mark.parametrize("where", ["/batches/b0", "/download/"])
def test_a_fault_on_the_way_to_results_that_are_paid_is_not_their_end(
    tmp_path: Path, where: str, fault: httpx.Response | Exception
) -> None:
    google = Google(pictures)

    async def fine(request: httpx.Request) -> httpx.Response:
        return google.answer(request)

    # The look that finds it done is fine.
    google.faults = {where: [fault] if where == "/download/" else [fine, fault]}

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        batch = await ended(darkroom, body(20), key)
        await all_there(darkroom, batch, key, 10_000_000)

    play(tmp_path, story, google)


def test_a_picture_that_storage_refuses_for_a_while_is_not_lost(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        storage, refused = darkroom.app.storage, 0
        put = storage.put

        async def failing(name: str, *rest: Any) -> bool:
            nonlocal refused
            if name.startswith("images/") and name.endswith("-20/0") and refused < 3:
                refused += 1
                raise OSError("no space left")
            return await put(name, *rest)

        storage.put = failing  # type: ignore[method-assign, assignment]
        batch = await ended(darkroom, body(60), key)
        assert refused == 3
        await all_there(darkroom, batch, key, 10_000_000)

    play(tmp_path, story, Google(pictures))


def test_openai_s_two_files(tmp_path: Path) -> None:
    def write(asked: Sequence[Asked]) -> list[bytes]:
        good = [openai_line(one.key) for one in asked[3:]]
        return [
            *Random(2).sample(good, len(good)),
            PAGE.rstrip(b"\n"),
            openai_error(asked[0].key, 400, "moderation_blocked"),
            openai_error(asked[1].key, 429, "rate_limit_exceeded"),
        ]

    async def story(darkroom: Darkroom) -> None:
        provider.cuts = [300, 900, 200]
        key = await darkroom.live_key()
        asked = body(30, "gpt-image-1.5", quality="low")
        batch = await ended(darkroom, asked, key)
        found = await results(darkroom, batch, key)
        assert batch["counts"] == {"total": 30, "succeeded": 27, "failed": 3, "cancelled": 0}
        codes = [found[f"i{n}"]["error"]["code"] for n in range(3)]
        assert codes == ["content_blocked", "rate_limited", "provider_error"]
        await darkroom.check()

    provider = OpenAI(write)
    play(tmp_path, story, provider, env=OPENAI)


@pytest.mark.parametrize("provider", [Google(pictures), OpenAI(lambda _: [])], ids=["a", "b"])
def test_a_batch_that_expired_gives_out_what_was_made(tmp_path: Path, provider: Provider) -> None:
    if isinstance(provider, Google):
        provider.state = "BATCH_STATE_EXPIRED"
        model = "nano-banana"
    else:
        provider.state, model = "expired", "gpt-image-1.5"
        provider.write = lambda asked: [openai_line(one.key) for one in asked]
    whole = provider.write
    provider.write = lambda asked: whole(asked[:20])

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        batch = await ended(darkroom, body(30, model), key)
        found = await results(darkroom, batch, key)
        assert batch["counts"]["succeeded"] == 20
        assert batch["counts"]["failed"] == 10
        assert batch["status"] == "expired"
        assert found["i29"]["error"]["code"] == "provider_unavailable"
        await darkroom.check()

    play(tmp_path, story, provider, env=OPENAI if isinstance(provider, OpenAI) else None)


def test_a_file_that_ends_in_the_middle_of_a_line_is_asked_for_again(tmp_path: Path) -> None:
    google = Google(pictures)

    async def short(request: httpx.Request) -> httpx.Response:
        data = b"".join(line + b"\n" for line in pictures(google.asked(0)))
        return httpx.Response(200, content=data[: len(data) // 2])

    google.faults = {"/download/": [short]}

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        batch = await ended(darkroom, body(20), key)
        await all_there(darkroom, batch, key, 10_000_000)

    play(tmp_path, story, google)


def test_a_line_that_is_too_long_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_transport, "MAX_LINE_BYTES", 20_000)

    def write(asked: Sequence[Asked]) -> list[bytes]:
        return [
            google_line(one.key, None, "x" * 30_000 if n == 3 else "")
            for n, one in enumerate(asked)
        ]

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        batch = await ended(darkroom, body(20), key)
        assert batch["counts"]["succeeded"] == 19
        await darkroom.check()

    play(tmp_path, story, Google(write))


def test_results_in_an_answer_that_is_longer_than_an_answer_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten pictures of 4K and what was thought of them, which Google sends twice, are."""
    monkeypatch.setattr(receiving, "MAX_ANSWER_BYTES", 4_000)

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        batch = await ended(darkroom, body(8), key)
        await all_there(darkroom, batch, key, 10_000_000)

    def write(asked: Sequence[Asked]) -> list[bytes]:
        return [google_line(one.key, None, "x" * 500) for one in asked]

    play(tmp_path, story, Google(write))


def test_a_batch_that_is_cancelled_is_called_back_at_once(tmp_path: Path) -> None:
    google = Google(pictures, state="BATCH_STATE_RUNNING")

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        made = await darkroom.post("/batch", body(20), key)
        for _ in range(5):
            await darkroom.deliver()
            darkroom.pass_time(timedelta(hours=1))
            await sweep.sweep(darkroom.app, darkroom.now)
        await darkroom.deliver()
        await darkroom.post(f"/batch/{made.json()['id']}/cancel", {}, key)
        await darkroom.deliver()
        assert google.calls[-2].url.path.endswith(":cancel")

    play(tmp_path, story, google)

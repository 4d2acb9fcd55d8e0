"""Batches on their way in: who cannot begin one is told before the work, small bodies do no large
work, and a commit whose answer is lost loses nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared import batch_intake, batch_lines, batches
from shared.batch_domain import Batch
from shared.batch_intake import BadItems
from shared.batch_items import BatchAsk
from shared.domain import Limits
from shared.errors import DarkroomError, InsufficientCredit, PayloadTooLarge, RateLimited
from shared.ledger import Reservation
from tests.darkroom import TEST_KEY, Darkroom, play
from tests.functions.test_batch import MODEL, UNIT_USD, ended, items, live, results, unused

pytestmark = pytest.mark.pictures
ITEM = b'{"custom_id": "a", "model": "nano-banana", "prompt": "x"}\n'


async def given(pieces: Sequence[bytes], read: list[int] | None = None) -> AsyncIterator[bytes]:
    """A file in pieces; `read` gets the length of each that was asked for."""
    for piece in pieces:
        if read is not None:
            read.append(len(piece))
        yield piece


async def asked(darkroom: Darkroom, source: AsyncIterator[bytes], key: str = TEST_KEY) -> BatchAsk:
    """A batch of that file."""
    caller = await darkroom.app.accounts.authenticate(key)
    return BatchAsk(caller, source, batch_lines.native({}, {}), "fingerprint")


async def refused(darkroom: Darkroom, ask: BatchAsk) -> DarkroomError:
    """Why a batch was not taken in; nothing is left of it."""
    with pytest.raises(DarkroomError) as why:
        await batches.create(darkroom.app, ask)
    assert await darkroom.app.storage.list("items/") == ()
    assert (await darkroom.get("/batch")).json()["data"] == []
    return why.value


def lines_of(error: DarkroomError) -> list[dict[str, Any]]:
    """What is told of which lines."""
    told = error.details["lines"]
    assert isinstance(error, BadItems)
    assert isinstance(told, list)
    return told


def test_one_whose_answer_is_lost_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(darkroom: Darkroom) -> None:
        live(darkroom)
        key = await darkroom.live_key()
        begin = darkroom.app.records.begin_batch

        async def lost(batch: Batch, reservation: Reservation) -> Batch:
            await begin(batch, reservation)
            raise ConnectionError("the answer was lost")

        body = {"model": MODEL, "items": items(3), "mode": "fanout"}
        with monkeypatch.context() as patched:
            patched.setattr(darkroom.app.records, "begin_batch", lost)
            answer = await darkroom.post("/batch", body, key, idempotency_key="k")
            assert answer.status_code == 500
        again = await darkroom.post("/batch", body, key, idempotency_key="k")
        assert again.status_code == 202
        [batch] = (await darkroom.get("/batch", key)).json()["data"]
        assert batch["id"] == again.json()["id"]
        darkroom.pass_time(timedelta(minutes=1))
        done = await ended(darkroom, batch, key)
        assert (done["status"], done["counts"]["succeeded"]) == ("succeeded", 3)
        assert len(await results(darkroom, batch, key)) == 3
        assert await darkroom.balance_micros(key) == 10_000_000 - 3 * UNIT_USD
        await darkroom.check()

    play(tmp_path, story, unused)


def test_one_that_another_has_begun_meanwhile_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(darkroom: Darkroom) -> None:
        body, key = {"model": MODEL, "items": items(1)}, await darkroom.live_key()
        sent = (darkroom.post("/batch", body, key, idempotency_key="k") for _ in range(3))
        answers = await asyncio.gather(*sent)
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert len(await darkroom.app.storage.list("items/")) == 1
        await darkroom.check()

    play(tmp_path, story, unused)


@pytest.mark.parametrize(
    ("usd", "limits", "error"),
    [(0, Limits(), InsufficientCredit), (10, Limits(rpm=1), RateLimited)],
)
def test_who_cannot_begin_one_is_told_before_the_work(
    tmp_path: Path, usd: int, limits: Limits, error: type[DarkroomError]
) -> None:
    async def story(darkroom: Darkroom) -> None:
        live(darkroom)
        key, read = await darkroom.live_key(usd, limits), list[int]()
        if usd:
            first = {"model": MODEL, "prompt": "x"}
            assert (await darkroom.post("/generate", first, key)).status_code == 200
        ask = await asked(darkroom, given([ITEM], read), key)
        assert isinstance(await refused(darkroom, ask), error)
        assert read == []

    play(tmp_path, story, unused)


def test_what_the_defaults_add_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_intake, "MAX_BYTES", 50_000)

    async def story(darkroom: Darkroom) -> None:
        defaults = {"prompt": "x" * 6000, "model": MODEL}
        some = [{"custom_id": f"i{n}"} for n in range(20)]
        answer = await darkroom.post("/batch", {"defaults": defaults, "items": some})
        assert (answer.status_code, answer.json()["error"]["param"]) == (413, "items")
        assert await darkroom.app.storage.list("items/") == ()
        fewer = {"defaults": defaults, "items": some[:5]}
        assert (await darkroom.post("/batch", fewer)).status_code == 202

    play(tmp_path, story)


def test_empty_lines_do_not_stop_the_world(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0)

        beating = asyncio.create_task(beat())
        read: list[int] = []
        ask = await asked(darkroom, given([b"\n" * 60_000] * 10, read))
        assert isinstance(await refused(darkroom, ask), PayloadTooLarge)
        beating.cancel()
        assert read == [60_000] * 2
        assert beats > 500
        few = await asked(darkroom, given([b"\n" * 1000, ITEM, b"\n" * 1000]))
        assert (await batches.create(darkroom.app, few)).counts.total == 1

    play(tmp_path, story)


def bomb(values: int) -> bytes:
    """A line of many tiny values."""
    many = b"[]," * values
    return ITEM.strip()[:-1] + b', "options": {"a": [' + many + b"[]]}}\n"


def test_a_line_of_many_tiny_values_is_refused_unread(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        ask = await asked(darkroom, given([ITEM, bomb(100_000)]))
        understood: list[bytes] = []

        def parse(line: bytes) -> Any:
            understood.append(line)
            return batch_lines.native({}, {})(line)

        seen = BatchAsk(ask.caller, ask.source, parse, ask.fingerprint)
        [told] = lines_of(await refused(darkroom, seen))
        assert (told["line"], "values" in told["message"]) == (2, True)
        assert understood == [ITEM.strip()]

    play(tmp_path, story)


def test_what_is_told_of_a_line_is_short(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        fields = {"custom_id": "a", "prompt": "x", "p" * 5000: 1}
        some = [json.dumps(fields).encode() + b"\n"] * 150
        error = await refused(darkroom, await asked(darkroom, given(some)))
        told = lines_of(error)
        assert (error.details["bad"], len(told)) == (150, batch_intake.MAX_TOLD)
        assert len(json.dumps(told[0])) < 800
        assert len(error.message) < 800

    play(tmp_path, story)


def test_the_line_that_goes_one_way_too_many_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_intake, "MAX_GROUPS", 1)

    async def story(darkroom: Darkroom) -> None:
        other = ITEM.replace(b'"a"', b'"b"').replace(b"nano-banana", b"gpt-image")
        error = await refused(darkroom, await asked(darkroom, given([ITEM, other])))
        assert [(told["line"], told["param"]) for told in lines_of(error)] == [(2, "model")]

    play(tmp_path, story)


def test_an_item_has_no_metadata_of_its_own(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        some = [*items(1), {"custom_id": "b", "prompt": "x", "metadata": {"a": "b"}}]
        answer = await darkroom.post("/batch", {"model": MODEL, "items": some})
        assert answer.status_code == 400
        told = answer.json()["error"]["details"]["lines"]
        assert [(one["line"], one["param"]) for one in told] == [(2, "metadata")]

    play(tmp_path, story)

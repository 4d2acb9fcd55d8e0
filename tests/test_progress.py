"""What was tried of a request that nobody waits for is seen while more is tried, and writing that
down costs nobody their picture."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from shared.domain import Record
from tests.darkroom import Darkroom, play
from tests.test_queued import queued, seen
from tests.upstream import Gate, picture, refusal, withheld

pytestmark = pytest.mark.pictures
BUSY = refusal(429, "RESOURCE_EXHAUSTED")


async def tried(darkroom: Darkroom, request_id: str, key: str) -> dict[str, Any]:
    """The running request once what was tried of it is written down, which nobody waits for."""
    for _ in range(200):
        running = await seen(darkroom, request_id, key)
        if running["attempts"]:
            break
    return running


def test_attempts_are_seen_while_more_is_tried(tmp_path: Path) -> None:
    gate = Gate()

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        request = await queued(darkroom, key)
        making = asyncio.create_task(darkroom.deliver())
        await gate.asked.wait()
        running = await tried(darkroom, request["id"], key)
        gate.opened.set()
        assert running["status"] == "running"
        assert [one["outcome"] for one in running["attempts"]] == ["rate_limited"]
        await making
        made = await seen(darkroom, request["id"], key)
        assert made["status"] == "succeeded"
        assert [one["outcome"] for one in made["attempts"]] == ["rate_limited", "succeeded"]
        await darkroom.check()

    play(tmp_path, story, BUSY, gate)


def test_one_is_cancelled_between_two_tries(tmp_path: Path) -> None:
    gate = Gate()

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        before = await darkroom.balance_micros(key)
        request = await queued(darkroom, key)
        making = asyncio.create_task(darkroom.deliver())
        await gate.asked.wait()
        await tried(darkroom, request["id"], key)
        await darkroom.post(f"/account/requests/{request['id']}/cancel", {}, key)
        gate.opened.set()
        await making
        ended = await seen(darkroom, request["id"], key)
        assert (ended["status"], ended["images"]) == ("cancelled", [])
        assert [one["outcome"] for one in ended["attempts"]] == ["rate_limited"]
        assert await darkroom.balance_micros(key) == before
        await darkroom.check()

    play(tmp_path, story, BUSY, gate)


def test_one_that_was_cancelled_is_not_ended_again(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        before = await darkroom.balance_micros(key)
        request = await queued(darkroom, key)
        advance, lost = darkroom.app.records.advance, list[Record]()

        async def overtaken(record: Record) -> Record:
            if record.attempts:
                lost.append(record)
                await darkroom.post(f"/account/requests/{record.id}/cancel", {}, key)
            return await advance(record)

        darkroom.app.records.advance = overtaken  # type: ignore[method-assign]
        await darkroom.deliver()
        assert len(lost) == 1
        ended = await seen(darkroom, request["id"], key)
        assert (ended["status"], ended["images"]) == ("cancelled", [])
        assert await darkroom.balance_micros(key) == before
        await darkroom.check()

    play(tmp_path, story, BUSY, BUSY, picture())


@pytest.mark.parametrize("written", [True, False])
def test_a_write_that_fails_loses_no_picture(tmp_path: Path, written: bool) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        request = await queued(darkroom, key)
        advance = darkroom.app.records.advance

        async def lose(record: Record) -> Record:
            if record.attempts:
                if written:
                    await advance(record)
                raise ConnectionError
            return await advance(record)

        darkroom.app.records.advance = lose  # type: ignore[method-assign]
        await darkroom.deliver()
        made = await seen(darkroom, request["id"], key)
        assert (made["status"], len(made["images"])) == ("succeeded", 1)
        await darkroom.check()

    play(tmp_path, story, BUSY, picture())


def test_nothing_is_written_of_a_try_that_was_the_last(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        request = await queued(darkroom, key)
        advance, states = darkroom.app.records.advance, list[str]()

        async def counted(record: Record) -> Record:
            states.append(record.status)
            return await advance(record)

        darkroom.app.records.advance = counted  # type: ignore[method-assign]
        await darkroom.deliver()
        failed = await seen(darkroom, request["id"], key)
        assert (failed["status"], len(failed["attempts"])) == ("failed", 1)
        # Only that it runs now.
        assert states == ["running"]

    play(tmp_path, story, withheld())

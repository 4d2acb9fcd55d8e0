"""What a client sends again finds the first answer, and is paid once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from shared import body, repeats
from shared.domain import Caller
from shared.errors import DarkroomError, InProgress
from shared.generate import Answer, Ask, admit, run
from tests.darkroom import Darkroom, play
from tests.upstream import picture, refusal

pytestmark = pytest.mark.pictures
CUP = {"model": "gemini-3-pro-image", "prompt": "a cup"}


async def asked(darkroom: Darkroom, key: str, **changes: object) -> Ask:
    caller = await darkroom.app.accounts.authenticate(key)
    parsed = body.generate({**CUP, **changes})
    return Ask(caller, parsed.request, parsed.fingerprint)


async def charged(darkroom: Darkroom, caller: Caller) -> list[int]:
    page = await darkroom.app.records.entries(caller.account_id, 100, None)
    return [entry.micros for entry in page.items if entry.kind == "charge"]


def test_a_repeat_finds_the_first_answer_and_is_charged_once(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        ask = await asked(darkroom, await darkroom.live_key())
        first = await run(darkroom.app, ask)
        again = await run(darkroom.app, replace(ask, repeated=True))
        assert (again.record.id, again.replayed) == (first.record.id, True)
        assert await charged(darkroom, ask.caller) == [-134_000]

    play(tmp_path, story, picture())


def test_the_same_asked_twice_on_purpose_is_made_twice(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        ask = await asked(darkroom, await darkroom.live_key())
        first, second = await run(darkroom.app, ask), await run(darkroom.app, ask)
        assert first.record.id != second.record.id
        assert len(await charged(darkroom, ask.caller)) == 2

    play(tmp_path, story, picture(), picture())


def test_a_repeat_waits_for_the_first_while_it_runs(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        ask = await asked(darkroom, await darkroom.live_key())
        admitted = await admit(darkroom.app, ask)
        again = await run(darkroom.app, replace(ask, repeated=True))
        assert again.record.id == admitted.record.id
        assert again.record.status == "succeeded"
        assert (await admitted.end()).record.id == again.record.id
        assert len(await charged(darkroom, ask.caller)) == 1

    play(tmp_path, story, picture())


def test_a_repeat_under_an_idempotency_key_is_told_to_wait_as_the_contract_says(
    tmp_path: Path,
) -> None:
    async def story(darkroom: Darkroom) -> None:
        ask = replace(await asked(darkroom, await darkroom.live_key()), idempotency_key="k")
        admitted = await admit(darkroom.app, ask)
        with pytest.raises(InProgress):
            await run(darkroom.app, replace(ask, repeated=True))
        await admitted.end()

    play(tmp_path, story, picture())


@pytest.mark.parametrize("changed", ["body", "key", "late", "failed"])
def test_what_is_no_repeat_is_made_anew(tmp_path: Path, changed: str) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        ask = await asked(darkroom, key)
        first = await run(darkroom.app, ask)
        if changed == "body":
            ask = await asked(darkroom, key, prompt="a plate")
        if changed == "key":
            ask = replace(ask, caller=replace(ask.caller, key_id="key_other"))
        if changed == "late":
            darkroom.pass_time(repeats.WINDOW + timedelta(seconds=1))
        second = await run(darkroom.app, replace(ask, repeated=True))
        assert second.record.id != first.record.id
        assert second.record.status == "succeeded"

    refused = refusal(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
    play(tmp_path, story, refused if changed == "failed" else picture(), picture())


def test_a_failed_request_says_what_it_ended_with(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        answer = await run(darkroom.app, await asked(darkroom, await darkroom.live_key()))
        assert isinstance(answer.error, DarkroomError)
        assert (answer.error.code, answer.error.request_id) == ("invalid_request", answer.record.id)
        assert not answer.error.paid
        assert Answer(replace(answer.record, status="succeeded")).error is None

    play(tmp_path, story, refusal(400, "INVALID_ARGUMENT", "Request contains an invalid argument."))


def test_waiting_ends_with_the_callers_time(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        ask = await asked(darkroom, await darkroom.live_key())
        admitted = await admit(darkroom.app, ask)
        now = asyncio.get_running_loop().time()
        assert (await repeats.ended(darkroom.app, admitted.record, now)).open
        await admitted.end()

    play(tmp_path, story, picture())

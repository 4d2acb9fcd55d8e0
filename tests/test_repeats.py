"""What a client sends again finds the first answer, and is paid once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from shared import body, repeats
from shared.domain import Caller, Limits
from shared.errors import DarkroomError, InProgress, OutcomeUnknown, RateLimited
from shared.generate import Ask, admit, run
from shared.work import Answer
from tests.darkroom import Darkroom, play
from tests.upstream import picture, refusal

pytestmark = pytest.mark.pictures
CUP = {"model": "gemini-3-pro-image", "prompt": "a cup"}


async def asked(darkroom: Darkroom, key: str, **changes: object) -> Ask:
    caller = await darkroom.app.accounts.authenticate(key)
    parsed = body.generate({**CUP, **changes}, {})
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


@pytest.mark.parametrize("repeated", [True, False])
def test_under_an_idempotency_key_only_who_repeats_waits(tmp_path: Path, repeated: bool) -> None:
    async def story(darkroom: Darkroom) -> None:
        ask = replace(await asked(darkroom, await darkroom.live_key()), idempotency_key="k")
        admitted = await admit(darkroom.app, ask)
        again = replace(ask, repeated=repeated)
        if repeated:
            assert (await run(darkroom.app, again)).record.id == admitted.record.id
        else:
            with pytest.raises(InProgress):
                await run(darkroom.app, again)
        await admitted.end()

    play(tmp_path, story, picture())


def test_a_repeat_waits_for_a_first_try_that_is_not_in_yet(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        ask = await asked(darkroom, await darkroom.live_key())
        first = asyncio.create_task(run(darkroom.app, ask))
        await asyncio.sleep(0)
        again = await run(darkroom.app, replace(ask, repeated=True))
        assert again.record.id == (await first).record.id
        assert len(await charged(darkroom, ask.caller)) == 1

    play(tmp_path, story, picture())


def test_a_repeat_of_what_was_refused_is_no_repeat_of_what_was_answered(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        darkroom.pass_time(timedelta(seconds=45))
        ask = await asked(darkroom, await darkroom.live_key(limits=Limits(rpm=1)))
        first = await run(darkroom.app, ask)
        with pytest.raises(RateLimited):
            await run(darkroom.app, ask)
        # The next minute comes before the first answer counts as received.
        darkroom.pass_time(timedelta(seconds=20))
        second = await run(darkroom.app, replace(ask, repeated=True))
        assert second.record.id != first.record.id

    play(tmp_path, story, picture(), picture())


def test_a_repeat_of_what_failed_is_no_repeat_of_what_was_answered(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        ask = await asked(darkroom, await darkroom.live_key())
        first = await run(darkroom.app, ask)
        darkroom.pass_time(timedelta(seconds=1))
        assert (await run(darkroom.app, ask)).error is not None
        darkroom.pass_time(timedelta(seconds=1))
        third = await run(darkroom.app, replace(ask, repeated=True))
        assert third.record.id != first.record.id
        assert third.record.status == "succeeded"

    bad = refusal(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
    play(tmp_path, story, picture(), bad, picture())


def test_who_sent_alike_at_once_find_one_each(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        ask = await asked(darkroom, await darkroom.live_key())
        firsts = await asyncio.gather(*(run(darkroom.app, ask) for _ in range(3)))
        again = replace(ask, repeated=True)
        found = [await run(darkroom.app, again) for _ in range(3)]
        assert {a.record.id for a in found} == {a.record.id for a in firsts}
        assert len(await charged(darkroom, ask.caller)) == 3

    play(tmp_path, story, picture())


def test_each_refused_try_may_be_sent_again(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        limits = Limits(concurrency=1)
        ask = await asked(darkroom, await darkroom.live_key(limits=limits))
        admitted = await admit(darkroom.app, ask)
        for _ in range(2):
            with pytest.raises(RateLimited):
                await run(darkroom.app, ask)
        await admitted.end()
        again = replace(ask, repeated=True)
        found = [(await run(darkroom.app, again)).record.id for _ in range(3)]
        # The third is the first try's own.
        assert len({*found, admitted.record.id}) == 3

    play(tmp_path, story, picture())


@pytest.mark.parametrize("before", ["refused", "failed"])
def test_what_went_wrong_long_ago_is_not_what_is_repeated(tmp_path: Path, before: str) -> None:
    async def story(darkroom: Darkroom) -> None:
        ask = await asked(darkroom, await darkroom.live_key(limits=Limits(rpm=1)))
        await run(darkroom.app, ask)
        if before == "refused":
            with pytest.raises(RateLimited):
                await run(darkroom.app, ask)
        darkroom.pass_time(repeats.AGAIN + timedelta(seconds=1))
        admitted = await admit(darkroom.app, ask)
        again = await run(darkroom.app, replace(ask, repeated=True))
        assert again.record.id == admitted.record.id

    bad = refusal(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
    play(tmp_path, story, bad if before == "failed" else picture(), picture())


def test_a_first_try_is_found_among_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "_PAGE", 1)

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        ask = await asked(darkroom, key)
        first = await run(darkroom.app, ask)
        for prompt in ("a plate", "a spoon", "a fork"):
            darkroom.pass_time(timedelta(seconds=1))
            await run(darkroom.app, await asked(darkroom, key, prompt=prompt))
        # Another instance knows of it by its record only.
        darkroom.app.tries = repeats.Tries()
        again = await run(darkroom.app, replace(ask, repeated=True))
        assert again.record.id == first.record.id
        darkroom.app.tries = repeats.Tries()
        monkeypatch.setattr(repeats, "_PAGES", 3)
        again = await run(darkroom.app, replace(ask, repeated=True))
        assert again.record.id != first.record.id

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
            darkroom.pass_time(repeats.LOST + timedelta(seconds=1))
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
        with pytest.raises(OutcomeUnknown):
            await repeats.ended(darkroom.app, admitted.record, now)
        await admitted.end()


def test_another_instance_looks_until_it_has_ended(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        admitted = await admit(darkroom.app, await asked(darkroom, await darkroom.live_key()))
        elsewhere = replace(darkroom.app, _work={})
        later = asyncio.get_running_loop().time() + 60
        ended = await repeats.ended(elsewhere, admitted.record, later)
        assert (ended.id, ended.status) == (admitted.record.id, "succeeded")
        assert darkroom.slept[0] == 1.0

    play(tmp_path, story, picture())


def test_who_was_told_to_look_later_finds_the_first_answer(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        ask = await asked(darkroom, await darkroom.live_key())
        admitted = await admit(darkroom.app, ask)
        assert not darkroom.app.tries.late(ask.sent)
        with pytest.raises(OutcomeUnknown):
            await replace(admitted, deadline=0.0).end()
        assert darkroom.app.tries.late(ask.sent)
        again = await run(darkroom.app, replace(ask, repeated=True))
        assert again.record.id == admitted.record.id
        assert not darkroom.app.tries.late(ask.sent)

    play(tmp_path, story, picture())

"""The operator's commands for what did not arrive: dead events and webhooks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from shared import webhooks
from shared.app import utc_now
from shared.domain import Notice
from shared.events import Event
from shared.events.local import TRIES, Local
from shared.records import Records, Stale
from shared.records.documents import NOTICE_LIFE
from tests import command_line
from tests.command_line import on_terminal, ran, shown, table, write
from tests.records.scene import account, admit_batch, batch_draft, ended_batch, notice_of

ONE, TWO = Event("requests", "acc", "req_1"), Event("batch-callbacks", "acc", "bat_1")
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return command_line.fresh(tmp_path, monkeypatch)


def died(data: Path, *events: Event) -> None:
    """Have events fail so often that nobody tries them any more."""

    async def fails(event: Event) -> None:
        raise RuntimeError(f"no {event.subject}\x1b[31m")

    async def whole() -> None:
        now = utc_now() - DAY
        local = Local(data / "events.db", lambda: now)
        for event in events:
            await local.publish(event)
            for _ in range(TRIES):
                now += timedelta(minutes=2)
                await local.deliver_due(fails)
        await local.close()

    asyncio.run(whole())


def delivered(data: Path) -> list[Event]:
    """What the process that serves delivers next."""
    found: list[Event] = []

    async def takes(event: Event) -> None:
        found.append(event)

    async def whole() -> None:
        local = Local(data / "events.db", utc_now)
        await local.deliver_due(takes)
        await local.close()

    asyncio.run(whole())
    return found


def given_up(data: Path, *states: Any, ago: timedelta = -DAY) -> list[str]:
    """A webhook in each of the states, of a batch each; returns their ids."""
    ids: list[str] = []

    async def put(records: Records) -> None:
        await records.create_account(account())
        for number, state in enumerate(states):
            fresh = await admit_batch(records, batch_draft(f"bat_{number}", 0))
            notice = notice_of(fresh.id, utc_now() - ago)
            await records.advance_batch(ended_batch(fresh), None, notice)
            known = await records.notice(notice.id)
            assert known is not None
            after = replace(known, state=state, tries=3, failure="The receiver answered 500.")
            await records.update_notice(after)
            ids.append(notice.id)

    write(data, put)
    return ids


def notice(data: Path, notice_id: str) -> Notice:
    found: list[Notice | None] = []

    async def look(records: Records) -> None:
        found.append(await records.notice(notice_id))

    write(data, look)
    assert found[0] is not None
    return found[0]


def test_dead_events_are_listed_with_how_they_failed(data: Path) -> None:
    died(data, ONE, TWO)
    first, second = shown("events", "dead", "list")["data"]
    assert (first["topic"], first["account"], first["subject"]) == ("requests", "acc", "req_1")
    assert (first["tries"], second["subject"]) == (TRIES, "bat_1")
    assert first["error"].startswith("RuntimeError: no req_1")
    printed = ran("events", "dead", "list")
    assert "\x1b" not in printed.stdout
    assert [row[4] for row in table(printed)] == ["SUBJECT", "req_1", "bat_1"]
    short = ran("events", "dead", "list", "--limit", "1")
    assert (len(table(short)), "--limit" in short.stderr) == (2, True)
    assert ran("events", "dead", "list", "--limit", "2").stderr == ""


@pytest.mark.parametrize("command", [("events", "dead", "replay"), ("events", "replay")])
def test_a_dead_event_is_delivered_again(data: Path, command: tuple[str, ...]) -> None:
    died(data, ONE, TWO)
    first, second = shown("events", "dead", "list")["data"]
    assert delivered(data) == []
    assert shown(*command, second["id"]) == {"id": second["id"], "replayed": True}
    assert shown("events", "dead", "list")["data"] == [first]
    assert delivered(data) == [TWO]
    assert ran(*command, second["id"], code=1).stdout == ""


def test_all_dead_events_are_delivered_again_at_once(data: Path) -> None:
    died(data, ONE, TWO)
    ids = [one["id"] for one in shown("events", "dead", "list")["data"]]
    assert [one["id"] for one in shown("events", "dead", "replay", "--all")["data"]] == ids
    assert {event.subject for event in delivered(data)} == {"req_1", "bat_1"}
    assert shown("events", "dead", "replay", "--all")["data"] == []


@pytest.mark.parametrize("group", [("events", "dead"), ("events",), ("webhooks",)])
@pytest.mark.parametrize("which", [(), ("77", "--all")])
def test_a_replay_is_of_one_or_of_all(group: tuple[str, ...], which: tuple[str, ...]) -> None:
    ran(*group, "replay", *which, code=2)


def test_webhooks_that_have_not_arrived_are_listed(data: Path) -> None:
    due, dead, _ = given_up(data, "due", "dead", "delivered")
    assert [one["id"] for one in shown("webhooks", "list")["data"]] == [dead, due]
    (one,) = shown("webhooks", "list", "--dead")["data"]
    assert (one["id"], one["tries"], one["due_at"]) == (dead, 3, None)
    assert (one["subject"], one["failure"]) == ("bat_1", "The receiver answered 500.")
    short = ran("webhooks", "list", "--limit", "1")
    assert (len(table(short)), "--limit" in short.stderr) == (2, True)


@pytest.mark.parametrize("state", ["due", "dead", "delivered"])
def test_a_webhook_is_sent_again_whatever_became_of_it(data: Path, state: str) -> None:
    (notice_id,) = given_up(data, state)
    again = shown("webhooks", "replay", notice_id)
    assert (again["state"], again["tries"], again["failure"]) == ("due", 0, None)
    assert notice(data, notice_id).due_at <= utc_now()


def test_all_dead_webhooks_are_sent_again(data: Path) -> None:
    _, *dead = given_up(data, "due", "dead", "dead")
    assert {one["id"] for one in shown("webhooks", "replay", "--all")["data"]} == set(dead)
    assert all(notice(data, one).state == "due" for one in dead)
    assert shown("webhooks", "list", "--dead")["data"] == []


def test_sending_many_again_is_asked_about_and_counted(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = given_up(data, "dead", "dead")

    def replay(*options: str, stdin: str = "", code: int = 0) -> Result:
        command = ("webhooks", "replay", "--all", *options)
        return on_terminal(monkeypatch, *command, stdin=stdin, code=code)

    assert "Send 2 webhooks" in replay(stdin="n\n", code=1).stderr
    assert {notice(data, one).state for one in dead} == {"dead"}
    seen = replay(stdin="y\n")
    assert ("2/2" in seen.stderr, "msg_bat_1" in seen.stdout) == (True, True)
    assert {notice(data, one).state for one in dead} == {"due"}
    assert "Send" not in replay().stderr


def test_dead_events_are_counted_while_they_are_delivered_again(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    died(data, ONE, TWO)
    assert "2/2" in on_terminal(monkeypatch, "events", "replay", "--all").stderr


def test_webhooks_that_ended_long_ago_are_forgotten(data: Path) -> None:
    due, dead = given_up(data, "due", "dead", ago=NOTICE_LIFE)
    assert [one["id"] for one in shown("webhooks", "list")["data"]] == [due]
    assert shown("webhooks", "replay", "--all")["data"] == []
    assert dead in ran("webhooks", "replay", dead, code=1).stderr
    assert shown("webhooks", "replay", due)["state"] == "due"


def test_a_webhook_that_is_being_sent_is_left_alone(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dead,) = given_up(data, "dead")

    async def busy(*_: object) -> None:
        raise Stale

    monkeypatch.setattr(webhooks, "replay", busy)
    refused = ran("webhooks", "replay", dead, code=1)
    assert (refused.stdout, dead in refused.stderr) == ("", True)
    assert shown("webhooks", "replay", "--all")["data"] == []

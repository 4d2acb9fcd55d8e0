"""The operator's commands for batches: what is shown, when watching ends, and who is pushed."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared import batch_lines, names
from shared.app import utc_now
from shared.batch_domain import Batch, Counts, Group, Job
from shared.batch_items import ItemResult
from shared.cli_batches import watched
from shared.domain import Problem
from shared.records import Records
from shared.storage.disk import Disk
from shared.transport import TRIES
from tests import command_line
from tests.command_line import on_terminal, ran, shown, table, write
from tests.darkroom import START, Darkroom, play
from tests.records.scene import account, admit_batch, batch_draft

FANOUT = Group("fanout", "google:gemini-3-pro-image", 3, 1)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return command_line.fresh(tmp_path, monkeypatch)


def batch(batch_id: str = "bat_1", **changes: Any) -> Batch:
    """A batch of the account acc that began an hour ago, and waits."""
    began = utc_now() - HOUR
    fresh = replace(batch_draft(batch_id, 0, began), groups=(FANOUT,), due_at=began + 2 * HOUR)
    return replace(fresh, **changes)


def ended(batch_id: str = "bat_1", **changes: Any) -> Batch:
    """One that took an hour."""
    fresh = batch(batch_id, status="succeeded", counts=Counts(3, 2, 1))
    return replace(fresh, completed_at=fresh.created_at + HOUR, **changes)


def stored(data: Path, *found: Batch) -> None:
    """Put batches on record, with their accounts."""

    async def put(records: Records) -> None:
        for name in {one.account_id for one in found}:
            if await records.account(name) is None:
                await records.create_account(account(name))
        for one in found:
            await (admit_batch(records, one) if one.open else records.note_batch(one))

    write(data, put)


def events_of(data: Path) -> list[tuple[str, str]]:
    """Topic and subject of every event that waits."""
    with closing(sqlite3.connect(data / "events.db")) as db:
        return db.execute("SELECT topic, subject FROM events").fetchall()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_batches_are_listed_newest_first_with_their_counts(data: Path) -> None:
    older, other = ended(created_at=utc_now() - 2 * HOUR), batch("bat_2", account_id="other")
    stored(data, older, other)
    assert [one["id"] for one in shown("batches", "list")["data"]] == ["bat_2", "bat_1"]
    header, first, second = table(ran("batches", "list"))
    assert header[1:7] == ["ID", "ACCOUNT", "STATUS", *header[4:7]]
    assert first[1:7] == ["bat_2", "other", "accepted", "3", "0", "0"]
    assert second[1:] == ["bat_1", "acc", "succeeded", "3", "2", "1", "0.000000", "-"]
    (mine,) = shown("batches", "list", "--account", "acc")["data"]
    assert (mine["id"], mine["account"], mine["due_at"]) == ("bat_1", "acc", None)


def test_a_long_list_says_that_it_goes_on(data: Path) -> None:
    stored(data, *(ended(f"bat_{n}", created_at=START + n * HOUR) for n in range(3)))
    assert "--limit" in ran("batches", "list", "--limit", "2").stderr
    first = shown("batches", "list", "--limit", "2", "--account", "acc")
    assert [one["id"] for one in first["data"]] == ["bat_2", "bat_1"]
    rest = shown("batches", "list", "--account", "acc", "--cursor", first["next_cursor"])
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (["bat_0"], False)
    ran("batches", "list", "--cursor", first["next_cursor"], code=2)
    ran("batches", "list", "--account", "acc", "--open", "--cursor", "x", code=2)


def test_open_batches_are_listed_the_longest_due_first(data: Path) -> None:
    now = utc_now()
    open_ones = [batch(f"bat_{n}", due_at=now + n * HOUR) for n in (2, 0, 1)]
    others = [batch(f"bat_x{n}", account_id="other", due_at=now - HOUR) for n in range(5)]
    stored(data, ended("bat_ended"), *open_ones, *others)

    def ids(*options: str) -> list[str]:
        return [one["id"] for one in shown("batches", "list", "--open", *options)["data"]]

    assert ids()[5:] == ["bat_0", "bat_1", "bat_2"]
    assert ids("--account", "acc") == ["bat_0", "bat_1", "bat_2"]
    assert ids("--account", "acc", "--limit", "1") == ["bat_0"]
    assert "--limit" in ran("batches", "list", "--open", "--limit", "7").stderr
    assert ran("batches", "list", "--open", "--limit", "8").stderr == ""


def test_a_batch_is_shown_with_what_it_waits_for(data: Path) -> None:
    job = Job(0, 0, 1, "running", "bat_1-0", 0, 9, "batches/abc", utc_now())
    resting = replace(FANOUT, rests=2, rest_until=utc_now() + HOUR)
    stored(data, batch(groups=(resting,), jobs=(job,), worker="w", status="running"))
    one = shown("batches", "show", "bat_1")
    assert (one["account"], one["status"], one["worker"]) == ("acc", "running", "w")
    assert one["groups"][0]["rests"] == 2
    assert one["jobs"][0]["token"] == "batches/abc"
    text = dict(table(ran("batches", "show", "bat_1", "--account", "acc")))
    assert text["groups.0.mode"] == "fanout"
    assert text["counts.total"] == "3"


def test_watching_ends_with_the_batch_and_says_whether_it_succeeded(data: Path) -> None:
    lost = Problem("provider_error", "The provider lost it.")
    stored(data, ended(), ended("bat_2", status="failed", error=lost))
    good = ran("batches", "watch", "bat_1", "--json")
    assert json.loads(good.stdout)["counts"]["failed"] == 1
    line = "succeeded  3/3  2 succeeded  1 failed  1:00:00\n"
    assert good.stderr == line
    bad = ran("batches", "watch", "bat_2", code=1)
    assert dict(table(bad))["error.message"] == "The provider lost it."


def test_watching_looks_again_after_the_interval_and_shows_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story(darkroom: Darkroom) -> None:
        records = darkroom.app.records
        await records.create_account(account())
        fresh = batch(created_at=START, due_at=START, counts=Counts(40))
        begun = await admit_batch(records, fresh, START)
        states = [
            replace(begun, status="running", counts=Counts(40, 8, 2)),
            replace(begun, status="running", counts=Counts(40, 9, 2), cancelling=True),
            replace(
                begun, status="cancelled", counts=Counts(40, 9, 2, 29), completed_at=START + HOUR
            ),
        ]

        async def sleep(seconds: float) -> None:
            darkroom.slept.append(seconds)
            darkroom.pass_time(timedelta(seconds=seconds))
            known = await records.batch("acc", "bat_1")
            assert known is not None
            await records.advance_batch(replace(states.pop(0), version=known.version))

        darkroom.app.sleep = sleep
        last = await watched(darkroom.app, begun, 2.0)
        assert (last.status, darkroom.slept) == ("cancelled", [2.0, 2.0, 2.0])

    play(tmp_path, story)
    assert capsys.readouterr().err.splitlines() == [
        "accepted   0/40  0 succeeded  0 failed  0:00:00",
        "running    10/40  8 succeeded  2 failed  0:00:02",
        "cancelling 11/40  9 succeeded  2 failed  0:00:04",
        "cancelled  40/40  9 succeeded  2 failed  29 cancelled  1:00:00",
    ]


@pytest.mark.process
def test_who_stops_watching_leaves_the_batch_alone_and_is_told_how_to_go_on(data: Path) -> None:
    stored(data, batch())
    program = [sys.executable, "-m", "shared.cli", "batches", "watch", "bat_1"]
    with subprocess.Popen(
        program,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores it, and all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("accepted")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert "python -m shared.cli batches watch bat_1" in err
    assert "Traceback" not in err
    assert shown("batches", "show", "bat_1")["status"] == "accepted"


def test_a_push_ends_rests_and_looks_at_jobs_now(data: Path) -> None:
    later = utc_now() + HOUR
    resting = replace(FANOUT, rests=5, rest_until=later)
    running, closed = (
        Job(0, 0, 0, "running", "bat_1-0", 0, 9, "t", later),
        Job(0, 0, 0, "closed", "bat_1-1", 0, 9),
    )
    stored(data, batch(groups=(resting,), jobs=(running, closed)))
    before = utc_now()
    pushed = shown("batches", "retry", "bat_1")
    assert before <= at(pushed["due_at"]) + timedelta(milliseconds=1) <= utc_now() + HOUR / 60
    assert (pushed["groups"][0]["rests"], pushed["groups"][0]["rest_until"]) == (0, None)
    assert at(pushed["jobs"][0]["look_at"]) < later
    assert pushed["jobs"][1]["look_at"] is None
    assert events_of(data) == [("batch-callbacks", "bat_1")]
    assert shown("batches", "show", "bat_1") == pushed
    assert "batches watch bat_1" in ran("batches", "retry", "bat_1").stderr


def test_a_push_does_not_look_for_a_job_that_may_still_be_on_its_way(data: Path) -> None:
    arrives = utc_now() + HOUR
    sending = Job(0, 0, 1, "sending", "bat_1-0", 0, 9, look_at=arrives)
    group = replace(FANOUT, mode="provider", sent=1)
    stored(data, batch(groups=(group,), jobs=(sending,)))
    pushed = shown("batches", "retry", "bat_1")
    assert pushed["due_at"] == pushed["jobs"][0]["look_at"]
    assert abs(at(pushed["due_at"]) - arrives) < timedelta(milliseconds=1)


def test_a_dead_workers_lease_is_void_and_a_living_ones_is_not_broken(data: Path) -> None:
    now = utc_now()
    stored(
        data,
        batch("bat_dead", worker="w", due_at=now - timedelta(seconds=1)),
        batch("bat_busy", worker="w", due_at=now + HOUR),
    )
    assert shown("batches", "retry", "bat_dead")["worker"] is None
    refused = ran("batches", "retry", "bat_busy", code=1)
    assert refused.stdout == ""
    assert "--force" in refused.stderr
    assert shown("batches", "show", "bat_busy")["worker"] == "w"
    assert events_of(data) == [("batch-callbacks", "bat_dead")]


def test_force_breaks_a_lease_but_sends_nothing_twice(data: Path) -> None:
    now = utc_now()
    sending = Job(0, 0, 1, "sending", "bat_1-0", 0, 9, look_at=now + timedelta(minutes=2))
    stored(data, batch(jobs=(sending,), worker="w", due_at=now + HOUR))
    pushed = shown("batches", "retry", "bat_1", "--force")
    assert pushed["worker"] is None
    assert at(pushed["due_at"]) < now + timedelta(minutes=2)
    # Whoever is sending it may be alive until its lease would have ended.
    assert abs(at(pushed["jobs"][0]["look_at"]) - (now + HOUR)) < timedelta(milliseconds=1)


def test_breaking_a_lease_is_asked_about(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = utc_now() + HOUR
    stored(data, batch("bat_busy", worker="w", due_at=later), batch("bat_free", due_at=later))

    def force(batch_id: str, *options: str, stdin: str = "", code: int = 0) -> str:
        command = ("batches", "retry", batch_id, "--force", *options)
        return on_terminal(monkeypatch, *command, stdin=stdin, code=code).stderr

    assert "bat_busy" in force("bat_busy", stdin="n\n", code=1)
    assert shown("batches", "show", "bat_busy")["worker"] == "w"
    assert "Go on?" not in force("bat_free")
    assert "Go on?" not in force("bat_busy", "--yes")
    assert shown("batches", "show", "bat_busy")["worker"] is None


def test_a_batch_is_cancelled_once_the_operator_agrees(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(data, batch(), ended("bat_done"))

    def cancel(*options: str, stdin: str = "", code: int = 0) -> str:
        command = ("batches", "cancel", "bat_1", *options)
        return on_terminal(monkeypatch, *command, stdin=stdin, code=code).stderr

    assert "3 items of bat_1" in cancel(stdin="n\n", code=1)
    assert not shown("batches", "show", "bat_1")["cancelling"]
    assert not (data / "events.db").exists()
    cancel("--yes")
    assert shown("batches", "cancel", "bat_1")["cancelling"]
    assert events_of(data)[0] == ("batch-callbacks", "bat_1")
    assert "succeeded already" in ran("batches", "cancel", "bat_done", code=1).stderr


def test_a_batch_that_is_watched_on_a_terminal_is_a_bar(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(data, ended())
    seen = on_terminal(monkeypatch, "batches", "watch", "bat_1")
    assert [word in seen.stderr for word in ("━", "3/3", "2 succeeded  1 failed")] == [True] * 3
    assert "\x1b[32msucceeded" in seen.stdout


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled", "expired"])
def test_what_has_ended_is_not_pushed(data: Path, status: Any) -> None:
    stored(data, ended(status=status))
    before = shown("batches", "show", "bat_1")
    for options in ((), ("--force",)):
        refused = ran("batches", "retry", "bat_1", *options, code=1)
        assert refused.stdout == ""
        assert status in refused.stderr
    assert shown("batches", "show", "bat_1") == before
    assert not (data / "events.db").exists()


@pytest.mark.pictures
def test_a_push_from_another_process_is_picked_up_by_the_one_that_serves(data: Path) -> None:
    """A batch rests for its busy provider; once that is well again, a push is all it takes."""

    async def story(darkroom: Darkroom) -> None:
        darkroom.now = utc_now()
        items = [
            {
                "custom_id": "a",
                "prompt": f"a cup [sandbox:rate_limited*{TRIES}]",
                "route": {"fallback": False},
            }
        ]
        body = {"model": "nano-banana", "mode": "fanout", "items": items}
        begun = await darkroom.post("/batch", body)
        batch_id = begun.json()["id"]
        await darkroom.deliver()
        resting = await asyncio.to_thread(shown, "batches", "show", batch_id)
        assert resting["groups"][0]["rests"] == 1
        assert await darkroom.deliver() == 0

        await asyncio.to_thread(ran, "batches", "retry", batch_id)
        darkroom.pass_time(timedelta(seconds=2))
        await darkroom.deliver()
        done = await asyncio.to_thread(shown, "batches", "show", batch_id)
        assert (done["status"], done["counts"]["succeeded"]) == ("succeeded", 1)

    play(data, story)


def test_the_failed_items_are_listed_with_their_reasons(data: Path) -> None:
    why = Problem("content_blocked", "The provider refused it.", provider="google")
    results = [
        ItemResult(0, "a", "succeeded"),
        *(ItemResult(n, name, "failed", error=why) for n, name in ((1, "b"), (2, "c"))),
    ]
    stored(data, ended(results=("r",)))

    async def put() -> None:
        disk = Disk(data)
        lines = batch_lines.keep_results(results)
        await disk.put(names.batch_result("bat_1", "r"), lines, "application/jsonl", {})
        await disk.close()

    asyncio.run(put())
    header, first, second = table(ran("batches", "failures", "bat_1"))
    assert header == ["CUSTOM_ID", "ERROR.CODE", "ERROR.PROVIDER", "ERROR.MESSAGE"]
    assert first == ["b", "content_blocked", "google", "The provider refused it."]
    assert second[0] == "c"
    listed = shown("batches", "failures", "bat_1", "--limit", "1")
    assert ([one["custom_id"] for one in listed["data"]], listed["has_more"]) == (["b"], True)

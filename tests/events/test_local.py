"""What only the local queue promises: when it tries again, how much at once, and that nothing is
lost with the process."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.events import Event
from shared.events import local as queue
from shared.events.local import CONCURRENCY, TRIES, Local

NOW = datetime(2026, 11, 21, 10, 5, 30, 123456, tzinfo=UTC)
ONE, TWO = Event("requests", "acc", "req_1"), Event("requests", "acc", "req_2")
BATCH = Event("batch-callbacks", "acc", "bat_1")


class Clock:
    """A clock that is set by hand, and sleep that ends when it is told to."""

    def __init__(self) -> None:
        self.now = NOW
        self.over = asyncio.Event()

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, _seconds: float) -> None:
        await self.over.wait()
        self.over.clear()


def play(path: Path, scenario: Callable[[Local, Clock], Awaitable[None]]) -> None:
    """Run it on the queue in that folder."""

    async def whole() -> None:
        clock = Clock()
        local = Local(path / "events.db", clock, clock.sleep)
        try:
            async with asyncio.timeout(30):
                await scenario(local, clock)
        finally:
            await local.close()

    asyncio.run(whole())


async def taken(_event: Event) -> None:
    """A delivery that succeeds."""


async def refused(event: Event) -> None:
    """A delivery that fails."""
    raise OSError(f"{event.subject} fell over")


async def endless(_event: Event) -> None:
    """A delivery that ends only with the process."""
    await asyncio.Event().wait()


async def turns() -> None:
    """Let everything else go as far as it can without the file."""
    for _ in range(20):
        await asyncio.sleep(0)


async def pumping(local: Local, deliver: Callable[[Event], Awaitable[None]]) -> asyncio.Task[None]:
    pump = asyncio.create_task(local.pump(deliver))
    await turns()
    return pump


async def stopped(pump: asyncio.Task[None]) -> None:
    pump.cancel()
    with suppress(asyncio.CancelledError):
        await pump


def test_nothing_is_opened_before_it_is_needed(tmp_path: Path) -> None:
    asyncio.run(Local(tmp_path / "data" / "events.db", lambda: NOW).close())
    assert list(tmp_path.iterdir()) == []


def test_it_waits_twice_as_long_after_each_failure_and_gives_up_after_eight(
    tmp_path: Path,
) -> None:
    async def scenario(local: Local, clock: Clock) -> None:
        await local.publish(ONE)
        for wait_s in (1, 2, 4, 8, 16, 32, 60):
            assert await local.deliver_due(refused) == 1
            clock.now += timedelta(seconds=wait_s, microseconds=-1)
            assert await local.deliver_due(refused) == 0
            clock.now += timedelta(microseconds=1)
            assert await local.dead(10) == []
        assert await local.deliver_due(refused) == 1
        (dead,) = await local.dead(10)
        assert (dead.event, dead.tries, dead.died_at) == (ONE, TRIES, clock.now)
        assert dead.error == "OSError: req_1 fell over"
        clock.now += timedelta(days=1)
        assert await local.deliver_due(taken) == 0

    play(tmp_path, scenario)


def test_one_event_is_dead_once_however_often_it_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "TRIES", 2)

    async def scenario(local: Local, clock: Clock) -> None:
        for _ in range(2):
            await local.publish(ONE)
            for _ in range(2):
                assert await local.deliver_due(refused) == 1
                clock.now += timedelta(minutes=1)
        (dead,) = await local.dead(10)
        assert dead.died_at == clock.now - timedelta(minutes=1)

    play(tmp_path, scenario)


def test_the_same_event_published_again_is_one_delivery(tmp_path: Path) -> None:
    async def scenario(local: Local, clock: Clock) -> None:
        await asyncio.gather(*(local.publish(ONE) for _ in range(5)))
        assert not await local.replay("1"), "it is alive"
        assert await local.deliver_due(refused) == 1
        # Nor does it make it forget its tries, or come before its time.
        await local.publish(ONE)
        assert await local.deliver_due(taken) == 0
        clock.now += timedelta(seconds=1)
        assert await local.deliver_due(taken) == 1
        assert await local.deliver_due(taken) == 0

    play(tmp_path, scenario)


def test_what_is_published_during_its_delivery_is_delivered_once_more(tmp_path: Path) -> None:
    async def scenario(local: Local, _clock: Clock) -> None:
        async def again(event: Event) -> None:
            await local.publish(event)

        await local.publish(ONE)
        assert await local.deliver_due(again) == 1
        assert await local.deliver_due(taken) == 1
        assert await local.deliver_due(taken) == 0

    play(tmp_path, scenario)


def test_a_dead_event_replayed_beside_the_same_living_one_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "TRIES", 2)

    async def scenario(local: Local, clock: Clock) -> None:
        await local.publish(ONE)
        for _ in range(2):
            await local.deliver_due(refused)
            clock.now += timedelta(minutes=1)
        await local.publish(ONE)
        assert await local.deliver_due(refused) == 1
        (dead,) = await local.dead(10)
        assert await local.replay(dead.id)
        # With all its tries: one more failure does not kill it.
        assert await local.deliver_due(refused) == 1
        assert await local.dead(10) == []
        clock.now += timedelta(seconds=1)
        assert await local.deliver_due(taken) == 1
        assert await local.deliver_due(taken) == 0

    play(tmp_path, scenario)


def test_a_topic_has_only_so_many_at_once_and_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"requests": 3, "batch-callbacks": 1}
    monkeypatch.setattr(queue, "CONCURRENCY", limits)

    async def scenario(local: Local, _clock: Clock) -> None:
        for n in range(4):
            await local.publish(Event("requests", "acc", f"req_{n}"))
            await local.publish(Event("batch-callbacks", "acc", f"bat_{n}"))
        at_once: dict[str, int] = {"requests": 0, "batch-callbacks": 0}
        most = dict(at_once)

        async def counted(event: Event) -> None:
            at_once[event.topic] += 1
            most[event.topic] = max(most[event.topic], at_once[event.topic])
            await turns()
            at_once[event.topic] -= 1

        assert await local.deliver_due(counted) == 3 + 1
        assert most == limits
        assert await local.deliver_due(counted) == 1 + 1
        assert most == limits

    play(tmp_path, scenario)


def test_the_pump_delivers_at_once_what_is_published(tmp_path: Path) -> None:
    async def scenario(local: Local, _clock: Clock) -> None:
        came: asyncio.Queue[Event] = asyncio.Queue()
        pump = await pumping(local, came.put)
        for event in (ONE, BATCH, TWO):
            await local.publish(event)
            assert await came.get() == event
        await stopped(pump)

    play(tmp_path, scenario)


def test_the_pump_takes_more_as_soon_as_there_is_room(tmp_path: Path) -> None:
    async def scenario(local: Local, _clock: Clock) -> None:
        came: asyncio.Queue[Event] = asyncio.Queue()
        first = asyncio.Event()

        async def deliver(event: Event) -> None:
            await came.put(event)
            await first.wait()

        batches = [Event("batch-callbacks", "acc", f"bat_{n}") for n in range(5)]
        assert CONCURRENCY["batch-callbacks"] == 4
        for event in batches:
            await local.publish(event)
        pump = await pumping(local, deliver)
        assert [await came.get() for _ in range(4)] == batches[:4]
        assert came.empty()
        first.set()
        assert await came.get() == batches[4]
        await stopped(pump)

    play(tmp_path, scenario)


def test_the_pump_looks_every_second_for_what_waited_or_another_process_wrote(
    tmp_path: Path,
) -> None:
    async def scenario(local: Local, clock: Clock) -> None:
        came: asyncio.Queue[Event] = asyncio.Queue()
        pump = await pumping(local, came.put)
        await local.publish(ONE)
        await came.get()
        tool = Local(tmp_path / "events.db", clock)
        await tool.publish(TWO)
        await tool.close()
        clock.over.set()
        assert await came.get() == TWO
        await stopped(pump)

    play(tmp_path, scenario)


def test_what_was_being_delivered_when_the_process_died_is_delivered_again(
    tmp_path: Path,
) -> None:
    async def dies(local: Local, _clock: Clock) -> None:
        await local.publish(ONE)
        await local.publish(BATCH)
        begun: asyncio.Queue[Event] = asyncio.Queue()

        async def deliver(event: Event) -> None:
            await begun.put(event)
            await endless(event)

        pump = await pumping(local, deliver)
        assert {await begun.get(), await begun.get()} == {ONE, BATCH}
        await stopped(pump)

    async def starts(local: Local, _clock: Clock) -> None:
        assert await local.deliver_due(taken) == 2
        assert await local.deliver_due(taken) == 0

    play(tmp_path, dies)
    play(tmp_path, starts)


@pytest.mark.process
def test_nothing_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    code = f"""
import asyncio, os, signal
from tests.events.test_local import ONE, TWO, NOW, Local, Path, taken
async def whole():
    local = Local(Path({str(tmp_path / "events.db")!r}), lambda: NOW)
    async def deliver(event):
        if event == TWO:
            os.kill(os.getpid(), signal.SIGKILL)
    await local.publish(ONE)
    assert await local.deliver_due(deliver) == 1
    await local.publish(TWO)
    await local.deliver_due(deliver)
asyncio.run(whole())
"""
    killed = subprocess.run([sys.executable, "-c", code], check=False).returncode
    assert killed == -signal.SIGKILL

    async def scenario(local: Local, _clock: Clock) -> None:
        came: list[Event] = []

        async def deliver(event: Event) -> None:
            came.append(event)

        await local.deliver_due(deliver)
        assert came == [TWO]

    play(tmp_path, scenario)


def test_a_file_that_cannot_be_written_stops_nothing_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(local: Local, clock: Clock) -> None:
        write, came = local._write, asyncio.Queue[Event]()

        async def full(_work: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        async def deliver(event: Event) -> None:
            await came.put(event)
            if came.qsize() == 1:
                monkeypatch.setattr(local, "_write", full)

        await local.publish(ONE)
        pump = await pumping(local, deliver)
        while came.qsize() < 1:
            await turns()
        # It can be neither taken out nor looked for: the pump goes on all the same.
        clock.over.set()
        await turns()
        monkeypatch.setattr(local, "_write", write)
        clock.over.set()
        while came.qsize() < 2:
            await turns()
        await stopped(pump)

    play(tmp_path, scenario)


def test_a_commit_is_on_the_disk_before_publish_returns(tmp_path: Path) -> None:
    async def scenario(local: Local, _clock: Clock) -> None:
        await local.publish(ONE)
        assert local._db is not None
        assert local._db.execute("PRAGMA synchronous").fetchone()[0] == 2
        with closing(sqlite3.connect(tmp_path / "events.db")) as db:
            assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            assert db.execute("SELECT count(*) FROM events").fetchone()[0] == 1

    play(tmp_path, scenario)


def test_several_may_make_the_same_file_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        every = [Local(tmp_path / "events.db", lambda: NOW) for _ in range(6)]
        events = [Event("requests", "acc", f"req_{n}") for n in range(6)]
        await asyncio.gather(*(one.publish(e) for one, e in zip(every, events, strict=True)))
        assert await every[0].deliver_due(taken) == 6
        for one in every:
            await one.close()

    asyncio.run(scenario())

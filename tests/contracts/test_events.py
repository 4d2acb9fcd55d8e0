"""What both queues do: the local one, and Pub/Sub over a real connection to Google's emulator."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from google.api_core.exceptions import DeadlineExceeded

from shared import event_message
from shared.events import TOPICS, Dead, Deliver, Event, Events, Topic, pubsub
from shared.events.local import TRIES, Local
from shared.events.pubsub import PubSub
from tests.emulators.pubsub import Project, new_project

REQUEST = Event("requests", "acc", "req_1")
BATCH = Event("batch-callbacks", "acc", "bat_1")


class Scene(Protocol):
    """A queue, and whoever delivers what is in it."""

    events: Events
    tries: int

    async def round(self, deliver: Deliver) -> int:
        """Deliver once what waits, however long it was to wait; returns how many that were."""


class LocalScene:
    """The local queue, delivered by its own hand and a clock that is set."""

    def __init__(self, folder: Path) -> None:
        self.now = datetime(2026, 11, 21, 10, tzinfo=UTC)
        self.local = Local(folder / "events.db", lambda: self.now)
        self.events: Events = self.local
        self.tries = TRIES

    async def round(self, deliver: Deliver) -> int:
        self.now += timedelta(minutes=1)
        total = 0
        while tried := await self.local.deliver_due(deliver):
            total += tried
        return total


class PubSubScene:
    """Pub/Sub, delivered as a push would be: what fails is refused at the end of a round."""

    def __init__(self, project: Project) -> None:
        self.tries = 5
        self.subscriptions = {topic: project.subscribe(topic, tries=5) for topic in TOPICS}
        self.events: Events = PubSub(project.id, project.prefix)

    async def round(self, deliver: Deliver) -> int:
        return sum([await self._round(topic, deliver) for topic in TOPICS])

    async def _round(self, topic: Topic, deliver: Deliver) -> int:
        from google.cloud.pubsub_v1 import SubscriberClient

        subscription, total, refused = self.subscriptions[topic], 0, []
        with SubscriberClient() as client:
            while received := await asyncio.to_thread(self._pulled, client, subscription):
                total += len(received)
                for one in received:
                    try:
                        await deliver(event_message.decode(topic, one.message.data))
                    except OSError:
                        refused.append(one.ack_id)
                    else:
                        client.acknowledge(subscription=subscription, ack_ids=[one.ack_id])
            if refused:
                client.modify_ack_deadline(
                    subscription=subscription, ack_ids=refused, ack_deadline_seconds=0
                )
        return total

    def _pulled(self, client: Any, subscription: str) -> list[Any]:
        with suppress(DeadlineExceeded):
            pulled = client.pull(subscription=subscription, max_messages=100, timeout=0.3)
            return list(pulled.received_messages)
        return []


Run = Callable[[Callable[[Scene], Awaitable[None]]], None]


@pytest.fixture(params=["local", pytest.param("pubsub", marks=pytest.mark.emulator)])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a scenario on an empty queue."""
    if request.param == "pubsub":
        request.getfixturevalue("pubsub_emulator")
        monkeypatch.setattr(pubsub, "PATIENCE_S", 0.3)

    async def whole(scenario: Callable[[Scene], Awaitable[None]]) -> None:
        local = request.param == "local"
        scene: Scene = LocalScene(tmp_path) if local else PubSubScene(new_project())
        try:
            await scenario(scene)
        finally:
            await scene.events.close()

    return lambda scenario: asyncio.run(whole(scenario))


class Function:
    """What events are delivered to: it fails with those named, and keeps all that came."""

    def __init__(self, *failing: Event) -> None:
        self.failing = set(failing)
        self.came: list[Event] = []

    async def __call__(self, event: Event) -> None:
        self.came.append(event)
        if event in self.failing:
            raise OSError(f"{event.subject} fell over")


async def died(scene: Scene, *events: Event) -> list[Dead]:
    """Publish events and fail with each until it is dead."""
    for event in events:
        await scene.events.publish(event)
    failing = Function(*events)
    while await scene.round(failing):
        assert len(failing.came) <= scene.tries * len(events), "they go on for ever"
    assert Counter(failing.came) == dict.fromkeys(events, scene.tries)
    return list(await scene.events.dead(10))


def test_what_is_published_is_delivered_and_then_gone(run: Run) -> None:
    async def scenario(scene: Scene) -> None:
        odd = Event("requests", "acc é", 'req "/\n')
        for event in (REQUEST, BATCH, odd):
            await scene.events.publish(event)
        function = Function()
        await scene.round(function)
        assert Counter(function.came) == Counter([REQUEST, BATCH, odd])
        assert await scene.round(function) == 0
        assert await scene.events.dead(10) == []

    run(scenario)


def test_many_published_at_once_are_all_delivered(run: Run) -> None:
    async def scenario(scene: Scene) -> None:
        every = [Event("requests", "acc", f"req_{n}") for n in range(12)]
        await asyncio.gather(*map(scene.events.publish, every))
        function = Function()
        await scene.round(function)
        assert Counter(function.came) == Counter(every)

    run(scenario)


def test_what_fails_is_delivered_again(run: Run) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.events.publish(REQUEST)
        function = Function(REQUEST)
        assert await scene.round(function) == 1
        assert await scene.round(function) == 1
        function.failing.clear()
        assert await scene.round(function) == 1
        assert await scene.round(function) == 0
        assert function.came == [REQUEST] * 3

    run(scenario)


def test_what_fails_too_often_is_kept_apart(run: Run) -> None:
    async def scenario(scene: Scene) -> None:
        found = await died(scene, REQUEST, BATCH)
        assert Counter(dead.event for dead in found) == Counter([REQUEST, BATCH])
        assert {dead.tries for dead in found} == {scene.tries}
        assert [dead.died_at for dead in found] == sorted(dead.died_at for dead in found)
        assert len({dead.id for dead in found}) == 2
        assert {dead.died_at.tzinfo for dead in found} == {UTC}
        # To look at them takes nothing away.
        assert [dead.id for dead in await scene.events.dead(10)] == [dead.id for dead in found]
        assert len(await scene.events.dead(1)) == 1

    run(scenario)


def test_a_dead_event_is_delivered_again_with_all_its_tries(run: Run) -> None:
    async def scenario(scene: Scene) -> None:
        other = Event("requests", "acc", "req_2")
        found = await died(scene, REQUEST, other)
        chosen = next(dead for dead in found if dead.event == REQUEST)
        assert await scene.events.replay(chosen.id)
        assert [dead.event for dead in await scene.events.dead(10)] == [other]
        function = Function(REQUEST)
        for _ in range(scene.tries - 1):
            assert await scene.round(function) == 1
        function.failing.clear()
        assert await scene.round(function) == 1
        assert function.came == [REQUEST] * scene.tries
        assert [dead.event for dead in await scene.events.dead(10)] == [other]

    run(scenario)


def test_what_is_not_dead_cannot_be_replayed(run: Run) -> None:
    async def scenario(scene: Scene) -> None:
        (dead,) = await died(scene, REQUEST)
        assert await scene.events.replay(dead.id)
        for unknown in (dead.id, "", "0", "requests:0", "requests", "sweep:1", "x" * 300, "é"):
            assert not await scene.events.replay(unknown)

    run(scenario)

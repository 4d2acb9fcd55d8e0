"""What Pub/Sub does with our events, seen on Google's emulator: pushed to a function that listens,
pushed again when it fails, a dead letter in the end, and replayed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
import uvicorn
from google.api_core.exceptions import NotFound
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared import event_message, trace
from shared.events import Dead, Event
from shared.events.pubsub import PubSub
from tests.emulators.java import free_port
from tests.emulators.pubsub import Project, new_project

pytestmark = pytest.mark.emulator
EVENT = Event("requests", "acc", "req_1")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Function:
    """A function on loopback: what was pushed to it, and the statuses it still answers with before
    it does its work."""

    project: Project
    port: int = field(default_factory=free_port)
    answers: list[int] = field(default_factory=list)
    came: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)
    traces: list[str | None] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it is pushed to, by the path from which the Functions Framework tells the topic."""
        name = f"{self.project.prefix}requests"
        return f"http://127.0.0.1:{self.port}/projects/{self.project.id}/topics/{name}"

    async def __call__(self, request: Request) -> Response:
        message = event_message.read(request.headers["content-type"], await request.body())
        self.traces.append(message.traceparent)
        await self.came.put(event_message.decode("requests", message.data))
        return Response(status_code=self.answers.pop(0) if self.answers else 204)


@asynccontextmanager
async def listening(function: Function) -> AsyncIterator[None]:
    """The function, served."""
    app = Starlette(routes=[Route("/{path:path}", function.__call__, methods=["POST"])])
    config = uvicorn.Config(app, host="127.0.0.1", port=function.port, log_level="error")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[config.bind_socket()]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


def play(scenario: Callable[[PubSub, Function], Awaitable[None]]) -> None:
    """Run it with a topic of its own that is pushed to a function, five times at the most."""

    async def whole() -> None:
        function = Function(new_project())
        events = PubSub(function.project.id, function.project.prefix)
        await asyncio.to_thread(function.project.subscribe, "requests", function.url)
        await asyncio.to_thread(function.project.subscribe, "batch-callbacks")
        try:
            async with listening(function):
                await asyncio.wait_for(scenario(events, function), 60)
        finally:
            await events.close()

    asyncio.run(whole())


async def buried(events: PubSub) -> Dead:
    """The one dead event, once it is dead."""
    while not (found := await events.dead(10)):
        pass
    (dead,) = found
    return dead


def given_out_again(project: Project) -> None:
    """Have whatever was pulled of the dead letters, but not acknowledged, pulled once more."""
    from google.cloud.pubsub_v1 import SubscriberClient

    with SubscriberClient() as client:
        name = client.subscription_path(project.id, f"{project.prefix}requests-dead")
        client.seek(request={"subscription": name, "time": datetime.now(UTC) - timedelta(hours=1)})


def test_an_event_is_pushed_to_the_function(pubsub_emulator: str) -> None:
    async def scenario(events: PubSub, function: Function) -> None:
        await events.publish(EVENT)
        assert await function.came.get() == EVENT

    play(scenario)


def test_it_is_pushed_again_until_the_function_succeeds(pubsub_emulator: str) -> None:
    async def scenario(events: PubSub, function: Function) -> None:
        function.answers = [500, 503]
        await events.publish(EVENT)
        assert [await function.came.get() for _ in range(3)] == [EVENT] * 3
        assert await events.dead(10) == []

    play(scenario)


def test_five_failures_are_a_dead_letter_and_replayed_it_is_pushed_again(
    pubsub_emulator: str,
) -> None:
    async def scenario(events: PubSub, function: Function) -> None:
        function.answers = [500] * 5
        trace.follow(PARENT)
        await events.publish(EVENT)
        dead = await buried(events)
        assert (dead.event, dead.tries, dead.error) == (EVENT, 5, None)
        assert function.came.qsize() == 5
        function.came = asyncio.Queue()
        trace.follow(None)
        assert await events.replay(dead.id)
        assert await function.came.get() == EVENT
        assert function.traces == [PARENT] * 6
        await asyncio.to_thread(given_out_again, function.project)
        assert await events.dead(10) == []
        assert not await events.replay(dead.id)

    play(scenario)


def test_a_dead_letter_that_says_no_event_is_shown_and_can_be_replayed(
    pubsub_emulator: str,
) -> None:
    from google.cloud.pubsub_v1 import PublisherClient

    async def scenario(events: PubSub, function: Function) -> None:
        topic = f"projects/{function.project.id}/topics/darkroom-requests-dead"
        with PublisherClient() as publisher:
            publisher.publish(topic, b"tick").result(30)
        dead = await buried(events)
        assert (dead.event, dead.tries) == (Event("requests", "", ""), 0)
        assert dead.error is not None
        assert await events.replay(dead.id)
        assert await events.dead(10) == []

    play(scenario)


def test_where_there_is_no_such_topic_publishing_fails(pubsub_emulator: str) -> None:
    async def scenario() -> None:
        events = PubSub(new_project().id, "darkroom-")
        with pytest.raises(NotFound):
            await events.publish(EVENT)
        await events.close()

    asyncio.run(scenario())


def test_the_client_is_imported_when_it_is_first_needed() -> None:
    code = (
        "import sys; from shared.events.pubsub import PubSub; PubSub('p', 'darkroom-')\n"
        "sys.exit('google.cloud.pubsub_v1' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

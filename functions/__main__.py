"""`make run`: every function of main.py in one server, on local backends unless the environment
names cloud ones."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import httpx
import uvicorn
from functions_framework import aio
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

import main
from functions import http
from shared import event_message, files, local, log, memory, sweep
from shared.app import App, build
from shared.catalogue import BadCatalogue
from shared.errors import NotFound
from shared.events import Event, Pumped, Topic
from shared.settings import BadSettings, Settings

RECEIVERS: Mapping[Topic, str] = {
    "requests": "run_request",
    "batch-callbacks": "batch_callback",
}
"""Topic → the function its events are pushed to, as in infra/messaging.tf."""
_PUSH_S = 600.0
"""As long as Pub/Sub waits at most."""
_SWEEP_EVERY_S = 1.0
_EXPIRE_EVERY = 60
"""Sweeps from one look for expired files to the next."""


def server(app: App) -> Starlette:
    """All of them, each at /name, as the framework serves it."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await local.introduce(app)
        # Nobody else uses this data folder, so whatever still runs in it was left by a crash.
        if app.settings.local:
            await sweep.sweep(app, app.clock() + timedelta(days=3650))
        _announce(app.settings)
        work = [asyncio.create_task(_keep_sweeping(app))]
        if isinstance(app.events, Pumped):
            work.append(asyncio.create_task(app.events.pump(push)))
        yield
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await app.close()

    served = {name: aio.create_asgi_app(name, "main.py") for name in main.FUNCTIONS}

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path"].split("/")[1].replace("-", "_")
        await served.get(name, _nothing_here)(scope, receive, send)

    return Starlette(routes=[Mount("/", dispatch)], lifespan=lifespan)


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    listed = ", ".join(f"/{name}" for name in main.FUNCTIONS)
    refusal = http.refuse(NotFound(f"There is nothing at {scope['path']}. There are {listed}."))
    await refusal(scope, receive, send)


async def _keep_sweeping(app: App) -> None:
    for turn in itertools.count(1):
        await asyncio.sleep(_SWEEP_EVERY_S)
        try:
            await sweep.sweep(app, app.clock())
            # In the cloud the bucket's own lifecycle does it.
            if app.settings.local and turn % _EXPIRE_EVERY == 0:
                await files.expire(app)
        except Exception as error:
            log.crash("sweep.crashed", error)


async def push(event: Event) -> None:
    """Deliver an event as Pub/Sub does. Raises httpx.HTTPStatusError where that failed."""
    name = RECEIVERS[event.topic]
    transport = httpx.ASGITransport(importlib.import_module(f"functions.{name}").APP)
    async with httpx.AsyncClient(transport=transport, timeout=_PUSH_S) as client:
        answer = await client.post(
            f"http://{name}/",
            content=event_message.pushed(event),
            headers={"content-type": "application/json"},
        )
    answer.raise_for_status()


def _announce(settings: Settings) -> None:
    # A browser does not send what comes after the #.
    key = f"#key={settings.test_key}" if settings.test_key else ""
    print(  # noqa: T201 # what a new user came for
        f"Darkroom listens on {settings.public_url}\nDARKROOM_TEST_KEY={settings.test_key or ''}\n"
        f"Look at it, and make pictures: {settings.public_url}/studio{key}",
        file=sys.stderr,
        flush=True,
    )


def serve() -> None:
    """Start, or say in one line why not."""
    try:
        settings = local.completed(Settings.from_env())
        log.start(settings.log_level, settings.source, settings.secrets)
        with local.claimed(settings.data):
            app = build(settings)
            http.use(app)
            memory.settle()
            config = uvicorn.Config(
                server(app),
                host=settings.host,
                port=settings.port,
                log_level="warning",
                log_config=None,
                access_log=False,
            )
            # Bound first, so that nothing is announced where nobody listens.
            uvicorn.Server(config).run(sockets=[config.bind_socket()])
    except (BadSettings, BadCatalogue) as error:
        sys.exit(f"darkroom cannot start: {error}")


if __name__ == "__main__":
    serve()

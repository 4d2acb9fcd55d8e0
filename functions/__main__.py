"""`make run`: every function of main.py in one server, on local backends unless the environment
names cloud ones."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from datetime import timedelta

import uvicorn
from functions_framework import aio
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

import main
from functions import http
from shared import files, local, log, sweep
from shared.app import App, build
from shared.catalogue import BadCatalogue
from shared.errors import NotFound
from shared.settings import BadSettings, Settings

_SWEEP_EVERY_S = 60.0


def functions() -> list[str]:
    """The deployed functions' names."""
    return [name for name in vars(main) if not name.startswith("_")]


def server(app: App) -> Starlette:
    """All of them, each at /name, as the framework serves it."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await local.introduce(app)
        # Nobody else uses this data folder, so whatever still runs in it was left by a crash.
        if app.settings.local:
            await sweep.sweep(app, app.clock() + timedelta(days=3650))
        _announce(app.settings)
        sweeper = asyncio.create_task(_keep_sweeping(app))
        yield
        sweeper.cancel()
        await app.close()

    served = {name: aio.create_asgi_app(name, "main.py") for name in functions()}

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path"].split("/")[1]
        await served.get(name, _nothing_here)(scope, receive, send)

    return Starlette(routes=[Mount("/", dispatch)], lifespan=lifespan)


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    listed = ", ".join(f"/{name}" for name in functions())
    refusal = http.refuse(NotFound(f"There is nothing at {scope['path']}. There are {listed}."))
    await refusal(scope, receive, send)


async def _keep_sweeping(app: App) -> None:
    while True:
        await asyncio.sleep(_SWEEP_EVERY_S)
        try:
            await sweep.sweep(app, app.clock())
            # In the cloud the bucket's own lifecycle does it.
            if app.settings.local:
                await files.expire(app)
        except Exception as error:
            log.crash("sweep.crashed", error)


def _announce(settings: Settings) -> None:
    print(  # noqa: T201 # what a new user came for
        f"Darkroom listens on {settings.public_url}\nDARKROOM_TEST_KEY={settings.test_key or ''}",
        file=sys.stderr,
        flush=True,
    )


def serve() -> None:
    """Start, or say in one line why not."""
    try:
        settings = local.completed(Settings.from_env())
        log.start(settings.log_level, settings.project)
        with local.claimed(settings.data):
            app = build(settings)
            http.use(app)
            config = uvicorn.Config(
                server(app),
                host=settings.host,
                port=settings.port,
                log_level="warning",
                access_log=False,
            )
            # Bound first, so that nothing is announced where nobody listens.
            uvicorn.Server(config).run(sockets=[config.bind_socket()])
    except (BadSettings, BadCatalogue) as error:
        sys.exit(f"darkroom cannot start: {error}")


if __name__ == "__main__":
    serve()

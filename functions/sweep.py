"""Pub/Sub push from Cloud Scheduler, every minute: wake what is due, send webhooks again, end what
dead instances left. The message says nothing; who may send it is the platform's to check."""

from __future__ import annotations

import functions_framework.aio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from functions import http
from shared import sweep as sweeping


async def tick(_request: Request) -> Response:
    """See to every batch, webhook and request that is due."""
    await sweeping.sweep(http.app(), http.app().clock())
    return Response(status_code=204)


APP = http.routes("sweep", [("POST", "", tick)])


@functions_framework.aio.http
async def sweep(_request: Request) -> Starlette:
    """The deployed function."""
    return APP

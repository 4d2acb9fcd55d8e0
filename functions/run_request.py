"""Pub/Sub push from `requests`: run a queued request, look at its task, or tell of its end. Who
may push is the platform's to check."""

from __future__ import annotations

import functions_framework.aio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from functions import http, push
from shared import queued


async def take(request: Request) -> Response:
    """Do what is due for one request. What fails is delivered again."""
    event = await push.event(request, "requests")
    if event is not None:
        await queued.step(http.app(), event.account_id, event.subject)
    return Response(status_code=204)


APP = http.routes("run_request", [("POST", "", take)])


@functions_framework.aio.http
async def run_request(_request: Request) -> Starlette:
    """The deployed function."""
    return APP

"""Pub/Sub push from `batch-callbacks`: move one batch forward: submit, poll, collect, settle, tell
of its end. Who may push is the platform's to check."""

from __future__ import annotations

import functions_framework.aio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from functions import http, push
from shared import batch_steps


async def take(request: Request) -> Response:
    """Do what is due for one batch. What fails is delivered again."""
    event = await push.event(request, "batch-callbacks")
    if event is not None:
        await batch_steps.step(http.app(), event.account_id, event.subject)
    return Response(status_code=204)


APP = http.routes("batch_callback", [("POST", "", take)])


@functions_framework.aio.http
async def batch_callback(_request: Request) -> Starlette:
    """The deployed function."""
    return APP

"""`POST /three_d`: an image or a text → a 3D model. It takes minutes, so it is always answered
before it is made."""

from __future__ import annotations

import asyncio

import functions_framework.aio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from functions import http
from shared import body
from shared.generate import Ask, run


async def create(request: Request) -> Response:
    """Have a model made."""
    caller = await http.caller(request)
    parsed = await asyncio.to_thread(body.three_d, await http.fields(request))
    key = http.idempotency_key(request)
    ask = Ask(caller, parsed.request, parsed.fingerprint, key, deferred=True)
    return http.answer(await run(http.app(), ask))


APP = http.routes("three_d", [("POST", "", create)])


@functions_framework.aio.http
async def three_d(_request: Request) -> Starlette:
    """The deployed function."""
    return APP

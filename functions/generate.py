"""`POST /generate`: text → images."""

from __future__ import annotations

import functions_framework.aio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from functions import http
from shared import body
from shared.generate import Ask, run
from shared.work import in_base64


async def create(request: Request) -> Response:
    """Make pictures of a prompt."""
    caller = await http.caller(request)
    parsed = body.generate(await http.fields(request), http.app().catalogue.templates)
    ask = Ask(
        caller,
        parsed.request,
        parsed.fingerprint,
        http.idempotency_key(request),
        deferred=http.deferred(request),
    )
    answer = await run(http.app(), ask)
    return http.answer(answer, await in_base64(http.app(), answer, parsed.request.delivery))


APP = http.routes("generate", [("POST", "", create)])


@functions_framework.aio.http
async def generate(_request: Request) -> Starlette:
    """The deployed function."""
    return APP

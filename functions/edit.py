"""`POST /edit`: images, perhaps a mask or an earlier result, and an instruction → images."""

from __future__ import annotations

import asyncio

import functions_framework.aio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from functions import http
from shared import apart, body, form
from shared.generate import Ask, run
from shared.work import in_base64


async def create(request: Request) -> Response:
    """Change pictures as the prompt says; JSON or multipart."""
    caller = await http.caller(request)
    parsed = await _read(request)
    ask = Ask(
        caller,
        parsed.request,
        parsed.fingerprint,
        http.idempotency_key(request),
        deferred=http.deferred(request),
    )
    answer = await run(http.app(), ask)
    return http.answer(answer, await in_base64(http.app(), answer, parsed.request.delivery))


async def _read(request: Request) -> body.Parsed:
    templates = http.app().catalogue.templates
    # On a thread: megabytes of base64 are unpacked and hashed there.
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        texts, files = await http.form(request)
        return await asyncio.to_thread(body.edit, form.fields(texts), files, templates)
    fields = await http.fields(request)
    return await apart.run(http.little(request), body.edit, fields, body.Files(), templates)


APP = http.routes("edit", [("POST", "", create)])


@functions_framework.aio.http
async def edit(_request: Request) -> Starlette:
    """The deployed function."""
    return APP

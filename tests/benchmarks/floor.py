"""A floor to measure by, as a function for the framework: ask the upstream, parse, decode, hash and
write the picture, answer with it. No key, no quota, no money, no log, no check of what it is."""

from __future__ import annotations

import hashlib
import os
from itertools import count
from pathlib import Path

import aiohttp
import functions_framework.aio
import orjson
import pybase64
from starlette.requests import Request
from starlette.responses import Response

_UPSTREAM, _FOLDER = os.environ["FLOOR_UPSTREAM"], Path(os.environ["FLOOR_FOLDER"])
_SESSIONS: list[aiohttp.ClientSession] = []
_NUMBERS = count()


def _session() -> aiohttp.ClientSession:
    if not _SESSIONS:
        connector = aiohttp.TCPConnector(limit=0)
        _SESSIONS.append(aiohttp.ClientSession(connector=connector, read_bufsize=2**21))
    return _SESSIONS[0]


@functions_framework.aio.http  # type: ignore[untyped-decorator] # of no type
async def floor(request: Request) -> Response:
    """The deployed function."""
    asked = orjson.loads(await request.body())
    async with _session().post(_UPSTREAM, json=asked) as answer:
        reply = orjson.loads(await answer.read())
    picture = pybase64.b64decode(reply["data"][0]["b64_json"], validate=True)
    digest = hashlib.sha256(picture).hexdigest()
    (_FOLDER / f"{next(_NUMBERS)}-{digest[:8]}").write_bytes(picture)
    made = orjson.dumps({"data": [{"b64_json": pybase64.b64encode(picture).decode()}]})
    return Response(made, media_type="application/json")

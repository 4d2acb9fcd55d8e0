"""How an answer of generateContent travels: whole, as server-sent events, as an array.

Shapes: captured answers of generateContent and streamGenerateContent, 2026-10.
"""

from __future__ import annotations

import json

import httpx

from shared.sandbox.google_proto import answer
from shared.surfaces.gemini_reply import Reply


def whole(reply: Reply) -> httpx.Response:
    """The answer of generateContent."""
    return answer(reply.body())


def events(reply: Reply) -> httpx.Response:
    """The answer of streamGenerateContent?alt=sse. There is no closing event."""
    frames = (json.dumps(chunk, ensure_ascii=False).encode() for chunk in reply.chunks())
    return httpx.Response(
        200,
        headers={"content-type": "text/event-stream", "content-disposition": "attachment"},
        content=b"".join(b"data: " + frame + b"\r\n\r\n" for frame in frames),
    )


def array(reply: Reply) -> httpx.Response:
    """The answer of streamGenerateContent without alt=sse: one growing JSON array."""
    return answer(list(reply.chunks()))

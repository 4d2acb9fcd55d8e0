"""A provider made of a script: what each call is answered with, and what calls came."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx
from PIL import Image

Answer = httpx.Response | Exception | Callable[[httpx.Request], Awaitable[httpx.Response]]


def png(color: str = "red", side: int = 8) -> bytes:
    """A small picture."""
    out = io.BytesIO()
    Image.new("RGB", (side, side), color).save(out, "PNG")
    return out.getvalue()


def picture(data: bytes | None = None, **candidate: object) -> httpx.Response:
    """Google's answer with one picture."""
    inline = {"mimeType": "image/png", "data": base64.b64encode(data or png()).decode()}
    content = {"role": "model", "parts": [{"inlineData": inline}]}
    return httpx.Response(
        200,
        json={
            "candidates": [{"content": content, "finishReason": "STOP", **candidate}],
            "usageMetadata": {
                "promptTokenCount": 5,
                "candidatesTokenCount": 1120,
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
            },
        },
    )


def refusal(
    status: int, code: str, message: str = "no", retry: str | None = None
) -> httpx.Response:
    """Google's error."""
    details = (
        [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry}]
        if retry
        else []
    )
    error = {"code": status, "status": code, "message": message, "details": details}
    return httpx.Response(status, json={"error": error})


def withheld() -> httpx.Response:
    """Google's answer when a filter kept the picture back."""
    return httpx.Response(200, json={"candidates": [{"finishReason": "IMAGE_SAFETY"}]})


@dataclass
class Gate:
    """A picture that comes once it is let through; `asked` tells that somebody waits for it."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, _: httpx.Request) -> httpx.Response:
        self.asked.set()
        await self.opened.wait()
        return picture()


@dataclass
class Upstream(httpx.AsyncBaseTransport):
    """Answers from the script in order, its last answer for ever; `calls` is what came."""

    script: list[Answer]
    calls: list[httpx.Request] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.calls.append(request)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return httpx.Response(
                answer.status_code, headers=answer.headers, content=answer.content
            )
        return await answer(request)

    @property
    def bodies(self) -> list[dict[str, object]]:
        """The JSON of every call."""
        return [json.loads(call.content) for call in self.calls]

    def bodies_of(self, path: str) -> list[str]:
        """The text of every call whose path has that in it."""
        return [call.content.decode() for call in self.calls if path in call.url.path]

"""The upstream of the gateway benchmarks: one picture of 1.3 MB, as OpenAI and as Google would
answer, after a delay that can be set while it runs. `python -m tests.benchmarks.upstream`.

It parses next to nothing and its answers are made beforehand, so that what is measured is the
gateway. Paths: what ends in `images/generations`, `images/edits` or `:generateContent` is answered
with the picture, `/delay/<milliseconds>` sets the delay, and `/calls` counts the pictures given.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import sys
from random import Random
from typing import cast

import uvloop
from PIL import Image

SIDE = 658
"""Of a square of noise: its PNG has 1.3 MB, as a usual picture of 1024 pixels a side has."""


def picture() -> bytes:
    """A PNG that does not compress, the same every time."""
    noise = Random(7).randbytes(SIDE * SIDE * 3)  # a picture, no secret
    buffer = io.BytesIO()
    Image.frombytes("RGB", (SIDE, SIDE), noise).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def openai_reply(data: str) -> dict[str, object]:
    """An answer of OpenAI's images/generations (wire: openai-openapi, 2026-08)."""
    details = {"text_tokens": 12, "image_tokens": 0}
    made = {"text_tokens": 0, "image_tokens": 1056}
    return {
        "created": 1_795_000_000,
        "data": [{"b64_json": data}],
        "background": "opaque",
        "output_format": "png",
        "quality": "medium",
        "size": "1024x1024",
        "usage": {
            "input_tokens": 12,
            "input_tokens_details": details,
            "output_tokens": 1056,
            "output_tokens_details": made,
            "total_tokens": 1068,
        },
    }


def gemini_reply(data: str) -> dict[str, object]:
    """An answer of Google's generateContent (ai.google.dev/api/generate-content, 2026-10)."""
    part = {"inlineData": {"mimeType": "image/png", "data": data}}
    content = {"role": "model", "parts": [part]}
    return {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {
            "promptTokenCount": 12,
            "candidatesTokenCount": 1290,
            "totalTokenCount": 1302,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}],
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
        },
        "modelVersion": "gemini-2.5-flash-image",
        "responseId": "bench",
    }


def answer(body: bytes, status: str = "200 OK") -> bytes:
    """An HTTP answer with a JSON body."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


class Upstream:
    """What all its connections share."""

    def __init__(self) -> None:
        data = base64.b64encode(picture()).decode()
        self.openai = answer(json.dumps(openai_reply(data)).encode())
        self.gemini = answer(json.dumps(gemini_reply(data)).encode())
        self.delay_s = 0.0
        self.calls = 0

    def answer(self, path: str) -> tuple[bytes, float]:
        """What is sent back, and after how long."""
        _, _, last = path.partition("?")[0].rpartition("/")
        if path.startswith("/delay/"):
            self.delay_s = int(last) / 1000
        elif last in ("generations", "edits"):
            self.calls += 1
            return self.openai, self.delay_s
        elif last.endswith(":generateContent"):
            self.calls += 1
            return self.gemini, self.delay_s
        return answer(json.dumps({"calls": self.calls}).encode()), 0.0


class _Connection(asyncio.Protocol):
    """Takes one request after the other, without pipelining."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._transport: asyncio.Transport
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or not _whole(bytes(head).lower(), body):
            return
        self._received.clear()
        said, after_s = self._upstream.answer(head.split(b" ", 2)[1].decode())
        if after_s:
            asyncio.get_running_loop().call_later(after_s, self._say, said)
        else:
            self._say(said)

    def _say(self, said: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(said)


def _whole(head: bytes, body: bytearray) -> bool:
    if b"transfer-encoding: chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    _, found, rest = head.partition(b"content-length:")
    return not found or len(body) >= int(rest.partition(b"\r\n")[0])


async def serve(port: int) -> None:
    """Answer on loopback until the process is ended."""
    upstream = Upstream()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Connection(upstream), "127.0.0.1", port, backlog=2048
    )
    address = server.sockets[0].getsockname()
    sys.stderr.write(f"upstream: http://127.0.0.1:{address[1]}\n")
    sys.stderr.flush()
    await server.serve_forever()


def main() -> None:
    """Take the port from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()

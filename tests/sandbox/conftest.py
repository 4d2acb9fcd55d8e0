"""A sandbox on a fixed day, and a client that speaks to its Google."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest
from PIL import Image

from shared import catalogue
from shared.catalogue import Catalogue
from shared.sandbox import Sandbox

TODAY = date(2026, 11, 21)


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: datetime = datetime(2026, 11, 21, 10, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def today(self) -> date:
        return self.now.date()


@dataclass(frozen=True)
class Google:
    """Calls to the sandbox's Google, with a key unless told otherwise."""

    sandbox: Sandbox

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        data = content if body is None else json.dumps(body).encode()
        sent = {"x-goog-api-key": "any"} | (headers or {})
        url = path if path.startswith("http") else f"http://sandbox/google{path}"
        return self.sandbox.handle(httpx.Request(method, url, headers=sent, content=data))

    def generate(
        self,
        prompt: str = "A red bicycle",
        model: str = "gemini-3-pro-image",
        *,
        config: dict[str, Any] | None = None,
        sources: tuple[bytes, ...] = (),
        headers: dict[str, str] | None = None,
        **top: object,
    ) -> httpx.Response:
        """One turn of text and PNG sources."""
        images = [{"inlineData": {"mimeType": "image/png", "data": packed(s)}} for s in sources]
        contents = [{"role": "user", "parts": [{"text": prompt}, *images]}]
        body = {"contents": contents, "generationConfig": config or {}, **top}
        path = f"/v1beta/models/{model}:generateContent"
        return self.send("POST", path, body, headers=headers)


def packed(data: bytes) -> str:
    """Bytes as they stand in JSON."""
    return base64.b64encode(data).decode("ascii")


def photo(width: int = 64, height: int = 64, colour: str = "red", kind: str = "PNG") -> bytes:
    """A small picture of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, kind)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    """A whole picture, its pixels read."""
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        return picture


def parts(response: httpx.Response) -> list[dict[str, Any]]:
    """The parts of a reply."""
    assert response.status_code == 200, response.text
    found = response.json()["candidates"][0]["content"]["parts"]
    assert isinstance(found, list)
    return found


def images(response: httpx.Response) -> list[bytes]:
    """The pictures of a reply, without thoughts."""
    return [
        base64.b64decode(part["inlineData"]["data"])
        for part in parts(response)
        if "inlineData" in part and not part.get("thought")
    ]


def refused(response: httpx.Response, code: int) -> dict[str, Any]:
    """The error of an answer, its form checked."""
    assert response.status_code == code, response.text
    error = response.json()["error"]
    assert error["code"] == code
    assert isinstance(error, dict)
    return error


@pytest.fixture(scope="session")
def rows() -> Catalogue:
    return catalogue.load()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def google(rows: Catalogue, clock: Clock) -> Google:
    return Google(Sandbox(rows, clock))

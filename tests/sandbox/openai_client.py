"""A client that speaks to the sandbox's OpenAI, and one that does so through the adapter."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from typing import Any

import httpx

from shared.domain import Endpoint, ImageRequest
from shared.providers import Done, openai_images
from shared.sandbox import Sandbox

FLARE, MINI, SECOND = "gpt-image-2.5-flare", "gpt-image-1-mini", "gpt-image-2"
ENDPOINT = Endpoint("http://sandbox/openai", "v1", FLARE, "sandbox")


@dataclass(frozen=True)
class OpenAI:
    """Calls with a key unless told otherwise."""

    sandbox: Sandbox
    key: str = "sandbox"

    def send(self, method: str, path: str, body: object = None, **kwargs: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.key}", **kwargs.pop("headers", {})}
        url = f"http://sandbox/openai{path}"
        request = httpx.Request(method, url, headers=headers, json=body, **kwargs)
        request.read()
        return self.sandbox.handle(request)

    def generate(self, prompt: str = "A red bicycle", **fields: object) -> httpx.Response:
        body = {"model": FLARE, "prompt": prompt, "quality": "low", **fields}
        return self.send("POST", "/v1/images/generations", body)

    def edit(self, files: list[tuple[str, bytes]], **fields: str) -> httpx.Response:
        """A form whose files have no honest name or type, as SDKs send them."""
        data = {"model": FLARE, "prompt": "Add a cat", "quality": "low", **fields}
        parts = [(n, ("upload", d, "application/octet-stream")) for n, d in files]
        return self.send("POST", "/v1/images/edits", data=data, files=parts)

    def through_the_adapter(self, prompt: str, n: int = 1, **more: Any) -> Done:
        """The outcome of one call as this house makes it. Raises DarkroomError."""
        asked = ImageRequest("generate", FLARE, prompt, n=n, quality="low", **more)
        request = openai_images.submit(asked, replace(ENDPOINT, key=self.key))
        response = self.sandbox.handle(request)
        response.request = request
        return openai_images.read(response)


def pictures(response: httpx.Response) -> list[bytes]:
    assert response.status_code == 200, response.text
    return [base64.b64decode(item["b64_json"]) for item in response.json()["data"]]


def refused(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error of an answer, its form checked."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert error["message"]
    assert isinstance(error, dict)
    return error


def events(response: httpx.Response) -> list[dict[str, Any]]:
    """The events of a stream, its form checked."""
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.endswith("\n\n")
    found = []
    for block in response.text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found

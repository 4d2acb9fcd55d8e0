"""What callers are sent is as the description says, and so is what its page says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from shared.fetch import Fetcher
from tests.darkroom import Darkroom, anywhere, play
from tests.test_openapi import CUP, DOCUMENT, check

URL = "https://shop.example/darkroom"
TYPE = re.compile(r"`((?:request|batch)\.\w+)`")


def test_webhooks_are_those_that_callers_are_told_of() -> None:
    assert set(DOCUMENT["webhooks"]) == set(TYPE.findall(Path("docs/webhooks.md").read_text()))
    for kind, item in DOCUMENT["webhooks"].items():
        operation = item["post"]
        assert operation["operationId"] == f"webhook_{kind.replace('.', '_')}"
        assert {"2XX", "410", "default"} == set(operation["responses"])
        Draft202012Validator.check_schema(body(kind))


@pytest.mark.pictures
def test_a_webhook_is_as_described(tmp_path: Path) -> None:
    sent: list[httpx.Request] = []

    async def story(darkroom: Darkroom) -> None:
        async def received(request: httpx.Request) -> httpx.Response:
            sent.append(request)
            return httpx.Response(204)

        transport = httpx.MockTransport(received)
        darkroom.app.fetcher = Fetcher(transport=transport, resolve=anywhere)
        wanted = {**CUP, "webhook_url": URL}
        for prompt in ("a cup", "a cup [sandbox:blocked]"):
            await darkroom.post("/generate", {**wanted, "prompt": prompt}, prefer="respond-async")
        items = {"items": [{"custom_id": "a", **CUP}], "webhook_url": URL}
        batch = (await darkroom.post("/batch", items)).headers["location"]
        await darkroom.post(f"{batch}/cancel", {})
        await darkroom.deliver()

    play(tmp_path, story)
    kinds = set()
    for request in sent:
        told = json.loads(request.content)
        kinds.add(told["type"])
        check(body(told["type"]), told)
        for header in DOCUMENT["webhooks"][told["type"]]["post"]["parameters"]:
            check(header["schema"], request.headers[header["name"]])
    assert kinds == {"request.succeeded", "request.failed", "batch.cancelled"}


def body(kind: str) -> dict[str, Any]:
    """The schema of a webhook's body."""
    operation = DOCUMENT["webhooks"][kind]["post"]
    schema: dict[str, Any] = operation["requestBody"]["content"]["application/json"]["schema"]
    return schema

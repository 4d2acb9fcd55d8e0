"""Answers that OpenRouter really gave, read from a folder beside the repository where there is one.
Their pictures were cut short when they were published: one of ours takes their place."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest
import yaml
from PIL import Image

from shared import catalogue, pricing
from shared.domain import Endpoint, ImageRequest, Source
from shared.errors import RateLimited
from shared.providers import Inline, openai_chat, openrouter_images
from tests.recorded import recording

CUT = re.compile(r"(?:/9j/|iVBORw0KGgo)[A-Za-z0-9+/=]*<<TRIMMED[^>]*>>")


def recorded(name: str) -> Any:
    path = recording(f"openai/{name}")
    return yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (2, 2), "green").save(out, kind)
    return out.getvalue()


def test_a_recorded_edit_is_asked_and_read_as_it_was() -> None:
    (exchange,) = recorded("openrouter_images_edit_refs.yml")["http_interactions"]
    logo, drawn = picture("PNG"), picture("JPEG")
    asked = json.loads(
        CUT.sub(base64.b64encode(logo).decode(), exchange["request"]["body"]["string"])
    )
    request = ImageRequest("edit", "m", asked["prompt"], sources=(Source(logo, "image/png", 2, 2),))
    endpoint = Endpoint("https://openrouter.ai/api", "v1", asked["model"], "provider-key")
    sent = openrouter_images.submit(request, endpoint)
    assert str(sent.url) == exchange["request"]["uri"]
    assert json.loads(sent.content) == asked
    body = CUT.sub(base64.b64encode(drawn).decode(), exchange["response"]["body"]["string"])
    done = openrouter_images.read(httpx.Response(200, content=body.encode()))
    assert done.images == (Inline(drawn, "image/jpeg"),)
    assert (done.usage.input_tokens, done.usage.image_tokens) == (1125, 1120)
    assert done.usage.cost_micros == 33_882
    route = catalogue.load().route("openrouter:gemini-3.1-flash-lite-image")
    assert route.wire_model == asked["model"]
    counted = pricing.cost_micros(replace(done.usage, cost_micros=None), route, 0)
    assert 0 <= counted - Decimal("33881.25") < 1


def test_a_recorded_limit_is_read_as_one() -> None:
    for exchange in recorded("openrouter_error_status.yaml")["interactions"]:
        said = exchange["response"]
        content = json.dumps(said["parsed_body"]).encode()
        with pytest.raises(RateLimited) as caught:
            openai_chat.read(httpx.Response(said["status"]["code"], content=content))
        assert "temporarily rate-limited upstream" in str(caught.value.private)
        assert "openrouter.ai" not in str(caught.value.private)

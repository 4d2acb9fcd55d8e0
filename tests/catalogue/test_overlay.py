"""docs/catalogue.md: what it shows is rows only, and works."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import httpx
import pytest

from shared.catalogue import load
from shared.providers.registry import WIRES
from tests.darkroom import Darkroom, play
from tests.upstream import png

pytestmark = pytest.mark.thorough

DOC = Path("docs/catalogue.md").read_text()
HOST, TERMS = re.findall(r"```toml\n(.*?)```", DOC, re.S)


def overlay(tmp_path: Path, rows: str) -> Path:
    path = tmp_path / "overlay.toml"
    path.write_text(rows)
    return path


def made(data: bytes) -> httpx.Response:
    return httpx.Response(200, json={"data": [{"b64_json": base64.b64encode(data).decode()}]})


def test_a_made_up_host_is_rows_only(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        body = {"model": "gpt-image-2", "prompt": "a cup", "aspect_ratio": "1:1"}
        answer = (await darkroom.post("/generate", body, key)).json()
        assert (answer["status"], answer["provider"]) == ("succeeded", "acme")
        assert answer["cost"]["usd"] == "0.040000"
        (call,) = darkroom.upstream.calls
        assert str(call.url) == "https://images.acme.example/v1/images/generations"
        assert call.headers["authorization"] == "Bearer acme-key"
        assert darkroom.upstream.bodies[0] == {
            "model": "gpt-image-2",
            "prompt": "a cup",
            "n": 1,
            "size": "1024x1024",
            "quality": "medium",
        }
        own = {"model": "acme-sketch", "prompt": "a cup", "quality": "high"}
        sketch = (await darkroom.post("/generate", own, key)).json()
        assert (sketch["provider"], sketch["cost"]["usd"]) == ("acme", "0.040000")
        assert darkroom.upstream.bodies[-1]["model"] == "sketch-1"
        refused = await darkroom.post("/generate", {**body, "aspect_ratio": "16:9"}, key)
        assert refused.status_code == 503
        reasons = "\n".join(refused.json()["error"]["details"]["excluded"])
        assert "gpt-image-2 at acme: aspect_ratio" in reasons
        await darkroom.check()

    rows = overlay(tmp_path, HOST)
    env = {"DARKROOM_CATALOGUE": str(rows), "GEMINI_API_KEY": "", "ACME_API_KEY": "acme-key"}
    play(tmp_path / "data", story, made(png()), env=env)


def test_a_made_up_host_can_be_tried_in_the_sandbox(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {"model": "acme-sketch", "prompt": "a cup", "resolution": "1K"}
        answer = (await darkroom.post("/generate", body)).json()
        assert (answer["status"], answer["provider"]) == ("succeeded", "acme")

    env = {"DARKROOM_CATALOGUE": str(overlay(tmp_path, HOST))}
    play(tmp_path / "data", story, env=env)


def test_an_accounts_terms_are_rows_too(tmp_path: Path) -> None:
    catalogue = load(overlay(tmp_path, TERMS))
    google, studio = catalogue.providers["google"], catalogue.providers["threedaistudio"]
    assert (google.daily_usd, google.in_flight) == (50_000_000, 50)
    assert google.free is not None and google.free.rpd == 500
    assert (studio.rpm, studio.credit_usd) == (10, 9_100)
    route = catalogue.route("google:gemini-3-pro-image")
    assert route.price.at(("4K",)) == 200_000


def test_every_wire_format_and_dialect_is_named() -> None:
    for wire, format_ in WIRES.items():
        for name in (wire, *format_.dialects):
            assert f"`{name}`" in DOC

"""Every model by every route and operation, through the sandbox, to a stored picture of the right
size and format; and every fault of the sandbox by every route, to its error."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from shared import sizes
from shared.catalogue import load
from shared.catalogue.rows import Route
from shared.domain import ImageRequest
from tests.darkroom import START, Darkroom, photo, play
from tests.faults import FAULTS

pytestmark = pytest.mark.pictures

CATALOGUE = load()
TODAY = START.date()
PICTURES = [model for model in CATALOGUE.models.values() if not model.three_d]
LIVE = [r for m in PICTURES for r in m.routes if r.live(TODAY)]
WIRES = {(r.provider, r.wire): r for r in reversed(LIVE)}
"""One route for each wire format at each provider."""


def ids(route: Route) -> str:
    return route.key


def smallest(route: Route) -> dict[str, Any]:
    """The route's smallest and cheapest picture, with everything said that can be."""
    offer = CATALOGUE.offer(route)
    asked: dict[str, Any] = {"model": route.model, "prompt": "A red bicycle"}
    if offer.aspect_ratios:
        asked["aspect_ratio"] = offer.aspect_ratios[-1]
    if len(offer.resolutions) > 1 or offer.aspect_ratios:
        asked["resolution"] = min(
            offer.resolutions, key=lambda r: sum(next(iter(offer.sizes.values()))[r])
        )
    if offer.seed:
        asked["seed"] = 7
    if offer.qualities:
        asked["quality"] = "low"
    return {**asked, "route": {"providers": [route.provider]}}


async def made(darkroom: Darkroom, operation: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await darkroom.post(f"/{operation}", body)
    assert answer.status_code == 200, answer.text
    record: dict[str, Any] = answer.json()
    assert record["status"] == "succeeded"
    return record


@pytest.mark.parametrize("route", LIVE, ids=ids)
def test_every_route_makes_and_edits_a_picture(route: Route, tmp_path: Path) -> None:
    offer = CATALOGUE.offer(route)

    async def story(darkroom: Darkroom) -> None:
        for operation in offer.operations:
            body = smallest(route)
            if operation == "edit":
                body["images"] = [{"b64_json": base64.b64encode(photo((128, 96))).decode()}]
            record = await made(darkroom, operation, body)
            assert (record["provider"], record["model"]) == (route.provider, route.model)
            (shown,) = record["images"]
            stored = await darkroom.client.get(shown["url"])
            with Image.open(io.BytesIO(stored.content)) as picture:
                size, kind = picture.size, picture.format
            assert shown["content_type"] == f"image/{kind}".lower()
            if offer.aspect_ratios:
                request = ImageRequest(
                    "generate",
                    route.model,
                    "x",
                    aspect_ratio=body["aspect_ratio"],
                    resolution=body["resolution"],
                )
                assert size == sizes.size_of(request, offer)

    play(tmp_path, story)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("route", WIRES.values(), ids=ids)
def test_every_wire_format_ends_in_the_file_format_asked_for(
    route: Route, kind: str, tmp_path: Path
) -> None:
    async def story(darkroom: Darkroom) -> None:
        quality = {} if kind == "png" else {"output_quality": 60}
        body = {**smallest(route), "output_format": kind, **quality}
        record = await made(darkroom, "generate", body)
        assert [i["content_type"] for i in record["images"]] == [f"image/{kind}"]

    play(tmp_path, story)


@pytest.mark.parametrize("route", WIRES.values(), ids=ids)
def test_every_wire_format_makes_several_different_pictures(route: Route, tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        n = min(3, CATALOGUE.offer(route).max_images)
        record = await made(darkroom, "generate", {**smallest(route), "n": n})
        assert len({i["sha256"] for i in record["images"]}) == n

    play(tmp_path, story)


@pytest.mark.parametrize("route", WIRES.values(), ids=ids)
def test_every_fault_ends_in_its_error_by_every_wire_format(route: Route, tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        for fault, status, code in FAULTS:
            body = smallest(route)
            body["prompt"] = f"a cat [sandbox:{fault}]"
            answer = await darkroom.post("/generate", body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), fault
            assert answer.json()["error"]["provider"] == route.provider
        for harmless in ("wrong_mime", "slow=2.5", "bytes=3000000", "unavailable*2"):
            body["prompt"] = f"a cat [sandbox:{harmless}]"
            record = await made(darkroom, "generate", body)
            if harmless.startswith("bytes"):
                assert record["images"][0]["bytes"] >= 3_000_000

    play(tmp_path, story)


@pytest.mark.parametrize("route", WIRES.values(), ids=ids)
def test_one_of_several_filtered_is_one_picture_fewer(route: Route, tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        if CATALOGUE.offer(route).max_images == 1:
            return
        body = {**smallest(route), "n": 2, "prompt": "a cat [sandbox:partial]"}
        record = await made(darkroom, "generate", body)
        assert len(record["images"]) == 1
        assert record["error"]["code"] == "partially_blocked"

    play(tmp_path, story)


def test_the_next_door_is_taken_and_the_caller_never_learns_which_was_broken(
    tmp_path: Path,
) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {"model": "nano-banana-pro", "prompt": "x [sandbox:unavailable@google]"}
        record = await made(darkroom, "generate", body)
        tried = [(a["provider"], a["outcome"]) for a in record["attempts"]]
        assert tried[-1] == (record["provider"], "succeeded")
        assert record["provider"] != "google"
        assert set(tried[:-1]) == {("google", "provider_unavailable")}
        assert record["error"] is None

    play(tmp_path, story)


def test_what_may_have_been_done_is_sent_nowhere_else(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {"model": "nano-banana-pro", "prompt": "x [sandbox:timeout@google]"}
        answer = await darkroom.post("/generate", body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "outcome_unknown")
        asked = await darkroom.get("/account/requests")
        (record,) = asked.json()["data"]
        assert [a["outcome"] for a in record["attempts"]] == ["outcome_unknown"]

    play(tmp_path, story)


@pytest.mark.parametrize("fault", ["blocked", "no_image"])
def test_refused_content_is_taken_nowhere_else(fault: str, tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {"model": "nano-banana-pro", "prompt": f"x [sandbox:{fault}@google]"}
        assert (await darkroom.post("/generate", body)).status_code == 422
        (record,) = (await darkroom.get("/account/requests")).json()["data"]
        assert {a["provider"] for a in record["attempts"]} == {"google"}

    play(tmp_path, story)


def test_no_fallback_means_none(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {"model": "nano-banana-pro", "prompt": "x [sandbox:unavailable@google]"}
        answer = await darkroom.post("/generate", {**body, "route": {"fallback": False}})
        assert answer.status_code == 503

    play(tmp_path, story)

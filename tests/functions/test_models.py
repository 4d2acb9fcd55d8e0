"""`/models`: the catalogue, estimates, and the API's own description."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.darkroom import Darkroom, play


def ids(listed: dict[str, Any]) -> list[str]:
    return [model["id"] for model in listed["data"]]


def test_the_catalogue_is_public_and_complete(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        listed = (await darkroom.client.get("/models")).json()
        assert listed["object"] == "list" and not listed["has_more"]
        assert len(listed["data"]) == len(darkroom.app.catalogue.models)
        pro = next(m for m in listed["data"] if m["id"] == "gemini-3-pro-image")
        assert pro["status"] == "live"
        assert pro["grade"] == 5
        assert pro["sizes"]["16:9"]["2K"] == "2752x1536"
        route = next(r for r in pro["routes"] if r["provider"] == "google")
        assert route["price"] == {
            "unit": "image",
            "usd": None,
            "by": {"1K": "0.134000", "2K": "0.134000", "4K": "0.240000"},
            "extras": None,
        }
        assert route["live"] and route["source"] and route["checked"]

    play(tmp_path, story)


def test_models_are_chosen_by_what_they_can(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        async def listed(**query: str) -> list[str]:
            answer = await darkroom.client.get("/models", params=query)
            assert answer.status_code == 200, answer.text
            return ids(answer.json())

        assert "gemini-2.5-flash-image" not in await listed(resolution="4K")
        assert all("imagen" not in i for i in await listed(operation="edit"))
        assert "seedream-5-0-lite" not in await listed(provider="ark", seed="true")
        assert "gemini-3-pro-image" not in await listed(provider="openrouter", mask="true")
        assert all(
            i.startswith(("imagen", "seedream", "hunyuan", "trellis"))
            for i in await listed(mask="false")
        )
        three_d = await listed(operation="three_d", provider="threedaistudio")
        assert three_d and all(i.startswith(("hunyuan", "trellis")) for i in three_d)
        assert "imagen-4.0-generate-001" in await listed(status="retired")
        assert "gemini-3-pro-image" in await listed(status="live", batch="true", seed="true")
        by_price, by_speed = await listed(sort="price"), await listed(sort="speed")
        assert by_price[0] == "gpt-image-1-mini"
        assert by_speed[0] in ("gemini-3.1-flash-lite-image", "gemini-2.5-flash-image")
        retired = set(await listed(status="retired"))
        assert set(by_price[-len(retired) :]) == set(by_speed[-len(retired) :]) == retired
        for wrong in (
            {"sort": "taste"},
            {"mask": "perhaps"},
            {"colour": "red"},
            {"status": "fine"},
            {"operation": "dance"},
            {"provider": "nobody"},
        ):
            assert (await darkroom.client.get("/models", params=wrong)).status_code == 400

    play(tmp_path, story)


def test_a_model_is_found_by_id_and_alias_even_when_retired(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        pro = (await darkroom.client.get("/models/nano-banana-pro")).json()
        assert pro["id"] == "gemini-3-pro-image"
        gone = (await darkroom.client.get("/models/imagen-4.0-ultra-generate-001")).json()
        assert (gone["status"], gone["successor"]) == ("retired", "gemini-3-pro-image")
        assert gone["shutdown"] == "2026-08-17"
        assert (await darkroom.client.get("/models/nothing")).status_code == 404

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("body", "first", "unit", "total", "batch"),
    [
        (
            {"model": "nano-banana", "count": 100_000},
            "gemini-2.5-flash-image",
            "0.039000",
            "3900.000000",
            "1950.000000",
        ),
        (
            {"model": "nano-banana-pro", "count": 10_000},
            "gemini-3-pro-image",
            "0.134000",
            "1340.000000",
            "670.000000",
        ),
        (
            {"model": "nano-banana-pro", "resolution": "4K", "n": 2, "count": 500},
            "gemini-3-pro-image",
            "0.240000",
            "240.000000",
            "120.000000",
        ),
    ],
)
def test_an_estimate_is_the_rows_price_times_the_pictures(
    tmp_path: Path, body: dict[str, Any], first: str, unit: str, total: str, batch: str
) -> None:
    async def story(darkroom: Darkroom) -> None:
        estimate = (await darkroom.client.post("/models/estimate", json=body)).json()
        route = next(r for r in estimate["routes"] if r["provider"] == "google")
        assert route["model"] == first
        assert (route["unit_usd"], route["total_usd"]) == (unit, total)
        assert route["batch_total_usd"] == batch
        assert route["why"]

    play(tmp_path, story)


def test_a_3d_model_is_estimated_by_its_options(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        options = {"resolution": "1536", "textures": True, "texture_size": 4096}
        body = {"operation": "three_d", "model": "trellis-2", "options": options, "count": 10}
        estimate = (await darkroom.client.post("/models/estimate", json=body)).json()
        (route,) = estimate["routes"]
        assert (route["unit_usd"], route["total_usd"]) == ("0.550000", "5.500000")
        assert route["batch_total_usd"] is None and "priced at its options" in route["why"]
        every = {"operation": "three_d", "model": "auto", "prompt": "a cup"}
        estimate = (await darkroom.client.post("/models/estimate", json=every)).json()
        assert {r["model"] for r in estimate["routes"]} == {"hunyuan-3d-3.1", "hunyuan-3d-3.0"}
        reasons = {e["model"]: e["reason"] for e in estimate["excluded"]}
        assert reasons["trellis-2"] == "prompt: it takes no prompt: send an image"
        assert reasons["gemini-3-pro-image"] == "model: it cannot make 3D models"

    play(tmp_path, story, env={"GEMINI_API_KEY": ""})


@pytest.mark.thorough
def test_imagen_is_priced_again_once_an_overlay_reopens_it_elsewhere(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text(
        """
        [[provider]]
        id = "relay"
        name = "Relay"
        base_url = "https://relay.example"
        version = "v1beta"
        auth = "x-goog-api-key"
        env = "RELAY"
        sandbox = "google"
        timeout_s = 60

        [[model]]
        id = "imagen-4.0-fast-generate-001"
        [[model.routes]]
        provider = "relay"
        wire = "imagen"
        wire_model = "imagen-4.0-fast-generate-001"
        images_per_call = 4
        price = { unit = "image", usd = "0.02" }
        source = "relay.example/pricing"
        checked = 2026-11-21
        """
    )

    async def story(darkroom: Darkroom) -> None:
        body = {"model": "imagen-4-fast", "count": 10_000}
        estimate = (await darkroom.client.post("/models/estimate", json=body)).json()
        assert estimate["routes"][0]["total_usd"] == "200.000000"
        assert [e["provider"] for e in estimate["excluded"]] == ["google"]
        asked = {"model": "imagen-4-fast", "prompt": "a cup", "n": 4, "aspect_ratio": "16:9"}
        made = await darkroom.post("/generate", asked)
        assert made.status_code == 200, made.text
        images = made.json()["images"]
        assert [(i["width"], i["height"]) for i in images] == [(1408, 768)] * 4
        assert len({i["sha256"] for i in images}) == 4
        filtered = {**asked, "prompt": "cups [sandbox:partial]"}
        partly = (await darkroom.post("/generate", filtered)).json()
        assert len(partly["images"]) == 3
        assert partly["error"]["code"] == "partially_blocked"
        assert partly["error"]["message"].startswith("3 of 4 pictures were made. ")

    env = {"DARKROOM_CATALOGUE": str(overlay), "DARKROOM_PROVIDERS": "RELAY"}
    play(tmp_path / "data", story, env=env)


def test_an_estimate_names_the_key_that_a_route_waits_for(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {"model": "nano-banana-pro"}
        estimate = (await darkroom.client.post("/models/estimate", json=body)).json()
        assert [r["provider"] for r in estimate["routes"]] == ["google"]
        reasons = {e["provider"]: e["reason"] for e in estimate["excluded"]}
        assert reasons["laozhang"] == "LAOZHANG_API_KEY is not set"
        assert reasons["vertex"] == "VERTEX_LOCATION is not set"
        strange = {**body, "route": {"providers": ["nobody"]}}
        assert (await darkroom.client.post("/models/estimate", json=strange)).status_code == 400

    play(tmp_path, story)


def test_without_any_key_an_estimate_is_of_everything(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {"model": "nano-banana-pro"}
        estimate = (await darkroom.client.post("/models/estimate", json=body)).json()
        assert len(estimate["routes"]) == 5 and estimate["excluded"] == []

    play(tmp_path, story, env={"GEMINI_API_KEY": ""})


def test_an_estimate_says_what_to_choose_and_why(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        async def estimate(body: dict[str, Any], key: str = "") -> dict[str, Any]:
            headers = {"authorization": f"Bearer {key}"} if key else {}
            answer = await darkroom.client.post("/models/estimate", json=body, headers=headers)
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

        best = {"choose": "best", "can_wait": True, "max_unit_usd": "0.07", "count": 1_000}
        found = await estimate(best)
        choice = found["choice"]
        assert choice.pop("reason").startswith("Nano Banana Pro by Google Gemini API is the best ")
        assert choice == {
            "model": "gemini-3-pro-image",
            "provider": "google",
            "mode": "batch",
            "unit_usd": "0.067000",
            "total_usd": "67.000000",
            "seconds": None,
        }
        assert found["choice_reason"] is None
        nothing = await estimate({"max_unit_usd": "0.01", "masked": True})
        assert nothing["choice"] is None and nothing["routes"] == []
        assert nothing["choice_reason"].startswith("Nothing open here can make pictures from yours")
        reasons = {(e["model"], e["provider"]): e["reason"] for e in nothing["excluded"]}
        assert reasons["gemini-3-pro-image", "google"] == (
            "it costs $0.134 a picture, over the limit of $0.01"
        )
        # Whoever sends a test key is told of what it reaches, whether it is one or not.
        assert {r["provider"] for r in (await estimate({}))["routes"]} == {"google"}
        assert {r["provider"] for r in (await estimate({}, "dk_live_x"))["routes"]} == {"google"}
        tested = await estimate({}, "dk_test_of_nobody")
        assert {r["provider"] for r in tested["routes"]} == set(darkroom.app.catalogue.providers)
        for wrong in ({"choose": "tasty"}, {"max_unit_usd": 1}, {"can_wait": "yes"}):
            answer = await darkroom.client.post("/models/estimate", json=wrong)
            assert answer.status_code == 400, answer.text

    play(tmp_path, story)


def test_an_estimate_for_any_model_is_cheapest_first_and_gives_reasons(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {"resolution": "4K", "source_count": 2}
        estimate = (await darkroom.client.post("/models/estimate", json=body)).json()
        prices = [float(r["unit_usd"]) for r in estimate["routes"]]
        assert prices == sorted(prices) and prices
        reasons = {e["model"]: e["reason"] for e in estimate["excluded"]}
        assert "4K" in reasons["gemini-2.5-flash-image"]
        assert "retired" in reasons["imagen-4.0-generate-001"]
        gone = await darkroom.client.post(
            "/models/estimate", json={"model": "imagen-4.0-generate-001"}
        )
        assert gone.status_code == 410

    play(tmp_path, story)


def test_the_description_names_every_path_and_error(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        document = (await darkroom.client.get("/models/openapi.json")).json()
        assert document["openapi"] == "3.1.0"
        from functions import account, edit, generate, models

        served = set()
        for module in (account, edit, generate, models):
            name = module.__name__.split(".")[1]
            for route in module.APP.routes:
                for inner in getattr(route, "routes", None) or []:
                    path = f"/{name}{inner.path}".rstrip("/")
                    served |= {(m.lower(), path) for m in inner.methods - {"HEAD"}}
        native = {
            f"/{module.__name__.split('.')[1]}" for module in (account, edit, generate, models)
        }
        described = {
            (m, p)
            for p, item in document["paths"].items()
            for m in item
            if f"/{p.split('/')[1]}" in native
        }
        assert described == served
        text = json.dumps(document)
        for ref in re.findall(r'"#/components/schemas/([^"]+)"', text):
            assert ref in document["components"]["schemas"]
        responses = document["paths"]["/generate"]["post"]["responses"]
        assert {"200", "400", "402", "409", "410", "413", "422", "429", "504"} <= set(responses)

    play(tmp_path, story)


def test_paths_and_methods_that_do_not_exist_are_refused_in_our_words(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        nowhere = await darkroom.client.get("/account/nowhere")
        assert nowhere.status_code == 404
        assert nowhere.json()["error"]["code"] == "not_found"
        wrong = await darkroom.client.get("/generate")
        assert wrong.status_code == 405
        assert wrong.headers["allow"] == "POST"
        assert wrong.json()["error"]["code"] == "invalid_request"
        root = await darkroom.client.get("/")
        assert root.status_code == 404
        assert "/generate" in root.json()["error"]["message"]

    play(tmp_path, story)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '"x"', "[" * 100_000])
def test_a_body_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    async def story(darkroom: Darkroom) -> None:
        headers = {"authorization": "Bearer dk_test_of_the_tests"}
        answer = await darkroom.client.post("/generate", content=text, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "invalid_request"

    play(tmp_path, story)

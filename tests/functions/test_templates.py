"""Prompt templates as callers meet them: listed, made pictures of, and kept on record."""

from __future__ import annotations

import base64
import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared import local, sweep, upload_trigger
from tests.darkroom import TEST_KEY, Darkroom, photo, play
from tests.upstream import picture

pytestmark = pytest.mark.pictures
MUG = {"name": "product-photo", "variables": {"subject": "a ceramic mug"}}
RED = {"name": "colour-variant", "variables": {"part": "the lid", "colour": "red"}}
SMALL = {"resolution": "1K"}
IMAGE = {"b64_json": base64.b64encode(photo()).decode()}


def sent(darkroom: Darkroom, number: int = -1) -> Any:
    """The parts of a prompt that a provider got."""
    bodies: list[Any] = darkroom.upstream.bodies
    return bodies[number]["contents"][-1]["parts"]


async def kept(darkroom: Darkroom, request_id: str, key: str = TEST_KEY) -> dict[str, Any]:
    """A request as its account sees it later."""
    answer = await darkroom.get(f"/account/requests/{request_id}", key)
    found: dict[str, Any] = answer.json()
    return found


def test_they_are_listed_for_anybody(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        answer = await darkroom.client.get("/models/templates")
        assert answer.headers["cache-control"] == "public, max-age=60"
        listed = answer.json()
        assert (listed["object"], listed["has_more"]) == ("list", False)
        by_name = {row["name"]: row for row in listed["data"]}
        assert list(by_name) == list(darkroom.app.catalogue.templates)
        mug, red = by_name["product-photo"], by_name["colour-variant"]
        assert (mug["operation"], mug["operations"]) == ("generate", ["generate"])
        assert (red["operation"], red["min_sources"], red["max_sources"]) == ("edit", 1, 1)
        assert (mug["object"], mug["version"]) == ("template", 1)
        assert mug["model"] == "gemini-nano-banana-2.1"
        assert mug["fields"] == {"aspect_ratio": "1:1"}
        assert mug["variables"][0] == {
            "name": "subject",
            "description": "The product, its material and colour",
            "required": True,
            "default": None,
            "example": "a ceramic mug with a matt blue glaze",
            "values": [],
            "max_length": 200,
        }
        assert not mug["variables"][1]["required"]
        assert (await darkroom.client.get("/models/templates?name=logo")).status_code == 400

    play(tmp_path, story)


def test_a_picture_is_made_of_one_and_the_record_says_of_which(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        with caplog.at_level(logging.INFO):
            answer = await darkroom.post("/generate", {"template": MUG, **SMALL}, key)
        assert answer.status_code == 200, answer.text
        made = answer.json()
        assert made["model"] == "gemini-nano-banana-2.1"
        [text] = [part["text"] for part in sent(darkroom)]
        assert "studio photograph of a ceramic mug, " in text and "Avoid: text" in text
        found = await kept(darkroom, made["id"], key)
        assert found["prompt"] == text
        assert found["parameters"] == {
            "model": "auto",
            "template": {**MUG, "version": 1},
            "n": 1,
            "aspect_ratio": "1:1",
            "resolution": "1K",
        }
        assert "ceramic" not in caplog.text
        await darkroom.check()

    play(tmp_path, story, picture())


def test_an_edit_has_its_images_and_the_prompt(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        asked = {"template": RED, "model": "nano-banana-2-lite", "images": [IMAGE]}
        made = (await darkroom.post("/edit", asked, key)).json()
        assert made["model"] == "gemini-3.1-flash-lite-image"
        texts = [part["text"] for part in sent(darkroom) if "text" in part]
        assert len(sent(darkroom)) == 2
        assert texts[0].startswith("Change the colour of the lid in this picture to red, ")
        found = await kept(darkroom, made["id"], key)
        assert found["parameters"]["template"] == {**RED, "version": 1}
        parts = {"template": json.dumps(RED), "model": "nano-banana-2-lite"}
        told = {"authorization": f"Bearer {key}"}
        files = {"image": ("a.jpg", photo(), "image/jpeg")}
        again = await darkroom.client.post("/edit", data=parts, files=files, headers=told)
        assert again.status_code == 200, again.text
        assert again.json()["parameters"]["template"]["name"] == "colour-variant"

    play(tmp_path, story, picture(), picture())


def test_a_wrong_one_costs_nothing_and_is_told_what_there_is(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        for path, template, status, param in (
            ("/generate", {"name": "mug"}, 404, "template.name"),
            ("/generate", {"name": "product-photo"}, 400, "template.variables.subject"),
            ("/generate", RED, 400, "images"),
            ("/edit", MUG, 400, "images"),
        ):
            images = {"images": [IMAGE]} if path == "/edit" else {}
            answer = await darkroom.post(path, {"template": template, **images})
            assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
        blocked = {**MUG, "variables": {"subject": "an acme van"}}
        answer = await darkroom.post("/generate", {"template": blocked})
        assert answer.json()["error"]["code"] == "content_blocked"
        assert (await darkroom.get("/account/requests")).json()["data"] == []

    (tmp_path / "blocked.txt").write_text("acme\n")
    play(tmp_path, story, env={"DARKROOM_BLOCKLIST": str(tmp_path / "blocked.txt")})


def test_one_of_an_operators_own_is_used_like_ours(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        '[[template]]\nname = "product-photo"\nversion = 7\nprompt = "Only {subject}"\n'
        'variables = { surface = "", light = "", angle = "" }\navoid = []\n'
        'model = "nano-banana-2-lite"\n'
    )

    async def story(darkroom: Darkroom) -> None:
        made = (await darkroom.post("/generate", {"template": MUG})).json()
        assert (made["prompt"], made["status"]) == ("Only a ceramic mug", "succeeded")
        assert made["parameters"]["template"]["version"] == 7

    play(tmp_path / "data", story, env={"DARKROOM_CATALOGUE": str(own)})


def test_a_queued_one_is_made_as_it_was_asked_for(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        asked = {"template": MUG, **SMALL}
        queued = (await darkroom.post("/generate", asked, key, prefer="respond-async")).json()
        await darkroom.deliver()
        found = await kept(darkroom, queued["id"], key)
        assert (found["status"], found["model"]) == ("succeeded", "gemini-nano-banana-2.1")
        assert found["parameters"]["template"] == {**MUG, "version": 1}
        assert "a ceramic mug" in sent(darkroom)[0]["text"]

    play(tmp_path, story, picture())


def test_the_same_prompt_is_the_same_picture(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        asked = {"model": "nano-banana-2-lite", "cache": True}
        first = (await darkroom.post("/generate", {"template": MUG, **asked}, key)).json()
        again = {"prompt": first["prompt"], "aspect_ratio": "1:1", **asked}
        second = (await darkroom.post("/generate", again, key)).json()
        assert (second["cost"]["usd"], len(darkroom.upstream.calls)) == ("0.000000", 1)
        assert "template" not in second["parameters"]

    play(tmp_path, story, picture())


def test_a_batchs_items_name_them_too(tmp_path: Path) -> None:
    items = [
        {"custom_id": "mug"},
        {"custom_id": "cup", "prompt": "a cup"},
        {"custom_id": "lid", "template": RED, "images": [IMAGE]},
    ]

    async def story(darkroom: Darkroom) -> None:
        asked = {"defaults": {"template": MUG, **SMALL}, "items": items, "mode": "fanout"}
        key = await darkroom.live_key()
        answer = await darkroom.post("/batch", asked, key)
        assert answer.status_code == 202, answer.text
        batch = answer.json()
        for _ in range(20):
            await sweep.sweep(darkroom.app, darkroom.now)
            await darkroom.deliver()
            darkroom.pass_time(timedelta(seconds=30))
        lines = (await darkroom.get(f"/batch/{batch['id']}/results", key)).text.splitlines()
        made = {line["custom_id"]: line for line in map(json.loads, lines)}
        assert {name: line["status"] for name, line in made.items()} == dict.fromkeys(
            ("mug", "cup", "lid"), "succeeded"
        )
        by_model = {
            part["text"][:9]: call.url.path.split("/")[-1]
            for number, call in enumerate(darkroom.upstream.calls)
            for part in sent(darkroom, number)
            if "text" in part
        }
        ours = "gemini-nano-banana-2.1:generateContent"
        assert by_model["A photore"] == by_model["Change th"] == ours != by_model["a cup"]
        wrong = {"items": [{"custom_id": "a", "template": {"name": "x"}}, {"custom_id": "b"}]}
        refused = (await darkroom.post("/batch", wrong)).json()["error"]["details"]["lines"]
        assert [line["param"] for line in refused] == ["template.name", "prompt"]

    play(tmp_path, story, picture(), picture(), picture())


def test_a_file_is_edited_by_the_one_it_names(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        upload = {
            "filename": "lid.jpg",
            "content_type": "image/jpeg",
            "bytes": len(photo()),
            "metadata": {
                "darkroom-template": "colour-variant",
                "darkroom-variables": '{"part": "the lid", "colour": "rouge foncé"}',
            },
        }
        leave = (await darkroom.post("/account/uploads", upload)).json()
        await darkroom.client.put(leave["url"], content=photo(), headers=leave["headers"])
        await darkroom.deliver()
        [made] = (await darkroom.get("/account/requests")).json()["data"]
        assert (made["status"], made["operation"]) == ("succeeded", "edit")
        assert made["prompt"].startswith("Change the colour of the lid in this picture to rouge f")
        assert made["parameters"]["template"] == {
            "name": "colour-variant",
            "version": 1,
            "variables": {"part": "the lid", "colour": "rouge foncé"},
        }
        unknown = {**upload, "metadata": {"darkroom-template": "x"}}
        assert (await darkroom.post("/account/uploads", unknown)).status_code == 404
        missing = {**upload, "metadata": {"darkroom-template": "colour-variant"}}
        refused = await darkroom.post("/account/uploads", missing)
        assert refused.json()["error"]["param"] == "template.variables.part"

    play(tmp_path, story)


def test_a_file_straight_into_the_bucket_that_lacks_one_leaves_the_reason(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        name = f"uploads/{local.ACCOUNT_ID}/upl_1/lid.jpg"
        labels = {"darkroom-template": "colour-variant", "darkroom-test": "1"}
        await darkroom.app.storage.put(name, photo(), "image/jpeg", labels)
        await upload_trigger.finalized(darkroom.app, name)
        [left] = (await darkroom.get("/account/requests")).json()["data"]
        assert (left["status"], left["error"]["param"]) == ("failed", "template.variables.part")

    play(tmp_path, story)

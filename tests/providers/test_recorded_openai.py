"""Answers that OpenAI and a host like it really gave, read from a folder beside the repository
where there is one. Their pictures are cut to the first bytes."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

import httpx
import pytest
import yaml

from shared.domain import Endpoint, ImageRequest, Source
from shared.providers import Done, Inline, Remote, openai_images
from tests.recorded import recording

CUT = re.compile(r"<<TRIMMED [^>]*>>")


def exchange(name: str) -> Any:
    path = recording(f"openai/{name}.yml")
    # Bodies that are not text stand there as base64, cut as well: nobody needs them here.
    text = path.read_text("utf-8").replace("!binary ", "")
    return yaml.load(text, yaml.CSafeLoader)["http_interactions"][0]


def body(recorded: Any) -> Any:
    return json.loads(CUT.sub("", recorded["body"]["string"]))


def outcome(name: str) -> tuple[Done, Any]:
    """What a recorded answer means to us, and what it says."""
    recorded = exchange(name)["response"]
    said = body(recorded)
    headers = {"content-type": recorded["headers"]["Content-Type"][0]}
    content = json.dumps(said).encode()
    answer = httpx.Response(recorded["status"]["code"], headers=headers, content=content)
    return openai_images.read(answer), said


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("openai_gpt-image-1_generate", (10, 0, 4160, 4160)),
        ("openai_edit_custom_output", (221, 194, 415, 272)),
        ("openai_gpt-image-1_edit_multi_rubyopenai", (432, 388, 4160, 4160)),
    ],
)
def test_a_recorded_picture_is_read_with_what_it_counted(
    name: str, counts: tuple[int, int, int, int]
) -> None:
    done, said = outcome(name)
    (item,) = said["data"]
    assert done.images == (Inline(binascii.a2b_base64(item["b64_json"]), "image/png"),)
    usage = done.usage
    assert counts == (
        usage.input_tokens,
        usage.source_tokens,
        usage.output_tokens,
        usage.image_tokens,
    )
    assert usage.images == 1


@pytest.mark.parametrize("name", ["xai_images_generate", "xai_images_edit_json"])
def test_a_recorded_host_that_answers_with_addresses_is_read(name: str) -> None:
    done, said = outcome(name)
    assert done.images == (Remote(said["data"][0]["url"]),)
    assert done.text is None


def test_a_recorded_address_comes_with_the_prompt_as_it_was_understood() -> None:
    done, said = outcome("openai_dalle_generate_url")
    assert done.images == (Remote(said["data"][0]["url"]),)
    assert done.text == said["data"][0]["revised_prompt"]


def test_an_edit_in_json_is_sent_as_recorded() -> None:
    asked = exchange("openai_edit_custom_output")["request"]
    known = body(asked)
    head = known["images"][0]["image_url"].removeprefix("data:image/png;base64,")
    request = ImageRequest(
        "edit",
        "gpt-image-1.5",
        known["prompt"],
        size=(1024, 1024),
        quality=known["quality"],
        sources=(Source(base64.b64decode(head), "image/png", 128, 128),),
    )
    endpoint = Endpoint("https://api.openai.com", "v1", known["model"], "key", dialect="json")
    sent = openai_images.submit(request, endpoint)
    assert str(sent.url) == asked["uri"]
    assert json.loads(sent.content) == known

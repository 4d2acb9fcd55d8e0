"""Answers that Google really gave, read from a folder beside the repository where there is one."""

from __future__ import annotations

import binascii
import json
from typing import Any

import httpx
import pytest
import yaml

from shared.domain import Endpoint
from shared.errors import ContentBlocked, DarkroomError, Misconfigured, NoImage
from shared.providers import Done, Inline, gemini, google_files
from tests.providers.told import told
from tests.recorded import recording


def exchanges(name: str) -> list[Any]:
    path = recording(f"google/pydantic-ai__{name}.yaml")
    with path.open("rb") as file:
        loaded: list[Any] = yaml.load(file, yaml.CSafeLoader)["interactions"]
    return loaded


def answer(exchange: Any) -> httpx.Response:
    recorded = exchange["response"]
    headers = {
        name: values[0]
        for name, values in recorded["headers"].items()
        if name not in ("content-length", "transfer-encoding")
    }
    if "parsed_body" in recorded:
        content = json.dumps(recorded["parsed_body"]).encode()
    else:
        content = recorded["body"]["string"].encode()
    return httpx.Response(recorded["status"]["code"], headers=headers, content=content)


@pytest.mark.parametrize(
    ("name", "index", "counts"),
    [
        ("test_google_image_generation_with_text", 0, (14, 1283 + 174, 174, 1120)),
        ("test_google_image_and_text_output", 0, (17, 1336, 0, 1290)),
        ("test_google_image_or_text_output", 1, (10, 1304, 0, 1290)),
    ],
)
def test_a_recorded_picture_is_read_byte_for_byte(
    name: str, index: int, counts: tuple[int, int, int, int]
) -> None:
    exchange = exchanges(name)[index]
    parts = exchange["response"]["parsed_body"]["candidates"][0]["content"]["parts"]
    (blob,) = (part["inlineData"] for part in parts if "inlineData" in part)
    outcome = gemini.read(answer(exchange))
    assert isinstance(outcome, Done)
    assert outcome.images == (Inline(binascii.a2b_base64(blob["data"]), blob["mimeType"]),)
    usage = outcome.usage
    assert counts == (
        usage.input_tokens,
        usage.output_tokens,
        usage.thought_tokens,
        usage.image_tokens,
    )
    assert usage.images == 1
    assert outcome.text == "".join(part.get("text", "") for part in parts)
    assert outcome.reply
    assert json.loads(told(outcome) or "") == {"role": "model", "parts": parts}


def test_a_recorded_answer_in_words_is_no_image() -> None:
    with pytest.raises(NoImage) as caught:
        gemini.read(answer(exchanges("test_google_image_or_text_output")[0]))
    assert "axolotl" in str(caught.value.details["text"])


def test_a_recorded_safety_stop_is_blocked_content() -> None:
    with pytest.raises(ContentBlocked) as caught:
        gemini.read(answer(exchanges("test_google_model_safety_settings")[0]))
    assert caught.value.details["reason"] == "SAFETY"


@pytest.mark.parametrize(
    "name", ["test_model_name_suggestion_google_", "TestGoogle.test_count_tokens_error"]
)
def test_a_recorded_unknown_model_is_the_operators_to_mend(name: str) -> None:
    with pytest.raises(DarkroomError) as caught:
        gemini.read(answer(exchanges(name)[0]))
    assert type(caught.value) is Misconfigured
    assert "not found" in str(caught.value.private)


def test_a_recorded_handshake_is_followed() -> None:
    opened, sent = exchanges("resumable_upload_handshake_file_search_tool")[1:3]
    base_url = "https://generativelanguage.googleapis.com"
    endpoint = Endpoint(base_url, "v1beta", "model-1", "provider-key")
    data = sent["request"]["body"].encode()
    request = google_files.send(answer(opened), data, endpoint)
    assert str(request.url) == sent["request"]["uri"]
    assert [request.headers["content-length"]] == sent["request"]["headers"]["content-length"]


@pytest.mark.parametrize("name", ["files_upload_finalize", "files_get"])
def test_a_recorded_file_is_read(name: str) -> None:
    path = recording(f"google/DelphiGemini__{name}_response_2026-01-06.json")
    file = google_files.read(httpx.Response(200, content=path.read_bytes()))
    assert file.name.startswith("files/")
    assert file.uri.endswith(file.name)

"""The sandbox says what Google was recorded to say. Skipped where no recordings are at hand."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.recorded import recording
from tests.sandbox.conftest import Google, photo
from tests.sandbox.test_google_files import uploaded


def recorded(name: str) -> Any:
    return json.loads(recording(f"google/{name}").read_text())


def exchange(name: str) -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with recording(f"google/{name}").open() as file:
        return yaml.load(file, loader)["interactions"][-1]  # noqa: S506 - a safe loader


def shape(value: Any) -> Any:
    """The names and types of a JSON value, its contents left out."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in sorted(value.items())}
    return [shape(item) for item in value] if isinstance(value, list) else type(value).__name__


def test_a_picture_comes_in_the_recorded_shape(google: Google) -> None:
    known = exchange("pydantic-ai__test_google_image_and_text_output.yaml")
    sent, said = known["request"]["parsed_body"], known["response"]["parsed_body"]
    path = "/v1beta/models/gemini-2.5-flash-image:generateContent"
    answer = google.send("POST", path, sent).json()
    del answer["usageMetadata"]["serviceTier"]  # came after the recording
    assert shape(answer) == shape(said)
    assert answer["usageMetadata"]["candidatesTokensDetails"] == [
        {"modality": "IMAGE", "tokenCount": 1290}
    ]


def test_an_unknown_model_is_refused_in_the_recorded_words(google: Google) -> None:
    known = exchange("pydantic-ai__test_model_name_suggestion_google_.yaml")
    path = known["request"]["uri"].removeprefix("https://generativelanguage.googleapis.com")
    answer = google.send("POST", path, known["request"]["parsed_body"])
    assert answer.status_code == known["response"]["status"]["code"]
    assert answer.json() == known["response"]["parsed_body"]


def test_a_model_is_listed_in_the_recorded_shape(google: Google) -> None:
    known = recorded("llm-gemini__models_list_2026-08-05.decoded.json")["models"]
    listed = google.send("GET", "/v1beta/models").json()["models"]
    for name in ("models/gemini-2.5-flash-image", "models/gemini-3-pro-image"):
        ours, theirs = (next(m for m in rows if m["name"] == name) for rows in (listed, known))
        # Batches and Google's descriptions aside.
        for row in (ours, theirs):
            del row["supportedGenerationMethods"], row["description"]
        assert ours == theirs


def test_a_file_comes_in_the_recorded_shape(google: Google) -> None:
    known = recorded("DelphiGemini__files_upload_finalize_response_2026-01-06.json")["file"]
    file = uploaded(google, photo(), displayName="photo")
    assert shape(file) == shape(known)

"""Imagen's predict, on a day before its shutdown."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.sandbox.conftest import Clock, Google, opened, refused

pytestmark = pytest.mark.pictures

STANDARD, FAST = "imagen-4.0-generate-001", "imagen-4.0-fast-generate-001"


@pytest.fixture(autouse=True)
def before_the_shutdown(clock: Clock) -> None:
    clock.now = clock.now.replace(month=8, day=16)


def predict(google: Google, prompt: str = "A robot", model: str = STANDARD, **asked: Any) -> Any:
    asked = {"sampleCount": 1, **asked}
    body = {"instances": [{"prompt": prompt}], "parameters": asked}
    return google.send("POST", f"/v1beta/models/{model}:predict", body)


def pictures(google: Google, prompt: str = "A robot", **asked: Any) -> list[bytes]:
    predictions = predict(google, prompt, **asked).json()["predictions"]
    return [base64.b64decode(p["bytesBase64Encoded"]) for p in predictions]


def test_one_call_makes_as_many_different_pictures_as_asked(google: Google) -> None:
    made = pictures(google, sampleCount=2)
    assert len(set(made)) == 2
    assert {opened(data).format for data in made} == {"PNG"}
    assert len(set(made) | set(pictures(google))) == 3


def test_four_pictures_are_made_unless_told_otherwise(google: Google) -> None:
    assert len(pictures(google, sampleCount=None)) == 4


def test_shape_and_file_can_be_chosen(google: Google) -> None:
    output = {"mimeType": "image/jpeg", "compressionQuality": 80}
    (data,) = pictures(google, aspectRatio="16:9", sampleImageSize="1k", outputOptions=output)
    assert (opened(data).size, opened(data).format) == ((1408, 768), "JPEG")


@pytest.mark.parametrize(
    ("model", "asked", "words"),
    [
        (STANDARD, {"sampleCount": 5}, "sampleCount"),
        (STANDARD, {"sampleCount": 0}, "sampleCount"),
        (STANDARD, {"aspectRatio": "2:3"}, "aspect ratio"),
        (STANDARD, {"sampleImageSize": "4K"}, "sampleImageSize"),
        (FAST, {"sampleImageSize": "1K"}, "sampleImageSize"),
        (STANDARD, {"seed": 7}, "seed"),
        (STANDARD, {"negativePrompt": "rain"}, "negativePrompt"),
        (STANDARD, {"safetySetting": "block_none"}, "safetySetting"),
        (STANDARD, {"outputOptions": {"mimeType": "image/webp"}}, "mimeType"),
    ],
)
def test_what_imagen_does_not_take_is_refused(
    google: Google, model: str, asked: dict[str, Any], words: str
) -> None:
    assert words in refused(predict(google, model=model, **asked), 400)["message"]


def test_a_prompt_is_needed_and_may_not_be_endless(google: Google) -> None:
    for prompt in ("", "x" * 1921):
        refused(predict(google, prompt), 400)
    path = f"/v1beta/models/{STANDARD}:predict"
    for content in (b"{", b"[]", b'{"instances": []}'):
        refused(google.send("POST", path, content=content), 400)


def test_a_filtered_picture_leaves_a_reason_where_one_was_asked_for(google: Google) -> None:
    prompt = "A robot [sandbox:partial]"
    told = predict(google, prompt, sampleCount=2, includeRaiReason=True).json()["predictions"]
    assert ["raiFilteredReason" in p for p in told] == [False, True]
    untold = predict(google, prompt, sampleCount=2).json()["predictions"]
    assert len(untold) == 1


def test_a_blocked_prompt_has_a_reason_alone(google: Google) -> None:
    blocked = predict(google, "A robot [sandbox:blocked]", sampleCount=2).json()["predictions"]
    assert [set(p) for p in blocked] == [{"raiFilteredReason"}]


@pytest.mark.parametrize("fault", ["no_image", "text_only"])
def test_nothing_at_all_is_an_empty_object(google: Google, fault: str) -> None:
    assert predict(google, f"A robot [sandbox:{fault}]").json() == {}


def test_safety_attributes_come_as_an_entry_of_their_own(google: Google) -> None:
    *_, last = predict(google, includeSafetyAttributes=True).json()["predictions"]
    assert last["contentType"] == "Positive Prompt"


def test_faults_reach_imagen_too(google: Google) -> None:
    refused(predict(google, "A robot [sandbox:rate_limited]"), 429)
    (prediction,) = predict(google, "A robot [sandbox:wrong_mime]").json()["predictions"]
    assert prediction["mimeType"] == "image/jpeg"


def test_after_its_shutdown_it_is_not_found(google: Google, clock: Clock) -> None:
    clock.now = clock.now.replace(day=17)
    assert "not supported for predict" in refused(predict(google), 404)["message"]

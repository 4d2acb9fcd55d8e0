"""Every error of ours is one of Google's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared import errors
from shared.domain import ImageRef, ImageRequest
from shared.surfaces.gemini_errors import Place, no_key, of_request, refusal_of

PLACE = Place("v1beta", "nano-banana", "generateContent")


def body(error: errors.DarkroomError, place: Place = PLACE) -> Any:
    return json.loads(json.dumps(refusal_of(error, place).body()))["error"]


def details(error: errors.DarkroomError) -> dict[str, Any]:
    return {d["@type"].rpartition(".")[2]: d for d in body(error).get("details", [])}


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        (errors.InvalidRequest, 400, "INVALID_ARGUMENT"),
        (errors.Unauthenticated, 400, "INVALID_ARGUMENT"),
        (errors.InsufficientCredit, 429, "RESOURCE_EXHAUSTED"),
        (errors.Forbidden, 403, "PERMISSION_DENIED"),
        (errors.NotFound, 404, "NOT_FOUND"),
        (errors.InProgress, 409, "ABORTED"),
        (errors.ModelRetired, 404, "NOT_FOUND"),
        (errors.PayloadTooLarge, 400, "INVALID_ARGUMENT"),
        (errors.UnsupportedImage, 400, "INVALID_ARGUMENT"),
        (errors.IdempotencyConflict, 409, "ALREADY_EXISTS"),
        (errors.RateLimited, 429, "RESOURCE_EXHAUSTED"),
        (errors.QuotaExceeded, 429, "RESOURCE_EXHAUSTED"),
        (errors.Internal, 500, "INTERNAL"),
        (errors.ProviderError, 500, "INTERNAL"),
        (errors.ProviderUnavailable, 503, "UNAVAILABLE"),
        (errors.Misconfigured, 503, "UNAVAILABLE"),
        (errors.OutcomeUnknown, 504, "DEADLINE_EXCEEDED"),
    ],
)
def test_each_has_googles_code(kind: type[errors.DarkroomError], code: int, status: str) -> None:
    found = body(kind("Say this."))
    assert (found["code"], found["status"]) == (code, status)
    if kind not in (errors.Unauthenticated, errors.NotFound):
        assert "Say this." in found["message"]


def test_none_is_left_out() -> None:
    for kind in errors.every():
        assert body(kind("x"))["status"]


def test_a_bad_key_is_told_by_its_reason() -> None:
    info = details(errors.Unauthenticated("x"))["ErrorInfo"]
    assert (info["reason"], info["domain"]) == ("API_KEY_INVALID", "googleapis.com")
    assert (no_key().code, no_key().status) == (403, "PERMISSION_DENIED")


def test_who_comes_too_often_hears_when_to_come_back() -> None:
    found = details(errors.RateLimited("x", retry_after_s=12.0))
    assert found["RetryInfo"]["retryDelay"] == "12s"
    assert "PerMinute" in found["QuotaFailure"]["violations"][0]["quotaId"]
    found = details(errors.QuotaExceeded("x", retry_after_s=34.5))
    assert found["RetryInfo"]["retryDelay"] == "34.5s"
    assert "PerDay" in found["QuotaFailure"]["violations"][0]["quotaId"]
    assert details(errors.InsufficientCredit("x")) == {}


def test_an_unknown_model_is_named_with_its_heir() -> None:
    missing = body(errors.NotFound("x", param="model"))
    assert missing["message"].startswith("models/nano-banana is not found for API version v1beta")
    retired = body(errors.ModelRetired("The model x is retired. Use y."))
    assert retired["message"].endswith("The model x is retired. Use y.")


@pytest.mark.parametrize(
    ("param", "verb", "field"),
    [
        ("n", "generateContent", "generation_config.candidate_count"),
        ("options.top_p", "generateContent", "generation_config.top_p"),
        ("options.safety_settings", "generateContent", "safety_settings"),
        ("images[2].url", "generateContent", "contents"),
        ("n", "predict", "parameters.sample_count"),
        ("options.guidance_scale", "predict", "parameters.guidance_scale"),
    ],
)
def test_fields_have_googles_names(param: str, verb: str, field: str) -> None:
    found = body(errors.InvalidRequest("no", param=param), Place("v1", "x", verb))
    (violation,) = found["details"][0]["fieldViolations"]
    assert violation == {"field": field, "description": "no"}


@pytest.mark.parametrize(
    ("param", "words"),
    [
        ("aspect_ratio", "Invalid value at 'generation_config.image_config.aspect_ratio' (type."
         'googleapis.com/google.ai.generativelanguage.v1beta.ImageConfig.AspectRatio), "9:99"'),
        ("resolution", "'generation_config.image_config.image_size' (type."
         'googleapis.com/google.ai.generativelanguage.v1beta.ImageConfig.ImageSize), "8K"'),
        ("options.thinking_level", "Thinking level HIGH is not supported for this model."),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_in_googles_words_and_ours(param: str, words: str) -> None:
    options = {"thinking_level": "HIGH"}
    asked = ImageRequest(
        "edit", "x", "A cat", aspect_ratio="9:99", resolution="8K", options=options
    )
    found = of_request(errors.InvalidRequest("It has others.", param=param), asked, PLACE)
    assert words in found.message
    assert found.message.endswith("It has others.")


@pytest.mark.parametrize(
    ("ref", "name"),
    [
        (ImageRef(file_id="abc"), "abc"),
        (ImageRef(image_id=f"img_{'a' * 26}_0"), f"img{'a' * 26}n0"),
    ],
)
def test_a_file_that_is_not_there_is_forbidden(ref: ImageRef, name: str) -> None:
    asked = ImageRequest("edit", "x", "A cat", refs=(ref,))
    found = of_request(errors.NotFound("no", param="images[0].file_id"), asked, PLACE)
    assert (found.code, found.status) == (403, "PERMISSION_DENIED")
    assert name in found.message

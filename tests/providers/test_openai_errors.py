"""What the many hosts that copy OpenAI's errors mean by them."""

from __future__ import annotations

import json

import httpx
import pytest
from pydantic import BaseModel

from shared import errors
from shared.errors import DarkroomError
from shared.providers import openai_errors
from shared.providers.openai_errors import safe


class Reply(BaseModel):
    data: list[int]


def caught(
    status: int, body: object, headers: dict[str, str] | None = None, *, text: bool = False
) -> DarkroomError:
    content = str(body).encode() if text else json.dumps(body).encode()
    with pytest.raises(DarkroomError) as raised:
        openai_errors.parse(Reply, httpx.Response(status, headers=headers, content=content))
    assert raised.value.details == {"http_status": status}
    assert raised.value.message
    return raised.value


def openai(message: str = "m", kind: str = "invalid_request_error", code: str | None = None,
           param: str | None = None) -> object:  # fmt: skip
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def ark(code: str, message: str = "The request failed. Request id: 0217") -> object:
    return {"error": {"code": code, "message": message, "param": "", "type": "BadRequest"}}


def test_a_good_answer_is_what_was_asked_for() -> None:
    answer = httpx.Response(200, content=b'{"data": [1], "error": null}')
    assert openai_errors.parse(Reply, answer) == Reply(data=[1])


@pytest.mark.parametrize(
    ("status", "body", "name"),
    [
        (401, openai(code="invalid_api_key"), "Misconfigured"),
        (403, openai("Your organization must be verified to use the model"), "Misconfigured"),
        (404, openai(code="model_not_found"), "Misconfigured"),
        (429, openai(kind="insufficient_quota", code="insufficient_quota"), "Misconfigured"),
        (400, openai(code="billing_hard_limit_reached"), "Misconfigured"),
        (403, openai(code="unsupported_country_region_territory"), "LocationRefused"),
        (429, openai(kind="requests", code="rate_limit_exceeded"), "RateLimited"),
        (429, openai("Limit 500 per day", "requests", "rate_limit_exceeded"), "QuotaExceeded"),
        (400, openai(kind="image_generation_user_error", code="moderation_blocked"),
         "ContentBlocked"),
        (400, openai("Your request was rejected by the safety system."), "ContentBlocked"),
        (400, openai("Invalid value for moderation: 'off'", code="invalid_value",
                     param="moderation"), "InvalidRequest"),
        (400, openai(code="unknown_parameter", param="size"), "InvalidRequest"),
        (500, openai(kind="server_error"), "ProviderError"),
        (503, openai("The engine is overloaded", "server_error"), "ProviderUnavailable"),
        (409, openai("conflict"), "ProviderError"),
        (400, ark("InputTextSensitiveContentDetected"), "ContentBlocked"),
        (400, ark("InputImageSensitiveContentDetected.PrivacyInformation"), "ContentBlocked"),
        (400, ark("OutputImageSensitiveContentDetected"), "ContentBlocked"),
        (401, ark("AuthenticationError"), "Misconfigured"),
        (403, ark("AccountOverdueError"), "Misconfigured"),
        (404, ark("InvalidEndpointOrModel.NotFound"), "Misconfigured"),
        (404, ark("ModelNotOpen"), "Misconfigured"),
        (429, ark("SetLimitExceeded"), "Misconfigured"),
        (429, ark("RateLimitExceeded.EndpointRPMExceeded"), "RateLimited"),
        (429, ark("QuotaExceeded"), "QuotaExceeded"),
        (429, ark("ServerOverloaded"), "ProviderUnavailable"),
        (400, ark("InvalidParameter"), "InvalidRequest"),
        (500, ark("InternalServiceError"), "ProviderError"),
        (400, {"code": "validation_failed", "message": "aspect_ratio: bad"}, "InvalidRequest"),
        (401, {"code": "api_key_expired", "message": "m"}, "Misconfigured"),
        (402, {"code": "insufficient_credits", "message": "m"}, "Misconfigured"),
        (429, {"code": "rate_limited", "message": "m"}, "RateLimited"),
        (429, {"detail": "Request was throttled. Expected available in 20 seconds."},
         "RateLimited"),
        (403, {"detail": "You do not have permission to perform this action."}, "Misconfigured"),
        (422, {"detail": [{"loc": ["body", "size"], "msg": "bad", "type": "x"}]},
         "InvalidRequest"),
        (402, {"error": "no credit"}, "Misconfigured"),
        (451, {}, "LocationRefused"),
        (529, {"error": {"code": 529, "message": "m"}}, "ProviderUnavailable"),
    ],
)  # fmt: skip
def test_a_body_means_what_it_leads_to(status: int, body: object, name: str) -> None:
    assert type(caught(status, body)) is getattr(errors, name)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (301, "ProviderError"),
        (401, "Misconfigured"),
        (408, "OutcomeUnknown"),
        (413, "PayloadTooLarge"),
        (429, "RateLimited"),
        (502, "ProviderError"),
        (503, "ProviderUnavailable"),
        (504, "OutcomeUnknown"),
        (520, "ProviderError"),
        (521, "ProviderUnavailable"),
        (522, "OutcomeUnknown"),
        (524, "OutcomeUnknown"),
    ],
)
def test_a_page_leaves_the_status_to_go_by(status: int, name: str) -> None:
    error = caught(status, "<html><h1>Sorry</h1></html>", text=True)
    assert type(error) is getattr(errors, name)
    assert "Sorry" in str(error.private)


def test_only_a_prompt_is_blamed_by_name() -> None:
    too_long = openai("Too long", code="string_above_max_length", param="prompt")
    assert caught(400, too_long).param == "prompt"
    assert caught(400, openai("Bad", code="invalid_value", param="size")).param is None
    assert caught(400, ark("InputTextSensitiveContentDetected")).param == "prompt"
    assert caught(400, ark("InputImageSensitiveContentDetected")).param is None


@pytest.mark.parametrize(
    ("headers", "message", "wait_s"),
    [
        ({"retry-after": "7"}, "", 7.0),
        ({"retry-after": "1.5"}, "", 1.5),
        ({"retry-after": "9", "retry-after-ms": "1500"}, "Try again in 3s", 1.5),
        ({"retry-after": "Sat, 21 Nov 2026 10:01:00 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"},
         "", 60.0),
        ({"retry-after": "Sat, 21 Nov 2026 10:01:00 GMT"}, "", None),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:00 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"},
         "", None),
        ({"retry-after": "soon"}, "", None),
        ({"retry-after": "-1"}, "", None),
        ({"retry-after": "²"}, "", None),
        ({}, "Please try again in 20s. Visit the page.", 20.0),
        ({}, "Please try again in 1m2.5s", 62.5),
        ({}, "Please try again in 850ms.", 0.85),
        ({}, "retry after 6m0s", 360.0),
        ({}, "Request was throttled. Expected available in 20 seconds.", 20.0),
        ({}, "Please retry in 999999h", None),
    ],
)  # fmt: skip
def test_how_long_to_wait(headers: dict[str, str], message: str, wait_s: float | None) -> None:
    answer = httpx.Response(
        429,
        headers=[(k.encode(), v.encode()) for k, v in headers.items()],
        content=json.dumps(openai(message)).encode(),
    )
    with pytest.raises(errors.RateLimited) as raised:
        openai_errors.parse(Reply, answer)
    assert raised.value.retry_after_s == wait_s


def test_a_part_of_an_answer_can_hold_the_error() -> None:
    item = {"error": {"code": "OutputImageSensitiveContentDetected", "message": "no"}}
    error = openai_errors.of(httpx.Response(200, content=b"{}"), item)
    assert type(error) is errors.ContentBlocked
    assert error.details == {"http_status": 200}


def test_what_is_shown_has_no_keys_addresses_or_pictures() -> None:
    said = (
        "Key sk-proj-abcdefghijkl of org-abcdefghijkl failed at https://up.test/v1?key=1 with\n"
        f"data:image/png;base64,{'A' * 400} or {'B' * 400} (request id: 2026112199)"
    )
    assert (
        safe(said, 300) == "Key [removed] of [removed] failed at [address] with [image] or [data]"
    )


def test_what_is_shown_is_cut() -> None:
    assert safe("x y" * 20, 10) == "x yx yx y…"
    assert len(safe("word " * 10_000_000, 300)) == 300

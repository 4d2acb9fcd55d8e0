"""Every error of ours as OpenAI's SDKs understand it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared import errors
from shared.domain import Account, Limits
from shared.errors import DarkroomError
from shared.ledger import Shard, Standing
from shared.surfaces import openai_headers
from shared.surfaces.openai_errors import Form, body, headers, meaning
from tests.surfaces.records import BEGUN, record


@pytest.mark.parametrize("kind", errors.every())
def test_every_error_has_four_keys_and_a_status(kind: type[DarkroomError]) -> None:
    error = kind("What went wrong.", param="n")
    shown = body(error, "json")["error"]
    assert isinstance(shown, dict)
    assert set(shown) == {"message", "type", "param", "code"}
    assert (shown["message"], shown["param"]) == ("What went wrong.", "n")
    assert 400 <= meaning(error)[0] < 600


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.InvalidRequest("x", param="n"), (400, "invalid_request_error", "invalid_value")),
        (errors.InvalidRequest("x"), (400, "invalid_request_error", None)),
        (errors.Unauthenticated("x"), (401, "invalid_request_error", "invalid_api_key")),
        (errors.InsufficientCredit("x"), (429, "insufficient_quota", "insufficient_quota")),
        (
            errors.NotFound("x", param="model"),
            (404, "invalid_request_error", "model_not_found"),
        ),
        (errors.NotFound("x", param="mask"), (404, "invalid_request_error", "not_found")),
        (errors.NotFound("x"), (404, "invalid_request_error", None)),
        (errors.ModelRetired("x"), (404, "invalid_request_error", "model_not_found")),
        (errors.InProgress("x"), (409, "idempotency_error", "in_progress")),
        (errors.IdempotencyConflict("x"), (422, "idempotency_error", "idempotency_conflict")),
        (errors.ContentBlocked("x"), (400, "image_generation_user_error", "moderation_blocked")),
        (errors.UnsupportedImage("x"), (400, "invalid_request_error", "invalid_image_file")),
        (errors.RateLimited("x"), (429, "requests", "rate_limit_exceeded")),
        (
            errors.QuotaExceeded("x", details={"window": "day"}),
            (429, "requests", "rate_limit_exceeded"),
        ),
        (
            errors.QuotaExceeded("x", details={"window": "month"}),
            (429, "insufficient_quota", "insufficient_quota"),
        ),
        (errors.Internal("x"), (500, "server_error", None)),
        (errors.ProviderError("x"), (502, "server_error", None)),
        (errors.Misconfigured("x"), (503, "server_error", None)),
        (errors.OutcomeUnknown("x"), (504, "server_error", "outcome_unknown")),
    ],
)
def test_errors_have_openais_names(error: DarkroomError, expected: object) -> None:
    assert meaning(error) == expected


@pytest.mark.parametrize(
    ("ours", "form", "theirs"),
    [
        ("aspect_ratio", "json", "size"),
        ("resolution", "json", "size"),
        ("options.size", "json", "size"),
        ("options.moderation", "json", "moderation"),
        ("output_quality", "json", "output_compression"),
        ("images", "json", "image"),
        ("images[0]", "json", "images[0]"),
        ("images[1].url", "json", "images[1].image_url"),
        ("images[1].upload_id", "json", "images[1].file_id"),
        ("images[1].file_id", "json", "images[1].file_id"),
        ("mask.url", "json", "mask.image_url"),
        ("mask", "json", "mask"),
        ("images[0]", "multipart", "image"),
        ("images[1]", "multipart", "image[1]"),
        ("mask", "multipart", "mask"),
        ("body", "json", None),
        ("quality", "json", "quality"),
        ("Idempotency-Key", "json", "Idempotency-Key"),
        (None, "json", None),
        ("prompt", "chat", "messages"),
        ("images[0].image_id", "chat", "messages"),
        ("images", "chat", "messages"),
        ("previous_request_id", "chat", "messages"),
        ("options.system_instruction", "chat", "messages"),
        ("options.temperature", "chat", "temperature"),
        ("aspect_ratio", "chat", "image_config.aspect_ratio"),
        ("resolution", "chat", "image_config.image_size"),
        ("n", "chat", "n"),
    ],
)
def test_fields_have_openais_names(ours: str | None, form: Form, theirs: str | None) -> None:
    shown = body(errors.InvalidRequest("x", param=ours), form)["error"]
    assert isinstance(shown, dict)
    assert shown["param"] == theirs


def paid(error: DarkroomError) -> DarkroomError:
    error.paid = True
    return error


HOPELESS = {"x-should-retry": "false"}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.InvalidRequest("x"), HOPELESS),
        (errors.InsufficientCredit("x"), HOPELESS),
        (errors.ContentBlocked("x"), HOPELESS),
        (errors.OutcomeUnknown("x"), HOPELESS),
        (errors.Misconfigured("x"), HOPELESS),
        (errors.Internal("x"), HOPELESS),
        (paid(errors.ProviderError("x")), HOPELESS),
        (errors.RateLimited("x", retry_after_s=121), HOPELESS),
        (errors.QuotaExceeded("x", retry_after_s=3, details={"window": "month"}), HOPELESS),
        (errors.ProviderError("x"), {}),
        (errors.RateLimited("x"), {}),
        (
            errors.RateLimited("x", retry_after_s=120),
            {"retry-after": "120", "retry-after-ms": "120000"},
        ),
        (
            errors.ProviderUnavailable("x", retry_after_s=1.2),
            {"retry-after": "2", "retry-after-ms": "1200"},
        ),
        (
            errors.RateLimited("x", retry_after_s=0),
            {"retry-after": "1", "retry-after-ms": "1000"},
        ),
        (
            errors.InProgress("x", retry_after_s=2),
            {"x-should-retry": "true", "retry-after": "2", "retry-after-ms": "2000"},
        ),
    ],
)
def test_sdks_are_told_whether_to_ask_again(error: DarkroomError, expected: dict[str, str]) -> None:
    assert headers(error) == expected


def standing(rpm: int | None, used: int) -> Standing:
    account = Account("acc_1", "shop", BEGUN, Limits(rpm=rpm))
    return Standing(account, (Shard(0, minute="2026-11-21T10:00", minute_count=used),))


def test_a_request_that_is_let_in_takes_a_place_in_the_minute() -> None:
    now = BEGUN + timedelta(seconds=48)
    assert openai_headers.of_request(standing(10, 3), now, replayed=False) == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "6",
        "x-ratelimit-reset-requests": "12s",
    }
    assert openai_headers.of_request(standing(None, 3), now, replayed=False) == {}
    full = openai_headers.of_request(standing(3, 5), now, replayed=False)
    assert full["x-ratelimit-remaining-requests"] == "0"


def test_one_found_again_takes_none() -> None:
    sent = openai_headers.of_request(standing(10, 3), BEGUN, replayed=True)
    assert sent["x-ratelimit-remaining-requests"] == "7"


def test_a_full_minute_says_so() -> None:
    full = errors.RateLimited("x", retry_after_s=12, details={"limit": 10, "window": "minute"})
    assert openai_headers.of_refusal(full, "req_new") == {
        "x-request-id": "req_new",
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "12s",
    }
    other = errors.RateLimited("x", details={"limit": 2, "window": "concurrent"})
    other.request_id = "req_kept"
    assert openai_headers.of_refusal(other, "req_new") == {"x-request-id": "req_kept"}


def test_the_time_it_took_is_told() -> None:
    assert openai_headers.took(record()) == {"openai-processing-ms": "12500"}
    assert openai_headers.took(record(completed_at=None)) == {}

"""The error tree is the contract's table."""

from __future__ import annotations

from shared import errors

TABLE = {
    "invalid_request": 400,
    "unauthenticated": 401,
    "insufficient_credit": 402,
    "forbidden": 403,
    "not_found": 404,
    "model_retired": 410,
    "in_progress": 409,
    "payload_too_large": 413,
    "unsupported_image": 415,
    "idempotency_conflict": 422,
    "rate_limited": 429,
    "quota_exceeded": 429,
    "internal": 500,
    "provider_error": 502,
    "provider_unavailable": 503,
    "outcome_unknown": 504,
    "content_blocked": 422,
    "no_image": 422,
}


def test_every_code_has_its_status_and_there_are_no_others() -> None:
    assert {error.code: error.status for error in errors.every()} == TABLE


def test_a_code_leads_back_to_its_class() -> None:
    for code, status in TABLE.items():
        assert errors.by_code(code).code == code
        assert errors.by_code(code).status == status
    assert errors.by_code("of a later version") is errors.Internal


def test_only_what_left_nothing_done_may_be_tried_elsewhere() -> None:
    elsewhere = {error.__name__ for error in errors.every() if error.elsewhere}
    assert elsewhere == {
        "RateLimited",
        "QuotaExceeded",
        "ProviderUnavailable",
        "Misconfigured",
        "LocationRefused",
    }


def test_an_error_comes_back_from_a_record_as_it_went() -> None:
    for kind in errors.every():
        error = kind("words", param="prompt", retry_after_s=2.0, provider="p", details={"a": 1})
        again = errors.error_of(errors.problem_of(error))
        assert errors.problem_of(again) == errors.problem_of(error)
        assert again.status == error.status

"""google.rpc.Status → our errors, for every wire format of Google's.

Sources: cloud.google.com/apis/design/errors (shape) and ai.google.dev/gemini-api/docs, pages
"Troubleshooting" and "Rate limits" (meanings), 2026-10. A bad key is 400 there, not 401, and a 429
carries its delay in the body. Every error has the HTTP status in `details.http_status`.
"""

from __future__ import annotations

import contextlib
import re
from typing import TypeVar

import httpx
from pydantic_core import from_json

from shared.domain import Json
from shared.errors import (
    HTTP_STATUS,
    DarkroomError,
    InvalidRequest,
    LocationRefused,
    Misconfigured,
    OutcomeUnknown,
    PayloadTooLarge,
    ProviderError,
    ProviderUnavailable,
    QuotaExceeded,
    RateLimited,
)
from shared.providers import openai_errors
from shared.providers.google_json import Message

Shape = TypeVar("Shape", bound=Message)

_CODES = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""google.rpc.Code → HTTP, for an error that comes under a status of 200."""

_NUMBERS = {
    1: "CANCELLED",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    11: "OUT_OF_RANGE",
    13: "INTERNAL",
    14: "UNAVAILABLE",
    16: "UNAUTHENTICATED",
}
"""google.rpc.Code by number (googleapis, google/rpc/code.proto): how a batch gives it."""

_KEYS = re.compile(r"\bAIza[\w-]+|\bAQ\.[\w-]+|(?<=key=)[^\s&\"']+")
_SECONDS = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,9})?)s?")
_CLOSED = (
    "The provider does not serve this model to this installation's key. "
    "Choose another model, or ask the operator to check the key and its plan."
)


class _Violation(Message):
    quota_id: str = ""
    quota_value: str = ""


class _Detail(Message):
    reason: str = ""
    retry_delay: str = ""
    violations: tuple[_Violation, ...] = ()


class Status(Message):
    """An error: a google.rpc.Status, or what a relay puts in its place."""

    code: int | str = 0
    type: str = ""
    message: str = ""
    status: str = ""
    details: tuple[_Detail, ...] = ()


class _Body(Message):
    error: Status | None = None


def parse(shape: type[Shape], response: httpx.Response) -> Shape:
    """The answer as `shape`, or the error it holds instead: raised, whatever the bytes are."""
    if response.is_success:
        with contextlib.suppress(ValueError):
            body = from_json(response.content)
            if not (isinstance(body, dict) and body.get("error")):
                return shape.model_validate(body)
    raise of(response)


def parse_item(shape: type[Shape], answer: object) -> Shape:
    """The answer to one request of a batch as `shape`, or the error it holds instead: raised."""
    if isinstance(answer, dict) and answer.get("error"):
        raise of_item(status_of(answer["error"]))
    try:
        return shape.model_validate(answer)
    except ValueError as unread:
        error = _meaning(200, Status(), None)
        error.paid = True
        raise error from unread


def of(response: httpx.Response) -> DarkroomError:
    """The error that an answer is. A body that cannot be read leaves the status to go by."""
    said = _said(response)
    if _of_a_relay(response, said):
        return openai_errors.of(response)
    error = _meaning(_http_status(response, said), said, response.headers.get("retry-after"))
    error.private = safe(said.message, 500) or openai_errors.opening(response)
    error.paid = response.is_success and not said.message and not said.status
    return error


def of_item(said: Status) -> DarkroomError:
    """The error of one request of a batch, its Status from `status_of`: what the same would be
    over HTTP."""
    written = said.code if isinstance(said.code, int) else 0
    status = written if 400 <= written <= 599 else _CODES.get(said.status, 500)
    if status == 499:
        details: dict[str, Json] = {HTTP_STATUS: status, "reason": "cancelled"}
        return ProviderUnavailable(
            "The provider's batch was cancelled before this was made.", details=details
        )
    error = _meaning(status, said, None)
    error.private = safe(said.message, 500) or None
    return error


def status_of(value: object) -> Status:
    """An error of a batch, or of one of its requests; an empty one where it cannot be read. Its
    code is HTTP's number, gRPC's, or a name, and the field `status` may be missing."""
    try:
        said = Status.model_validate(value)
    except ValueError:
        if isinstance(value, dict) and "details" in value:
            return status_of({name: said for name, said in value.items() if name != "details"})
        return Status(message=value) if isinstance(value, str) else Status()
    if isinstance(said.code, str):
        number = re.fullmatch("[0-9]{1,3}", said.code, re.ASCII)
        code, name = (int(said.code), "") if number else (0, said.code)
    else:
        code, name = said.code, ""
    return said.model_copy(
        update={"code": code, "status": said.status or name or _NUMBERS.get(code, "")}
    )


def _meaning(status: int, said: Status, retry_after: str | None) -> DarkroomError:
    """What a status and what comes with it mean. `retry_after` is the header."""
    delay_s = _delay_s(said, retry_after)
    error: DarkroomError
    match status:
        case 400:
            error = _bad_request(said)
        case 401 | 403 | 404:
            error = Misconfigured(_CLOSED)
        case 413:
            error = PayloadTooLarge("The images are too large for the provider. Send less.")
        case 429:
            error = _exhausted(said, delay_s)
        case 503:
            error = ProviderUnavailable(
                "The provider is overloaded. Try again in a while.", retry_after_s=delay_s
            )
        case 504:
            error = OutcomeUnknown(
                "The provider ran out of time and may still have done the work. "
                "It was not asked again."
            )
        case _:
            error = ProviderError("The provider gave an answer that cannot be used. Try again.")
    error.details[HTTP_STATUS] = status
    return error


def safe(text: str, length: int) -> str:
    """A provider's words as a caller may see them."""
    return openai_errors.safe(_KEYS.sub("[removed]", text), length)


def _of_a_relay(response: httpx.Response, said: Status) -> bool:
    """Whether an error is not Google's: by a code in words, or a status Google has none of."""
    worded = isinstance(said.code, str) and not said.code.isdecimal()
    ours = response.is_success or response.status_code in (*_CODES.values(), 405, 413)
    return not said.status and (worded or bool(said.type) or not ours)


def _said(response: httpx.Response) -> Status:
    """The Status in the body, empty where there is none. Answers to streaming calls, and those of
    some proxies, wrap it in a list."""
    try:
        body = from_json(response.content)
        first = body[0] if isinstance(body, list) and body else body
        return _Body.model_validate(first).error or Status()
    except ValueError:
        return Status()


def _http_status(response: httpx.Response, said: Status) -> int:
    if not response.is_success:
        return response.status_code
    if isinstance(said.code, int) and 400 <= said.code <= 599:
        return said.code
    return _CODES.get(said.status, response.status_code)


def _delay_s(said: Status, retry_after: str | None) -> float | None:
    """How long to wait: RetryInfo's "34.4s", or a Retry-After of seconds."""
    written = [detail.retry_delay for detail in said.details]
    for text in (*written, retry_after or ""):
        if match := _SECONDS.fullmatch(text):
            return float(match[1])
    return None


def _bad_request(said: Status) -> DarkroomError:
    if any(detail.reason.startswith("API_KEY_") for detail in said.details):
        return Misconfigured(_CLOSED)
    if said.status == "FAILED_PRECONDITION":
        # The only sign of a place that is not served is the sentence: it has no reason code.
        if re.search("location|country", said.message, re.IGNORECASE):
            return LocationRefused(
                "The provider does not serve the place this installation runs in. "
                "Choose a model of another provider."
            )
        return Misconfigured(_CLOSED)
    words = safe(said.message, 300)
    return InvalidRequest(
        f"The provider refused the request: {words}" if words else "The provider refused it."
    )


def _exhausted(said: Status, delay_s: float | None) -> DarkroomError:
    quotas = [quota for detail in said.details for quota in detail.violations]
    # Zero is left out of proto3 JSON: a free tier without a value allows nothing, ever.
    if any("FreeTier" in q.quota_id and q.quota_value in ("", "0") for q in quotas):
        return Misconfigured(_CLOSED)
    if any("PerDay" in q.quota_id for q in quotas):
        return QuotaExceeded(
            "The provider's allowance for the day is used up. Choose another model or wait.",
            retry_after_s=delay_s,
        )
    return RateLimited(
        "The provider is taking no more requests for the moment. Try again in a while.",
        retry_after_s=delay_s,
    )

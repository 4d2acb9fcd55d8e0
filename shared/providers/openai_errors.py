"""Errors as OpenAI's API and those that copy it put them → our errors.

Shapes and meanings: OpenAI (openai-openapi, 2026-08: `{"error": {message, type, param, code}}`),
new-api, which most relays run (its types/error.go: codes such as "insufficient_user_quota"),
OpenRouter (openrouter.ai/docs/api-reference/errors: the code is an integer, `metadata` quotes the
provider behind), ByteDance's Ark (PascalCase codes), 3D AI Studio (`{"code", "message"}`), and the
`detail` of FastAPI and Django. A relay may put any of them under 200, or an HTML page under 504.
Every error has the HTTP status in `details.http_status`.
"""

from __future__ import annotations

import contextlib
import email.utils
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import httpx
from pydantic import BaseModel
from pydantic_core import from_json

from shared.errors import (
    HTTP_STATUS,
    ContentBlocked,
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

M = TypeVar("M", bound=BaseModel)

_READ_CHARS = 8000
"""Of a message: more is never shown, and some messages hold a picture."""
_NOT_SHOWN = (
    (re.compile(r"\(request[ _]id:[^)]*\)", re.IGNORECASE), ""),
    (re.compile(r"\bdata:[\w+./-]+;base64,\S*"), "[image]"),
    (re.compile(r"\bhttps?://[^\s)>\"']+"), "[address]"),
    (re.compile(r"\b(?:sk|org|proj|ark)[-_][\w*-]{8,}"), "[removed]"),
    (re.compile(r"\bAIza[\w-]+|\bBearer\s+\S+|(?<=key=)[^\s&\"']+"), "[removed]"),
    (re.compile(r"[A-Za-z0-9+/=_-]{120,}"), "[data]"),
)
_DAY = re.compile(r"\b(?:rpd|tpd|ipd|daily|monthly)\b|\bper[ -](?:day|month)\b", re.IGNORECASE)
_MODERATED = re.compile(
    r"safety[ _](?:system|violation)|content[ _]policy|content[ _]filter|prohibited[ _]content"
    r"|moderation|flagged|sensitive (?:words?|content|information)",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"not a valid model|no endpoints found", re.IGNORECASE)
_AGAIN_IN = re.compile(
    r"(?:again|retry|available) (?:in|after) ((?:[0-9]{1,6}(?:\.[0-9]+)? ?[a-z]+)+)"
)
_SPAN = re.compile(r"([0-9]{1,6}(?:\.[0-9]+)?) ?(milliseconds?|ms|[smhd])")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SECONDS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,9})?")


@dataclass(frozen=True)
class _Said:
    """What a body says: its sentences, its codes in the order they count, the field it blames."""

    words: str = ""
    codes: tuple[str, ...] = ()
    param: str = ""
    delay_s: float | None = None

    @property
    def shown(self) -> str:
        return safe(self.words, 300)


def parse(
    kind: type[M], response: httpx.Response, read: Callable[[bytes], object] = from_json
) -> M:
    """The answer as `kind`, or the error it holds instead: raised, whatever the bytes are. `read`
    makes an object of a good one, or raises ValueError."""
    body = None
    if response.is_success:
        with contextlib.suppress(ValueError):
            body = read(response.content)
            if not _failed(body):
                return kind.model_validate(body)
    raise of(response, body)


def of(response: httpx.Response, body: object = None) -> DarkroomError:
    """The error that an answer is. `body` is the part of it that holds the error, if it is not
    the whole (one item of several, a chunk of a stream)."""
    if body is None:
        with contextlib.suppress(ValueError):
            body = from_json(response.content)
    said = _said(body, _delay_s(response))
    error = _kind(response.status_code, said)(said)
    error.details[HTTP_STATUS] = response.status_code
    error.private = safe(" ".join((*said.codes, said.words)), 500) or opening(response)
    # A good answer that nobody can read may well have been a picture.
    error.paid = response.is_success and not said.words and not said.codes
    return error


def opening(response: httpx.Response) -> str:
    """How an unreadable answer begins, for the log; of a good one only its length, for it may have
    a prompt and pictures in it."""
    size = f"{len(response.content)} bytes"
    if response.is_success:
        return size
    return f"{size}: {safe(response.content[:500].decode(errors='replace'), 500)}"


def safe(text: str, length: int) -> str:
    """A provider's words as a caller may see them: without keys, addresses and base64, on one
    line, cut to length."""
    line = text[:_READ_CHARS]
    for pattern, instead in _NOT_SHOWN:
        line = pattern.sub(instead, line)
    line = " ".join(line.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def _failed(body: object) -> bool:
    """Whether a body under 200 is an error: `error` as OpenAI puts it, `success` as one-api."""
    return isinstance(body, dict) and bool(body.get("error") or body.get("success") is False)


def _said(body: object, delay_s: float | None) -> _Said:
    top = body[0] if isinstance(body, list) and body else body
    if not isinstance(top, dict):
        return _Said(delay_s=delay_s)
    nested = top.get("error")
    fault = nested if isinstance(nested, dict) else top
    behind, quoted = _behind(fault)
    words = quoted or _words(fault) or _text(nested)
    names = (fault.get(name) for name in ("code", "error_code", "type", "status"))
    return _Said(
        words=words,
        codes=(*filter(None, map(_text, names)), *behind),
        param=_text(fault.get("param")),
        delay_s=_spoken_s(words) if delay_s is None else delay_s,
    )


def _behind(fault: Mapping[str, object]) -> tuple[tuple[str, ...], str]:
    """What a relay quotes of the provider behind it: codes and words."""
    metadata = fault.get("metadata")
    if not isinstance(metadata, dict):
        return (), ""
    raw: object = metadata.get("raw")
    flagged = ("flagged_input",) if metadata.get("flagged_input") else ()
    if isinstance(raw, str):
        with contextlib.suppress(ValueError):
            raw = from_json(raw)
    if not isinstance(raw, dict):
        return flagged, _text(raw)
    inner = raw.get("error")
    quoted = inner if isinstance(inner, dict) else raw
    names = (quoted.get(name) for name in ("code", "type", "status"))
    return (*flagged, *filter(None, map(_text, names))), _words(quoted)


def _words(fault: Mapping[str, object]) -> str:
    for name in ("message", "detail", "msg"):
        value = fault.get(name)
        if isinstance(value, list):
            value = "; ".join(map(_complaint, value[:5]))
        elif isinstance(value, dict):
            value = value.get("message")
        if text := _text(value):
            return text
    return ""


def _complaint(item: object) -> str:
    """One of FastAPI's: `{"loc": ["body", "size"], "msg": "…"}`."""
    if not isinstance(item, dict):
        return _text(item)
    place = item.get("loc")
    field = ".".join(_text(p) for p in place[:5]) if isinstance(place, list) else ""
    return f"{field}: {_text(item.get('msg'))}"


def _text(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**6:
        return str(value)
    return value[:_READ_CHARS] if isinstance(value, str) else ""


def _delay_s(response: httpx.Response) -> float | None:
    """How long the headers say to wait. A date counts from the answer's own."""
    exact = response.headers.get("retry-after-ms", "")
    if _SECONDS.fullmatch(exact):
        return float(exact) / 1000
    written = response.headers.get("retry-after", "")
    if _SECONDS.fullmatch(written):
        return float(written)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        then = email.utils.parsedate_to_datetime(written)
        now = email.utils.parsedate_to_datetime(response.headers.get("date", ""))
        wait_s = (then - now).total_seconds()
        return wait_s if 0 <= wait_s < 10**6 else None
    return None


def _spoken_s(words: str) -> float | None:
    """ "Please try again in 7h12m." → 25920."""
    if not (match := _AGAIN_IN.search(words[:_READ_CHARS].lower())):
        return None
    wait_s = 0.0
    for count, unit in _SPAN.findall(match[1]):
        wait_s += float(count) * _UNITS_S["ms" if unit.startswith(("ms", "mil")) else unit[0]]
    return round(wait_s, 3) if 0 < wait_s < 10**6 else None


def _closed(said: _Said) -> DarkroomError:
    return Misconfigured(
        "The provider does not serve this model to this installation's key. "
        "Choose another model, or ask the operator to check the key, its plan and its credit."
    )


def _elsewhere(said: _Said) -> DarkroomError:
    return LocationRefused(
        "The provider does not serve the place this installation runs in. "
        "Choose a model of another provider."
    )


def _limited(said: _Said) -> DarkroomError:
    if _DAY.search(said.words):
        return _used_up(said)
    return RateLimited(
        "The provider is taking no more requests for the moment. Try again in a while.",
        retry_after_s=said.delay_s,
    )


def _used_up(said: _Said) -> DarkroomError:
    return QuotaExceeded(
        "The provider's allowance is used up. Choose another model or wait.",
        retry_after_s=said.delay_s,
    )


def _overloaded(said: _Said) -> DarkroomError:
    return ProviderUnavailable(
        "The provider is overloaded. Try again in a while.", retry_after_s=said.delay_s
    )


def _blocked(said: _Said) -> DarkroomError:
    return ContentBlocked(
        f"The provider refused the content: {said.shown}"
        if said.shown
        else "The provider refused the content. Change the prompt or the images."
    )


def _blocked_prompt(said: _Said) -> DarkroomError:
    error = _blocked(said)
    error.param = "prompt"
    return error


def _too_large(said: _Said) -> DarkroomError:
    return PayloadTooLarge("The images are too large for the provider. Send less.")


def _lost(said: _Said) -> DarkroomError:
    return OutcomeUnknown(
        "The provider ran out of time and may still have done the work. It was not asked again."
    )


def _broken(said: _Said) -> DarkroomError:
    return ProviderError("The provider gave an answer that cannot be used. Try again.")


def _refused(said: _Said) -> DarkroomError:
    """A field is wrong. Only the name of the prompt is the same there and here."""
    return InvalidRequest(
        f"The provider refused the request: {said.shown}"
        if said.shown
        else "The provider refused the request.",
        param="prompt" if said.param == "prompt" else None,
    )


_Kind = Callable[[_Said], DarkroomError]

_BY_CODE: Mapping[str, _Kind] = {
    code: kind
    for kind, codes in (
        (
            _closed,
            "invalid_api_key incorrect_api_key account_deactivated billing_not_active "
            "billing_hard_limit_reached insufficient_quota insufficient_credits "
            "insufficient_user_quota quota_not_enough pre_consume_token_quota_failed "
            "access_denied model_not_found api_key_expired api_key_revoked authenticationerror "
            "accessdenied accountoverdueerror modelnotopen "
            "servicenotopen invalidendpointormodel operationdenied setlimitexceeded "
            "permission_denied unauthenticated",
        ),
        (_elsewhere, "unsupported_country_region_territory"),
        (
            _limited,
            "rate_limit_exceeded rate_limited ratelimitexceeded resource_exhausted "
            "modelaccountrpmratelimitexceeded modelaccounttpmratelimitexceeded "
            "modelaccountipmratelimitexceeded accountratelimitexceeded requestbursttoofast",
        ),
        (_used_up, "quotaexceeded daily_limit_exceeded"),
        (
            _overloaded,
            "overloaded_error server_is_overloaded engine_overloaded serveroverloaded "
            "unavailable channel get_channel_failed",
        ),
        (
            _blocked_prompt,
            "prompt_blocked sensitive_words_detected flagged_input content_policy_violation "
            "inputtextsensitivecontentdetected",
        ),
        (
            _blocked,
            "moderation_blocked content_filter inputimagesensitivecontentdetected "
            "outputimagesensitivecontentdetected sensitivecontentdetected "
            "inputtextriskdetection inputimageriskdetection outputimageriskdetection",
        ),
        (
            # What a relay says when it lost the answer of the provider behind it.
            _lost,
            "do_request_failed read_response_body_failed bad_response_body timeout "
            "request_timeout upstream_timeout gateway_timeout deadline_exceeded "
            "channel:response_time_exceeded",
        ),
        (
            _refused,
            "invalid_value unknown_parameter missing_required_parameter string_above_max_length "
            "invalid_type invalidparameter missingparameter validation_failed",
        ),
    )
    for code in codes.split()
}
"""Error code in lower case, whole or up to its first "." or ":" → what it means, whatever the
status."""

_BY_STATUS: Mapping[int, _Kind] = {
    400: _refused,
    401: _closed,
    402: _closed,
    403: _closed,
    404: _closed,
    408: _lost,
    410: _closed,
    413: _too_large,
    422: _refused,
    429: _limited,
    451: _elsewhere,
    503: _overloaded,
    504: _lost,
    # Cloudflare's own: 521 and 523 never reached the provider, 522 and 524 are timeouts.
    521: _overloaded,
    522: _lost,
    523: _overloaded,
    524: _lost,
    529: _overloaded,
}


def _kind(answered: int, said: _Said) -> _Kind:
    for code in map(str.lower, said.codes):
        if kind := _BY_CODE.get(code) or _BY_CODE.get(re.split(r"[.:]", code, maxsplit=1)[0]):
            return kind
    status = answered
    if 200 <= answered < 300:
        written = (int(code) for code in said.codes if re.fullmatch("[45][0-9]{2}", code))
        status = next(written, answered)
    if status in (400, 403, 422) and _MODERATED.search(said.words):
        return _blocked
    if status == 400 and _NO_MODEL.search(said.words):
        return _closed
    return _BY_STATUS.get(status, _broken)

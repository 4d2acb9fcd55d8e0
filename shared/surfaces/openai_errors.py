"""Our errors as OpenAI's: a status, a body of four keys, and the headers by which its SDKs decide
whether to send a request again.

Types and codes: openai-openapi (2026-08), what clients of the images API look for (2025 to 2026),
and openai 3.52 (_exceptions.py; _base_client.py on x-should-retry, retry-after and what it does
with more than two minutes).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

from shared.domain import Json
from shared.errors import DarkroomError, InProgress

Form = Literal["json", "multipart", "chat"]
"""What was sent: a body of the images API or a chat."""
Meaning: TypeAlias = tuple[int, str, str | None]
"""A status, a type and a code."""
INVALID, USER = "invalid_request_error", "image_generation_user_error"
_SERVER, _QUOTA = "server_error", "insufficient_quota"
_MEANINGS: Mapping[str, Meaning] = {
    "invalid_request": (400, INVALID, "invalid_value"),
    "unauthenticated": (401, INVALID, "invalid_api_key"),
    "insufficient_credit": (429, _QUOTA, _QUOTA),
    "forbidden": (403, INVALID, None),
    "not_found": (404, INVALID, "not_found"),
    "model_retired": (404, INVALID, "model_not_found"),
    "in_progress": (409, "idempotency_error", "in_progress"),
    "payload_too_large": (413, INVALID, "payload_too_large"),
    "unsupported_image": (400, INVALID, "invalid_image_file"),
    "idempotency_conflict": (422, "idempotency_error", "idempotency_conflict"),
    "content_blocked": (400, USER, "moderation_blocked"),
    "no_image": (400, USER, "no_image"),
    "rate_limited": (429, "requests", "rate_limit_exceeded"),
    "quota_exceeded": (429, "requests", "rate_limit_exceeded"),
    "internal": (500, _SERVER, None),
    "provider_error": (502, _SERVER, None),
    "provider_unavailable": (503, _SERVER, None),
    "outcome_unknown": (504, _SERVER, "outcome_unknown"),
}
_LONGEST_WAIT_S = 120.0
"""openai-python gives up at once when told to wait longer; openai-node waits however long."""
_IMAGES: Mapping[str, str | None] = {
    "aspect_ratio": "size",
    "resolution": "size",
    "output_quality": "output_compression",
    "images": "image",
    "timeout_s": "image",
    "file.displayName": "file",
    "file.mimeType": "file",
    "body": None,
}
_CHAT: Mapping[str, str | None] = {
    "aspect_ratio": "image_config.aspect_ratio",
    "resolution": "image_config.image_size",
    "prompt": "messages",
    "images": "messages",
    "previous_request_id": "messages",
    "system_instruction": "messages",
    "timeout_s": "messages",
    "body": None,
}
CONFLICT = "conflict"
"""The key in the details of what would be good at another time, which is a 409 here."""
_IMAGE = re.compile(r"(images\[([0-9]+)\]|mask)(?:\.(url|\w+_id))?", re.ASCII)


def meaning(error: DarkroomError) -> Meaning:
    """What OpenAI would call it."""
    if error.code == "quota_exceeded" and error.details.get("window") == "month":
        return (429, _QUOTA, _QUOTA)
    if error.details.get(CONFLICT):
        return (409, INVALID, None)
    status, kind, code = _MEANINGS[error.code]
    if error.code == "not_found" and error.param == "model":
        code = "model_not_found"
    if error.param is None and error.code in ("invalid_request", "not_found"):
        code = None
    return status, kind, code


def body(error: DarkroomError, form: Form) -> dict[str, Json]:
    """The body, naming the field as it is called in what was sent."""
    _, kind, code = meaning(error)
    param = field_of(error.param, form)
    shown = {"message": error.message, "type": kind, "param": param, "code": code}
    return {"error": shown}


def headers(error: DarkroomError) -> dict[str, str]:
    """Whether to send it again, and when. Never what may have been paid for, and never what would
    fail again."""
    wait_s = error.retry_after_s
    hopeless = error.paid or not error.retryable or meaning(error)[1] == _QUOTA
    if hopeless or (wait_s is not None and wait_s > _LONGEST_WAIT_S):
        return {"x-should-retry": "false"}
    sent = {"x-should-retry": "true"} if isinstance(error, InProgress) else {}
    if wait_s is not None:
        # openai-node takes a zero for "at once".
        wait_s = max(1.0, wait_s)
        sent["retry-after"] = str(math.ceil(wait_s))
        sent["retry-after-ms"] = str(math.ceil(wait_s * 1000))
    return sent


def field_of(param: str | None, form: Form) -> str | None:
    """What a field of ours is called in what was sent; None for none."""
    param = (param or "").removeprefix("options.")
    image = _IMAGE.fullmatch(param)
    if image is None:
        return (_CHAT if form == "chat" else _IMAGES).get(param, param) or None
    field, place, name = image.groups()
    if form == "chat":
        return "messages"
    if form == "multipart":
        # There they are all called image, or image[].
        return "mask" if place is None else "image" if place == "0" else f"image[{place}]"
    field = field if place is None else f"images[{place}]"
    return field if name is None else f"{field}.{'image_url' if name == 'url' else 'file_id'}"

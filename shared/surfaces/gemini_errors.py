"""Our errors → google.rpc.Status, in Google's words where it has some, with ours after them where
they say more.

Shapes: captured errors of generativelanguage.googleapis.com; cloud.google.com/apis/design/errors,
2026-10.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shared.domain import ImageRef, ImageRequest, Json
from shared.errors import (
    DarkroomError,
    Forbidden,
    IdempotencyConflict,
    InProgress,
    InsufficientCredit,
    InvalidRequest,
    ModelRetired,
    NotFound,
    OutcomeUnknown,
    ProviderUnavailable,
    QuotaExceeded,
    RateLimited,
    Unauthenticated,
    UnsupportedImage,
)
from shared.surfaces.gemini_checks import BAD_IMAGE, no_level, not_in_enum
from shared.surfaces.gemini_files import file_of, no_permission
from shared.surfaces.google_json import Refusal, cut, detail, refused

SERVICE = "generativelanguage.googleapis.com"
UNREGISTERED = (
    "Method doesn't allow unregistered callers (callers without established identity). Please use "
    "API Key or other form of API consumer identity to call this API."
)
BAD_KEY = "API key not valid. Please pass a valid API key."

_CONFIG = "generation_config"
_FIELDS = {
    "model": "model",
    "prompt": "contents",
    "images": "contents",
    "mask": "contents",
    "previous_request_id": "contents",
    "aspect_ratio": f"{_CONFIG}.image_config.aspect_ratio",
    "resolution": f"{_CONFIG}.image_config.image_size",
    "n": f"{_CONFIG}.candidate_count",
    "seed": f"{_CONFIG}.seed",
    "options.system_instruction": "system_instruction",
    "options.safety_settings": "safety_settings",
    "options.google_search": "tools",
    "options.image_search": "tools",
    "options.thinking_level": f"{_CONFIG}.thinking_config.thinking_level",
    "webhook_url": "batch.webhook_config.uris",
}
"""Our field → Google's in GenerateContentRequest. Other options keep their names."""
_PARAMETERS = {
    "model": "model",
    "prompt": "instances[0].prompt",
    "aspect_ratio": "parameters.aspect_ratio",
    "resolution": "parameters.sample_image_size",
    "n": "parameters.sample_count",
    "output_format": "parameters.output_options.mime_type",
    "output_quality": "parameters.output_options.compression_quality",
}
"""The same for predict."""


@dataclass(frozen=True)
class Place:
    """Where an error shows: the version of the API, and the model and method of the path, as far
    as it names some."""

    version: str = "v1beta"
    model: str = ""
    verb: str = ""


def refusal_of(error: DarkroomError, place: Place) -> Refusal:
    """The error as Google's."""
    match error:
        case Unauthenticated():
            return bad_key()
        case NotFound(param="model") | ModelRetired():
            return unknown_model(place, error.message if isinstance(error, ModelRetired) else "")
        case NotFound():
            return unknown_path()
        case Forbidden():
            return Refusal(403, error.message)
        case UnsupportedImage():
            return Refusal(400, f"{BAD_IMAGE}\n{error.message}")
        case InsufficientCredit():
            return Refusal(429, error.message)
        case RateLimited() | QuotaExceeded():
            return Refusal(429, error.message, [*_quota(error, place), *_retry(error)])
        case InProgress():
            return Refusal(409, error.message, _retry(error), "ABORTED")
        case IdempotencyConflict():
            return Refusal(409, error.message)
        case InvalidRequest(details={"reason": "ALREADY_EXISTS"}):
            return Refusal(409, error.message)
        case ProviderUnavailable():
            return Refusal(503, error.message, _retry(error))
        case OutcomeUnknown():
            return Refusal(504, error.message)
    if error.status >= 500:
        return Refusal(500, error.message, _retry(error))
    return _invalid(error, place)


def of_request(error: DarkroomError, request: ImageRequest, place: Place) -> Refusal:
    """The error of a request, which names the file or the value that it is about."""
    generates = place.verb != "predict"
    number = re.match(r"images\[([0-9]+)\]", error.param or "")
    if isinstance(error, NotFound) and number:
        return no_permission(_file(request.refs[int(number[1])]))
    if generates and error.param == "aspect_ratio":
        value = request.aspect_ratio or ""
        return not_in_enum("aspect_ratio", value, place.version, error.message)
    if generates and error.param == "resolution":
        return not_in_enum("image_size", request.resolution or "", place.version, error.message)
    if generates and error.param == "options.thinking_level":
        said = no_level(str(request.options.get("thinking_level", ""))).message
        return Refusal(400, f"{said}\n{error.message}")
    return refusal_of(error, place)


def unknown_model(place: Place, reason: str = "") -> Refusal:
    """The error for a model that is not there, or has no such method."""
    said = (
        f"models/{cut(place.model)} is not found for API version {place.version}, or is not "
        f"supported for {cut(place.verb) or 'GetModel'}. Call ModelService.ListModels to see the "
        "list of available models and their supported methods."
    )
    return Refusal(404, f"{said} {reason}".rstrip())


def unknown_path() -> Refusal:
    """The error for an address at which there is nothing."""
    return Refusal(404, "Requested entity was not found.")


def no_key() -> Refusal:
    """The error for a call without a key."""
    return Refusal(403, UNREGISTERED)


def bad_key() -> Refusal:
    """The error for a key that opens nothing."""
    metadata: Json = {"service": SERVICE}
    info = detail("ErrorInfo", reason="API_KEY_INVALID", domain="googleapis.com", metadata=metadata)
    local = detail("LocalizedMessage", locale="en-US", message=BAD_KEY)
    return Refusal(400, BAD_KEY, [info, local])


def _invalid(error: DarkroomError, place: Place) -> Refusal:
    if error.param is None:
        return Refusal(400, error.message)
    return refused([(field_of(error.param, place), error.message)])


def field_of(param: str, place: Place) -> str:
    """Google's name of a field of ours: "images[1].url" → "contents", "options.top_p" →
    "generation_config.top_p"."""
    known = _PARAMETERS if place.verb == "predict" else _FIELDS
    within = "parameters" if place.verb == "predict" else _CONFIG
    if param.startswith("options.") and param not in known:
        return f"{within}.{param.removeprefix('options.')}"
    return known.get(re.sub(r"\[.*", "", param), param)


def _file(ref: ImageRef) -> str:
    return ref.file_id or (file_of(ref.image_id) if ref.image_id else "")


def _quota(error: DarkroomError, place: Place) -> list[Mapping[str, Json]]:
    if not place.verb:
        # Room for files, of which nothing is counted by time.
        return []
    daily = isinstance(error, QuotaExceeded)
    violation: Json = {
        "quotaMetric": f"{SERVICE}/generate_requests_per_model",
        "quotaId": f"GenerateRequestsPer{'Day' if daily else 'Minute'}PerProjectPerModel",
        "quotaDimensions": {"location": "global", "model": place.model},
    }
    return [detail("QuotaFailure", violations=[violation])]


def _retry(error: DarkroomError) -> list[Mapping[str, Json]]:
    if error.retry_after_s is None:
        return []
    return [detail("RetryInfo", retryDelay=f"{error.retry_after_s:.9g}s")]

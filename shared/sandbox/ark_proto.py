"""Ark's JSON over HTTP: what a call may say, and how pictures, errors and events are put.

Sources: docs.byteplus.com/en/docs/ModelArk/1541523 (fields) and volcengine.com/docs/82379/1299023
(error codes) as quoted in 2026, and byteplus-python-sdk-v2 3.0.63.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import httpx
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, ValidationError

from shared.domain import Json

MOST_IMAGES = 15
"""References and pictures of one call together."""
TYPES = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    429: "TooManyRequests",
    500: "InternalServerError",
}
SENSITIVE = "may contain sensitive information."
OUTPUT_BLOCKED = (
    "OutputImageSensitiveContentDetected",
    f"The request failed because the output image {SENSITIVE}",
)
REFUSALS = {
    "rate_limited": (
        429,
        "ModelAccountIpmRateLimitExceeded",
        "The request failed because the IPM (Images Per Minute) limit is exceeded for your account "
        "and the model.",
    ),
    "quota_exhausted": (429, "QuotaExceeded", "Your account has exceeded its quota."),
    "unavailable": (
        429,
        "ServerOverloaded",
        "The service is currently unable to handle additional requests due to server overload.",
    ),
    "server_error": (
        500,
        "InternalServiceError",
        "The service encountered an unexpected internal error.",
    ),
    "blocked": (
        400,
        "InputTextSensitiveContentDetected",
        f"The request failed because the input text {SENSITIVE}",
    ),
}
"""Fault → the error it stands for."""
KEYS = {
    "bad": (401, "AuthenticationError", "The API key in the request is missing or invalid."),
    "overdue": (
        403,
        "AccountOverdueError",
        "The request failed because your account has an overdue balance.",
    ),
    "closed": (
        404,
        "ModelNotOpen",
        "Your account has not activated the model. Please activate the model service in the Ark "
        "Console.",
    ),
}
"""How a key begins → how it is refused. Any other is taken."""


class Refusal(Exception):
    """An answer that is an error. `param` is the field it is about."""

    def __init__(self, status: int, code: str, message: str, param: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param


class Group(BaseModel):
    """How many pictures a group may have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_images: int = Field(MOST_IMAGES, ge=1, le=MOST_IMAGES, strict=True)


class Optimizing(BaseModel):
    """How a prompt is improved."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["standard", "fast"] = "standard"


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Request(BaseModel):
    """The body of a call."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    prompt: str = Field(min_length=1)
    image: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    size: str = "2048x2048"
    response_format: Literal["url", "b64_json"] = "url"
    output_format: Literal["png", "jpeg"] | None = None
    watermark: StrictBool = True
    sequential_image_generation: Literal["auto", "disabled"] = "disabled"
    sequential_image_generation_options: Group = Group()
    optimize_prompt_options: Optimizing = Optimizing()
    stream: StrictBool = False

    @property
    def count(self) -> int:
        """How many pictures it is answered with."""
        alone = self.sequential_image_generation == "disabled"
        return 1 if alone else self.sequential_image_generation_options.max_images


def read(body: bytes) -> Request:
    """The body, checked for form. Raises Refusal."""
    try:
        fields = json.loads(body or b"{}")
        known = {k: v for k, v in fields.items() if v is not None}
        return Request.model_validate(known)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(step) for step in first["loc"] if isinstance(step, str))
        if first["type"] == "missing":
            words = "The request failed because it is missing one or multiple required parameters."
            raise Refusal(400, "MissingParameter", words, name) from error
        raise invalid(name) from error
    except (ValueError, RecursionError, AttributeError) as error:
        raise Refusal(400, "InvalidParameter", "The request body is not a JSON object.") from error


def invalid(name: str, why: str = "") -> Refusal:
    """The error for a field that is wrong."""
    words = f"The parameter `{name}` specified in the request is not valid"
    return Refusal(400, "InvalidParameter", f"{words}: {why}" if why else f"{words}.", name)


def answer(body: Json, status: int, request_id: str) -> httpx.Response:
    """A JSON answer."""
    headers = {"content-type": "application/json; charset=utf-8", "x-request-id": request_id}
    return httpx.Response(status, headers=headers, content=json.dumps(body).encode())


def refused(refusal: Refusal, request_id: str) -> httpx.Response:
    """The answer that an error is. The id ends its message, as support asks for it."""
    error: Json = {
        "code": refusal.code,
        "message": f"{refusal.message} Request id: {request_id}",
        "param": refusal.param,
        "type": TYPES[refusal.status],
    }
    return answer({"error": error}, refusal.status, request_id)


def events(
    about: Mapping[str, Json], items: Sequence[Mapping[str, Json]], usage: Json, request_id: str
) -> httpx.Response:
    """The answer picture by picture."""
    told: list[dict[str, Json]] = [
        {
            "type": f"image_generation.partial_{'failed' if 'error' in item else 'succeeded'}",
            **about,
            "image_index": number,
            **item,
        }
        for number, item in enumerate(items)
    ]
    told.append({"type": "image_generation.completed", **about, "usage": usage})
    lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in told]
    headers = {"content-type": "text/event-stream; charset=utf-8", "x-request-id": request_id}
    content = "".join([*lines, "data: [DONE]\n\n"]).encode()
    return httpx.Response(200, headers=headers, content=content)

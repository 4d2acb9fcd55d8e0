"""Google's JSON: messages that take camelCase and snake_case, refuse what they do not know in
Google's own words, and errors in the shape of google.rpc.Status.

Facts: proto3 JSON mapping; ai.google.dev "Gemini API troubleshooting", 2026-10.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel, to_snake
from pydantic_core import ErrorDetails, PydanticCustomError, from_json

from shared.domain import Json

PACKAGE = "type.googleapis.com/google.ai.generativelanguage"
STATUSES = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""HTTP status → google.rpc.Code, where an error does not say another."""
CODES = {
    "CANCELLED": 1,
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
}
"""google.rpc.Code by name → its number, which stands in what is no answer of its own."""
SCALARS = {
    "int": "TYPE_INT32",
    "greater": "TYPE_INT32",
    "less": "TYPE_INT32",
    "float": "TYPE_FLOAT",
    "finite": "TYPE_FLOAT",
    "bool": "TYPE_BOOL",
    "string": "TYPE_STRING",
    "literal": "TYPE_STRING",
}
"""The first word of pydantic's error type → how Google names the expected type."""
ECHO = 120
"""Characters of a wrong name or value that an error repeats."""
MOST_VIOLATIONS = 20
"""Faults of a body that an error names, and unknown fields of a message, or entries of a list that
are no messages, that are looked at."""


class Refusal(Exception):
    """An answer that is an error: `code` is the HTTP status, `status` the google.rpc.Code."""

    def __init__(
        self,
        code: int,
        message: str,
        details: Sequence[Mapping[str, Json]] = (),
        status: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
        self.status = status or STATUSES[code]

    def body(self) -> dict[str, Json]:
        """The error as JSON."""
        error: dict[str, Json] = {"code": self.code, "message": self.message, "status": self.status}
        return {"error": {**error, "details": list(self.details)} if self.details else error}

    def entry(self) -> dict[str, Json]:
        """The error where it is one of many. Without details: google-genai 3.4.0 takes them for
        texts there."""
        return {"code": CODES[self.status], "message": self.message, "status": self.status}


def detail(kind: str, **fields: Json) -> dict[str, Json]:
    """One entry of an error's `details`: `kind` is a message of google.rpc."""
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


class Message(BaseModel):
    """A protobuf message as JSON. A null counts as a field that was not sent."""

    # Each is built when it is first used: a function uses few of them.
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        defer_build=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, fields: object) -> object:
        if not isinstance(fields, dict):
            return fields
        given = {name: value for name, value in fields.items() if value is not None}
        if len(given) > MOST_VIOLATIONS:
            known = {alias for name in cls.model_fields for alias in (name, to_camel(name))}
            for name in [name for name in given if name not in known][MOST_VIOLATIONS:]:
                del given[name]
        return given


M = TypeVar("M", bound=Message)
T = TypeVar("T")


def one_of(name: str, *values: str) -> BeforeValidator:
    """An enum, its values taken in any case."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value.upper() not in values:
            raise PydanticCustomError("enum", "{enum}", {"enum": name})
        return value.upper()

    return BeforeValidator(check)


def _from_base64(value: object) -> bytes:
    if not isinstance(value, str):
        raise PydanticCustomError("base64", "not a string")
    standard = value.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise PydanticCustomError("base64", "not base64") from error


def _listed(value: object) -> object:
    if not isinstance(value, list):
        return [value] if isinstance(value, dict) else value
    wrong = count()
    return [one for one in value if isinstance(one, dict) or next(wrong) < MOST_VIOLATIONS]


Bytes = Annotated[bytes, BeforeValidator(_from_base64)]
Int32 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
Repeated = Annotated[tuple[T, ...], BeforeValidator(_listed)]
"""A list of messages; Google takes a lone one too."""


def read(kind: type[M], content: bytes, version: str) -> M:
    """Parse a body, or raise Refusal with the faults in it. `version` is the API's ("v1beta")."""
    try:
        fields = from_json(content or b"{}", allow_inf_nan=False)
    except ValueError as error:
        raise Refusal(400, f"Invalid JSON payload received. {error}") from error
    return validated(kind, fields, version)


def validated(kind: type[M], fields: object, version: str) -> M:
    """A message out of JSON, or Refusal with the faults in it."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        faults = error.errors(include_url=False)[:MOST_VIOLATIONS]
        raise refused([_violation(fault, version) for fault in faults]) from error


def refused(violations: Sequence[tuple[str, str]]) -> Refusal:
    """The error for (path, description) of each wrong field."""
    listed: list[Json] = [
        {"field": path, "description": text} if path else {"description": text}
        for path, text in violations
    ]
    message = "\n".join(text for _, text in violations)
    return Refusal(400, message, [detail("BadRequest", fieldViolations=listed)])


def invalid_value(path: str, kind: str, value: object) -> str:
    """Google's words for a value that its type does not have."""
    return f"Invalid value at '{path}' ({kind}), {_echo(value)}"


def _violation(error: ErrorDetails, version: str) -> tuple[str, str]:
    place, kind, value = error["loc"], error["type"], error["input"]
    if kind == "extra_forbidden":
        path = _path(place[:-1])
        where = f" at '{path}'" if path else ""
        unknown = f'Unknown name "{cut(str(place[-1]))}"{where}: Cannot find field.'
        return path, f"Invalid JSON payload received. {unknown}"
    path = _path(place)
    if kind == "oneof":
        already = "oneof field 'data' is already set. Cannot set"
        return path, f"Invalid value at '{path}' (oneof), {already} '{error['msg']}'"
    if kind == "base64":
        failed = f"Base64 decoding failed for {_echo(value)}"
        return path, f"Invalid value at '{path}' (TYPE_BYTES), {failed}"
    return path, invalid_value(path, _type_name(error, version), value)


def _type_name(error: ErrorDetails, version: str) -> str:
    context = error.get("ctx", {})
    name = context.get("enum") or context.get("class_name")
    if name:
        return f"{PACKAGE}.{version}.{name}"
    return SCALARS.get(error["type"].split("_")[0], "TYPE_MESSAGE")


def _path(place: Sequence[int | str]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{to_snake(step)}" for step in place)
    return "".join(steps).removeprefix(".")


def _echo(value: object) -> str:
    if isinstance(value, str):
        return cut(json.dumps(value[: ECHO + 1], ensure_ascii=False))
    text = ""
    for piece in json.JSONEncoder(ensure_ascii=False, default=str).iterencode(value):
        text += piece
        if len(text) > ECHO:
            break
    return cut(text)


def cut(text: str) -> str:
    """As much of what a caller said as an error repeats."""
    return text if len(text) <= ECHO else f"{text[:ECHO]}…"


def stamp(moment: datetime) -> str:
    """A Timestamp."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def page_of(query: Mapping[str, str], *, default: int, most: int) -> tuple[int, str]:
    """How many entries of a list `pageSize` asks for, and the `pageToken`. Raises Refusal."""
    size, token = _query(query, "pageSize"), _query(query, "pageToken")
    return min(_count(size) or default, most), token


def page(
    query: Mapping[str, str], name: str, items: Sequence[Json], *, default: int, most: int
) -> dict[str, Json]:
    """The part of a list that a query asks for. An empty list has no field."""
    length, token = page_of(query, default=default, most=most)
    start = _count(token)
    body: dict[str, Json] = {name: list(items[start : start + length])} if items[start:] else {}
    if items[start + length :]:
        body["nextPageToken"] = str(start + length)
    return body


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{0,9}", text):
        raise Refusal(400, "Request contains an invalid argument.")
    return int(text or 0)


def _query(query: Mapping[str, str], name: str) -> str:
    return query.get(name) or query.get(to_snake(name), "")

"""Query parameters, and headers that say one of a few words."""

from __future__ import annotations

import re
from typing import TypeVar

from starlette.requests import Request

from shared.errors import InvalidRequest

MAX_LENGTH = 512
T = TypeVar("T")


def whole_number(request: Request, name: str, default: int, most: int) -> int:
    """A query parameter from 1 to `most`. Raises InvalidRequest."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise InvalidRequest(f"{name} is a whole number from 1 to {most}.", param=name)
    return int(text)


def one_of(value: str | None, allowed: tuple[T, ...], param: str) -> T | None:
    """A query parameter that is one of a few words, or not there. Raises InvalidRequest."""
    if value is None:
        return None
    for one in allowed:
        if one == value:
            return one
    raise InvalidRequest(f"{param} is one of {', '.join(map(str, allowed))}.", param=param)


def only(request: Request, *known: str) -> None:
    """Refuse query parameters that mean nothing here. Raises InvalidRequest."""
    for name in request.query_params:
        if name not in known:
            raise InvalidRequest(
                f"There is no query parameter {name!r}: there are {', '.join(known) or 'none'}.",
                param=name,
            )
        if len(request.query_params[name]) > MAX_LENGTH:
            raise InvalidRequest(f"{name} is too long.", param=name)
        if len(request.query_params.getlist(name)) > 1:
            raise InvalidRequest(f"{name} is there twice.", param=name)

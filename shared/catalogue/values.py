"""What a field of a catalogue row may hold: names, ratios, sizes, numbers, days and prices. A price
is written as a decimal string and held as integer millionths of its unit: micro-dollars, where it
is dollars."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PositiveInt,
    StrictInt,
    ValidationInfo,
)

FROM_FILE = "file"
"""Validation context of a row that was read from a file."""


def _millionths(value: object, info: ValidationInfo) -> int:
    """ "0.134" → 134000. In a file a price is a string, so that no float ever holds it and a
    whole number of dollars is not taken for micro-dollars."""
    if isinstance(value, int) and not isinstance(value, bool) and info.context != FROM_FILE:
        return value
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value):
        raise ValueError('a price is a string with at most six decimals, such as "0.039"')
    return int(Decimal(value) * 1_000_000)


def _size(value: object) -> object:
    """ "1024x768" → (1024, 768)."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"[0-9]{1,5}x[0-9]{1,5}", value):
        raise ValueError('a size is width x height in pixels, such as "1024x768"')
    return tuple(int(side) for side in value.split("x"))


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError) as error:
        raise ValueError(f"there is no time zone {name!r}") from error
    return name


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
"""What may stand in a URL's path: an id or an alias."""
Ratio = Annotated[str, Field(pattern=r"^[1-9][0-9]*:[1-9][0-9]*$")]
Micros = Annotated[int, BeforeValidator(_millionths)]
Pixels = Annotated[tuple[PositiveInt, PositiveInt], BeforeValidator(_size)]
Count = Annotated[StrictInt, Field(ge=0)]
Positive = Annotated[StrictInt, Field(ge=1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Day = Annotated[date, Field(strict=True)]
Zone = Annotated[str, AfterValidator(_zone)]
Grade = Annotated[StrictInt, Field(ge=1, le=5)]

"""What chat/completions counts (platform.openai.com/docs/api-reference/chat/object, 2026-10), with
OpenRouter's `cost` in US dollars (openrouter.ai/docs/use-cases/usage-accounting, 2026-10)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from shared.domain import Usage

_MOST_USD = 1_000


def _countable(value: object) -> object:
    """A count that makes no sense must not cost anybody the picture."""
    return value if type(value) is int and 0 <= value < 2**31 else 0


def _micros(value: object) -> object:
    """US dollars → micro-dollars, rounded up; None for what is no price."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST_USD:
        return None
    # The shortest text that reads as this number is what the provider wrote.
    micros = Decimal(repr(value)) * 1_000_000
    return int(micros.to_integral_value(ROUND_CEILING))


Count = Annotated[int, BeforeValidator(_countable)]


class Part(BaseModel):
    """A part of an answer. Null means absent, and names that are not ours are passed over."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {name: item for name, item in value.items() if item is not None}


class _Details(Part):
    image_tokens: Count = 0
    reasoning_tokens: Count = 0


def _readable(value: object) -> object:
    return value if isinstance(value, Mapping) else {}


_Lenient = BeforeValidator(_readable)


class Counted(Part):
    """The `usage` of an answer."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    prompt_tokens_details: Annotated[_Details, _Lenient] = _Details()
    completion_tokens_details: Annotated[_Details, _Lenient] = _Details()
    cost: Annotated[int | None, BeforeValidator(_micros)] = None

    def usage(self, images: int) -> Usage:
        """As the house counts, beside `images` pictures."""
        made = self.completion_tokens_details
        return Usage(
            input_tokens=self.prompt_tokens,
            output_tokens=self.completion_tokens,
            source_tokens=min(self.prompt_tokens_details.image_tokens, self.prompt_tokens),
            thought_tokens=made.reasoning_tokens,
            image_tokens=min(made.image_tokens, self.completion_tokens),
            images=images,
            cost_micros=self.cost,
        )


Lenient = Annotated[Counted, _Lenient]
"""A `usage` that may be anything."""

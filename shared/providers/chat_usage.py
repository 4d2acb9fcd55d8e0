"""What chat/completions counts (platform.openai.com/docs/api-reference/chat/object, 2026-10), with
OpenRouter's `cost` in US dollars (openrouter.ai/docs/use-cases/usage-accounting, 2026-10)."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Annotated

from pydantic import BeforeValidator, JsonValue

from shared.domain import Usage
from shared.providers.bodies import Count, Message, Object

_MOST_USD = 1_000


def _micros(value: object) -> object:
    """US dollars → micro-dollars, rounded up; None for what is no price."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST_USD:
        return None
    # The shortest text that reads as this number is what the provider wrote.
    micros = Decimal(repr(value)) * 1_000_000
    return int(micros.to_integral_value(ROUND_CEILING))


class _Details(Message):
    image_tokens: Count = 0
    reasoning_tokens: Count = 0


class Counted(Message):
    """The `usage` of an answer."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    prompt_tokens_details: Annotated[_Details, Object] = _Details()
    completion_tokens_details: Annotated[_Details, Object] = _Details()
    cost: Annotated[int | None, BeforeValidator(_micros)] = None
    is_byok: JsonValue = None
    """Whether the account's own key at the vendor was used: `cost` is a fee then, not the price."""

    def usage(self, images: int) -> Usage:
        """As the house counts, beside `images` pictures."""
        made, output = self.completion_tokens_details, self.completion_tokens
        # Without a split it is taken for what was asked for.
        unsplit = output - made.reasoning_tokens if images else 0
        return Usage(
            input_tokens=self.prompt_tokens,
            output_tokens=output,
            source_tokens=min(self.prompt_tokens_details.image_tokens, self.prompt_tokens),
            thought_tokens=made.reasoning_tokens,
            image_tokens=max(0, min(made.image_tokens or unsplit, output)),
            images=images,
            cost_micros=None if self.is_byok else self.cost,
        )


Lenient = Annotated[Counted, Object]
"""A `usage` that may be anything."""

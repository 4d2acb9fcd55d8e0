"""OpenRouter charges what its rows say."""

from __future__ import annotations

import json
from decimal import Decimal

import httpx
import pytest

from shared import catalogue, pricing
from shared.domain import Usage
from shared.providers import openrouter_images
from shared.providers.chat_usage import Counted

PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mNgaGAAAAEEAIFOCxQJAAAAAElFTkSuQmCC"
)


@pytest.mark.parametrize(
    ("model", "tokens", "image_tokens", "text_tokens", "usd"),
    [
        # What OpenRouter said of real answers, in 2025-11 and 2026-08.
        ("gemini-2.5-flash-image", 0, 1290, 0, "0.0387"),
        ("gemini-3.1-flash-lite-image", 5, 1120, 417, "0.03422675"),
        ("gemini-3.1-flash-lite-image", 1125, 1120, 0, "0.03388125"),
    ],
)
def test_the_rows_come_to_what_was_charged(
    model: str, tokens: int, image_tokens: int, text_tokens: int, usd: str
) -> None:
    route = catalogue.load().route(f"openrouter:{model}")
    counted = Usage(
        input_tokens=tokens,
        output_tokens=image_tokens + text_tokens,
        image_tokens=image_tokens,
        images=1,
    )
    charged = Decimal(usd) * 1_000_000
    assert 0 <= pricing.cost_micros(counted, route, 0) - charged < 1


def test_what_it_says_it_charged_is_rounded_up_and_never_a_float() -> None:
    body = {"data": [{"b64_json": PICTURE}], "usage": {"cost": 0.0342267501}}
    done = openrouter_images.read(httpx.Response(200, content=json.dumps(body).encode()))
    assert done.usage.cost_micros == 34227
    assert type(done.usage.cost_micros) is int


@pytest.mark.parametrize(
    ("cost", "micros"),
    [
        (0, 0), (1, 1_000_000), (0.1, 100_000), (1e-7, 1), (0.0387, 38_700), (-0.1, None),
        (float("nan"), None), (float("inf"), None), (10**400, None), (True, None), ("0.1", None),
        (None, None),
    ],
)  # fmt: skip
def test_a_cost_is_read_as_it_is_written(cost: object, micros: int | None) -> None:
    assert Counted.model_validate({"cost": cost}).cost == micros

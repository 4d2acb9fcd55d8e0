"""What is held and charged."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from shared import pricing
from shared.catalogue import load
from shared.domain import ImageRequest

CATALOGUE = load()
PRO = CATALOGUE.models["gemini-3-pro-image"]
FIRST = PRO.routes[:1]


def asked(**fields: object) -> ImageRequest:
    return ImageRequest(operation="generate", model=PRO.id, prompt="x", **fields)  # type: ignore[arg-type] # a test's shorthand


def test_a_quote_is_the_price_of_the_resolution_times_the_pictures() -> None:
    quote = pricing.quote(asked(n=3, resolution="4K"), FIRST, CATALOGUE, test=False)
    assert quote.micros == quote.listed_micros == 720_000
    assert quote.unit_micros == {"google:gemini-3-pro-image": 240_000}


def test_the_default_resolution_is_priced_when_none_is_asked_for() -> None:
    assert pricing.quote(asked(), FIRST, CATALOGUE, test=False).micros == 134_000


def test_the_dearest_route_is_held() -> None:
    flash = CATALOGUE.models["gemini-2.5-flash-image"]
    both = pricing.quote(asked(), (*FIRST, *flash.routes[:1]), CATALOGUE, test=False)
    assert both.micros == 134_000
    assert both.unit_micros["google:gemini-2.5-flash-image"] == 39_000


def test_a_test_key_holds_nothing_and_still_learns_the_price() -> None:
    quote = pricing.quote(asked(n=2), FIRST, CATALOGUE, test=True)
    assert (quote.micros, quote.listed_micros) == (0, 268_000)
    assert set(quote.unit_micros.values()) == {0}


@pytest.mark.parametrize(
    ("micros", "text"),
    [(0, "0.000000"), (1, "0.000001"), (134_000, "0.134000"), (-20_500_000, "-20.500000")],
)
def test_money_is_written_with_six_decimals(micros: int, text: str) -> None:
    assert pricing.usd(micros) == text


@pytest.mark.parametrize("module", ["pricing", "ledger"])
def test_no_float_touches_money(module: str) -> None:
    tree = ast.parse(Path(f"shared/{module}.py").read_text())
    divisions = [
        n for n in ast.walk(tree) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Div)
    ]
    assert not divisions

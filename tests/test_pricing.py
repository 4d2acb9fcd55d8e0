"""What is held and charged."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from shared import pricing
from shared.catalogue import load
from shared.catalogue.rows import Route
from shared.domain import ImageRef, ImageRequest, Usage

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


GPT, MINI = CATALOGUE.models["gpt-image-2"], CATALOGUE.models["gpt-image-1-mini"]
STUDIO = CATALOGUE.route("threedaistudio:gemini-3-pro-image")


def unit(route: Route, **fields: object) -> int:
    return pricing.unit_micros(asked(**fields), route, CATALOGUE)


def test_a_price_by_tokens_is_estimated_by_quality_and_size() -> None:
    (route,) = GPT.routes
    # 196 tokens at $30 a million, and one of text at $5.
    assert unit(route, quality="low") == 5_880 + 5
    assert unit(route) == 1_756 * 30 + 5
    assert unit(route, quality="high", aspect_ratio="16:9", resolution="4K") == 13_342 * 30 + 5
    assert unit(route, quality="low", options={"size": "1536x864"}) == 120 * 30 + 5


def test_pictures_that_go_in_are_estimated_too() -> None:
    (route,) = GPT.routes
    one = unit(route, aspect_ratio="1:1", refs=(ImageRef(),))
    assert one - unit(route) == 1_450 * 8


def test_an_estimate_by_tokens_is_held_with_a_quarter_more() -> None:
    quote = pricing.quote(asked(n=2, quality="low"), GPT.routes, CATALOGUE, test=False)
    assert quote.listed_micros == 2 * 5_885
    assert quote.micros == 2 * (5_880 * 5 // 4 + 5)


def test_sketches_are_held_and_estimated_where_tokens_are_counted_for_them() -> None:
    (route,) = GPT.routes
    sketched = {"quality": "low", "partial_images": 3}
    assert unit(route, **sketched) == (196 + 300) * 30 + 5
    held = pricing.most_micros(asked(**sketched), route, CATALOGUE)
    assert held == (196 + 300) * 30 * 5 // 4 + 5
    batch = pricing.batch_unit_micros(asked(**sketched), route, CATALOGUE)
    assert batch == pricing.batch_unit_micros(asked(quality="low"), route, CATALOGUE)
    for free in (FIRST[0], CATALOGUE.route("openrouter:gemini-3-pro-image")):
        assert unit(free, partial_images=3) == unit(free)


def test_a_text_is_held_at_a_token_a_byte_and_images_at_the_most_they_may_count() -> None:
    old = CATALOGUE.route("openai:gpt-image-1.5")
    request = asked(quality="low", aspect_ratio="1:1", refs=(ImageRef(),) * 16)
    request = replace(request, prompt="𒀀" * 1_000)
    held = pricing.most_micros(request, old, CATALOGUE)
    assert held == 272 * 32 * 5 // 4 + 4_000 * 5 + 16 * 4_500 * 8


def test_a_size_that_is_not_known_yet_costs_what_the_dearest_does() -> None:
    (route,) = MINI.routes
    assert unit(route, quality="high", refs=(ImageRef(),)) == 52_000
    assert unit(route, quality="high", aspect_ratio="1:1", refs=(ImageRef(),)) == 36_000


def test_credits_cost_what_the_account_pays_for_them() -> None:
    assert unit(STUDIO) == 50 * 10_000
    assert unit(STUDIO, resolution="4K") == 80 * 10_000
    account = CATALOGUE.providers["threedaistudio"]
    assert pricing.credits_of(3 * 500_000, STUDIO, account) == 150
    assert pricing.credits_of(134_000, FIRST[0], CATALOGUE.providers["google"]) is None


def test_what_was_counted_is_what_it_costs() -> None:
    (route,) = GPT.routes
    usage = Usage(
        input_tokens=110, source_tokens=100, output_tokens=250, image_tokens=200, images=1
    )
    expected = 10 * 5 + 100 * 8 + 50 * 10 + 200 * 30
    assert pricing.cost_micros(usage, route, 999) == expected
    assert pricing.cost_micros(replace(usage, cost_micros=77), route, 999) == 77


def test_without_a_count_or_at_a_listed_price_it_is_the_unit() -> None:
    (route,) = GPT.routes
    assert pricing.charge_micros(Usage(images=3), route, 999) == 2_997
    counted = Usage(output_tokens=1_120, image_tokens=1_120, images=2)
    assert pricing.charge_micros(counted, FIRST[0], 134_000) == 268_000
    assert pricing.cost_micros(counted, FIRST[0], 134_000) == 1_120 * 120


def test_costs_follow_from_recorded_answers_to_the_micro() -> None:
    """Of OpenRouter in August 2026: 1,125 tokens in, 1,120 of a picture out, $0.03388125."""
    route = CATALOGUE.route("openrouter:gemini-3.1-flash-lite-image")
    usage = Usage(input_tokens=1_125, output_tokens=1_120, image_tokens=1_120, images=1)
    assert pricing.cost_micros(usage, route, 0) == 33_882


def test_where_nothing_is_ever_paid_nothing_is_held(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text('[[provider]]\nid = "google"\nfree = { rpd = 1, then = "refused" }\n')
    free = load(overlay)
    assert pricing.quote(asked(), FIRST, free, test=False).micros == 0


def test_a_dear_last_resort_stands_in_nobodys_way() -> None:
    both = (*FIRST, STUDIO)
    assert pricing.affordable(asked(), both, CATALOGUE, 200_000) == FIRST
    assert pricing.affordable(asked(), both, CATALOGUE, 500_000) == both
    assert pricing.affordable(asked(), both, CATALOGUE, 1) == FIRST

"""Which way is chosen, and how it is explained: pure, over rows made for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from shared import body, choice
from shared.catalogue import Catalogue, load
from shared.catalogue.rows import Allowance, Model, Price, Route
from shared.errors import InvalidRequest
from shared.estimate import ChoiceView, EstimateView, estimate

TODAY = date(2026, 11, 21)
LISTED = load()
LIKE = LISTED.models["gemini-nano-banana-2.1"]


def flat(micros: int) -> Price:
    return Price(unit="image", usd=micros)


def way(provider: str, micros: int, **fields: object) -> Route:
    """A route of a model made up here; `batch` is its price in a batch."""
    batch = fields.pop("batch", None)
    changes = {"provider": provider, "price": flat(micros), "released": date(2026, 1, 1), **fields}
    if isinstance(batch, int):
        changes["batch_price"] = flat(batch)
    return LIKE.routes[0].model_copy(update={"batch_price": None, **changes})


def row(name: str, *routes: Route, **fields: object) -> Model:
    """A model made up here, called by its id."""
    kept = tuple(route.model_copy(update={"model": name.lower()}) for route in routes)
    changes = {"id": name.lower(), "name": name, "aliases": (), "routes": kept, **fields}
    return LIKE.model_copy(update=changes)


def of(*models: Model, free: Mapping[str, Allowance] | None = None) -> Catalogue:
    """A catalogue of these models and no others."""
    accounts = {
        name: account.model_copy(update={"free": (free or {}).get(name)})
        for name, account in LISTED.providers.items()
    }
    offers = {route.key: model.by(route) for model in models for route in model.routes}
    return replace(
        LISTED,
        models={model.id: model for model in models},
        providers=accounts,
        aliases={},
        offers=offers,
    )


def asked(catalogue: Catalogue, shut: str = "", **fields: Any) -> EstimateView:
    parsed = body.estimate(fields, {})
    return estimate(parsed, catalogue, frozenset(catalogue.providers) - {shut}, TODAY)


def chosen(catalogue: Catalogue, **fields: Any) -> ChoiceView:
    view = asked(catalogue, **fields)
    assert view.choice is not None and view.choice_reason is None
    return view.choice


PLAIN = row("Plain", way("google", 30_000, batch=15_000), way("vertex", 31_000), grade=3)
SWIFT = row("Swift", way("openai", 40_000), grade=2, typical_seconds=3.0, seed=False)
GRAND = row("Grand", way("ark", 90_000, batch=45_000), grade=5, typical_seconds=30.0)
SMALL = row("Small", way("laozhang", 20_000), resolutions=("1K",), mask=False, grade=2)
THREE = of(PLAIN, SWIFT, GRAND, SMALL)


@pytest.mark.parametrize(
    ("fields", "model", "mode", "unit"),
    [
        ({"count": 100_000}, "small", "now", "0.020000"),
        ({"choose": "best", "max_unit_usd": "0.05"}, "plain", "now", "0.030000"),
        ({"resolution": "4K"}, "plain", "now", "0.030000"),
        ({"seed": 7}, "small", "now", "0.020000"),
        ({"masked": True}, "plain", "now", "0.030000"),
        ({"can_wait": True}, "plain", "batch", "0.015000"),
        ({"choose": "best"}, "grand", "now", "0.090000"),
        ({"choose": "fastest"}, "swift", "now", "0.040000"),
        # In time for a batch, the limit lets in what would cost more at once.
        (
            {"choose": "best", "max_unit_usd": "0.05", "can_wait": True},
            "grand",
            "batch",
            "0.045000",
        ),
        # Who wants the fastest gets no batch, unless nothing else is left.
        ({"choose": "fastest", "can_wait": True}, "swift", "now", "0.040000"),
        (
            {"choose": "fastest", "can_wait": True, "max_unit_usd": "0.016"},
            "plain",
            "batch",
            "0.015000",
        ),
    ],
)
def test_each_question_has_its_answer(
    fields: dict[str, Any], model: str, mode: str, unit: str
) -> None:
    found = chosen(THREE, **fields)
    assert (found.model, found.mode, found.unit_usd) == (model, mode, unit)
    assert (found.seconds is None) == (mode == "batch")


def test_the_reason_says_price_rank_the_next_and_what_was_left_out() -> None:
    found = chosen(THREE, resolution="4K", aspect_ratio="16:9", seed=7, count=100_000)
    assert found.total_usd == "3000.000000"
    assert found.reason == (
        "Plain by Google Gemini API is the cheapest of 3 ways open here that can make 4K pictures "
        "in 16:9 and take a seed: $0.03 a picture, $3,000.00 for 100,000, in about 12 seconds "
        "each. Next: Plain by Google Vertex AI at $0.031. Left out of 5: 1 without seeds, "
        "1 without 4K."
    )


def test_the_reason_names_what_decides() -> None:
    best = chosen(THREE, choose="best", can_wait=True, count=2)
    assert best.reason == (
        "Grand by BytePlus ModelArk is the best of 5 ways open here that can make pictures "
        "(grade 5 of 5): $0.045 a picture, $0.09 for 2, in a batch that may take 24 hours. "
        "Next: Plain by Google Gemini API at $0.015 in a batch, grade 3."
    )
    fastest = chosen(THREE, choose="fastest", source_count=3, masked=True)
    assert "make pictures from yours and take 3 images and a mask: " in fastest.reason
    assert "Next: Plain by Google Gemini API at $0.03, in about 12 seconds." in fastest.reason


def test_of_those_that_cost_the_same_the_one_that_stays_comes_first_then_the_faster() -> None:
    leaving = row("Leaving", way("google", 10, status="deprecated"), typical_seconds=1.0)
    slow = row("Slow", way("openai", 10), typical_seconds=9.0)
    quick = row("Quick", way("ark", 10), typical_seconds=4.0)
    same = row("Same", way("vertex", 10), typical_seconds=4.0)
    assert chosen(of(leaving, slow, quick, same)).model == "quick"
    assert chosen(of(same, quick, leaving)).model == "same"
    assert [r.model for r in asked(of(slow, quick)).routes] == ["quick", "slow"]


def test_of_the_same_grade_the_newest_is_best_then_the_cheapest() -> None:
    old = row("Old", way("google", 10, released=date(2025, 1, 1)), grade=4)
    new = row("New", way("openai", 30), way("ark", 20), grade=4)
    bad = row("Bad", way("vertex", 5, released=date(2026, 11, 1)), grade=1)
    undated = row("Undated", way("laozhang", 5, released=None), grade=4)
    found = chosen(of(old, new, bad, undated), choose="best")
    assert (found.model, found.provider) == ("new", "ark")
    assert chosen(of(undated, old), choose="best").model == "old"


def test_what_shuts_down_soon_is_passed_over_and_named() -> None:
    ending = row("Ending", way("google", 10, shutdown=date(2026, 12, 1)), typical_seconds=20.0)
    found = chosen(of(ending, PLAIN))
    assert found.model == "plain"
    assert "is the cheapest of 2 ways open here that can make pictures" in found.reason
    passed = "Passed over: Ending by Google Gemini API at $0.00001, which ends on 2026-12-01."
    assert passed in found.reason
    # It would not have come first by speed, so nobody has to hear of it.
    assert "Passed over" not in chosen(of(ending, SMALL), choose="fastest").reason
    alone = chosen(of(ending))
    assert alone.model == "ending"
    assert alone.reason.endswith("It shuts down on 2026-12-01.")


def test_what_shuts_down_later_is_named_with_what_stays() -> None:
    leaving = row(
        "Leaving",
        way("google", 10, status="deprecated", shutdown=date(2027, 12, 1)),
        way("vertex", 11, status="deprecated"),
    )
    assert " It shuts down on 2027-12-01. Next that stays: Plain by " in (
        chosen(of(leaving, PLAIN)).reason
    )
    old = chosen(of(leaving, PLAIN), route={"providers": ["vertex", "google"]}, model="leaving")
    assert "is the cheapest of 2 ways open here to Leaving that can make pictures" in old.reason
    assert "It shuts down on 2027-12-01. Next: Leaving by Google Vertex AI at " in old.reason
    assert "It is deprecated." in chosen(of(leaving), route={"providers": ["vertex"]}).reason


def test_what_costs_too_much_is_left_out_with_price_and_limit() -> None:
    view = asked(THREE, max_unit_usd="0.0305")
    assert [r.model for r in view.routes] == ["small", "plain"]
    reasons = {(e.model, e.provider): e.reason for e in view.excluded}
    assert reasons["grand", "ark"] == "it costs $0.09 a picture, over the limit of $0.0305"
    assert reasons["plain", "vertex"] == "it costs $0.031 a picture, over the limit of $0.0305"
    assert view.choice is not None
    assert view.choice.reason.endswith("Left out of 5: 3 over $0.0305.")
    exact = asked(THREE, max_unit_usd="0.031")
    assert "vertex" in [r.provider for r in exact.routes]


def test_routes_are_listed_by_the_price_that_counts() -> None:
    found = [(r.model, r.provider) for r in asked(THREE, can_wait=True).routes]
    assert found[:3] == [("plain", "google"), ("small", "laozhang"), ("plain", "vertex")]
    door = row("Door", way("google", 30), way("vertex", 20), way("ark", 40, batch=10))
    found = [(r.model, r.provider) for r in asked(of(door), model="door").routes]
    assert found == [("door", "vertex"), ("door", "google"), ("door", "ark")]
    over = asked(of(door), model="door", max_unit_usd="0.000001").choice_reason
    assert over is not None and "costs more: Door by Google Vertex AI at $0.00002." in over


def test_where_nothing_is_left_the_reasons_are_counted_and_the_nearest_is_named() -> None:
    view = asked(THREE, max_unit_usd="0.001", seed=1, shut="ark")
    assert view.choice is None and view.routes == []
    assert view.choice_reason == (
        "Nothing open here can make pictures, take a seed and cost at most $0.001 each. The "
        "cheapest that costs more: Small by laozhang.ai at $0.02. Left out of 5: 3 over $0.001, "
        "1 without seeds, 1 without a key here."
    )
    named = asked(THREE, model="small", resolution="4K")
    assert named.choice_reason == (
        "No way open here to Small can make 4K pictures. Left out of 1: 1 without 4K."
    )


def test_retired_routes_and_3d_models_are_not_counted_among_pictures() -> None:
    gone = row("Gone", way("openai", 1, shutdown=date(2026, 11, 1)))
    shape = LISTED.models["hunyuan-3d-3.1"]
    found = chosen(of(gone, shape, PLAIN), route={"providers": ["google"]})
    assert "is the only way open here that can make pictures" in found.reason
    assert found.reason.endswith("Left out of 2: 1 not asked for.")
    solid = chosen(of(gone, shape, PLAIN), operation="three_d", prompt="a cup")
    assert solid.reason == (
        "Hunyuan 3D 3.1 Pro by 3D AI Studio is the only way open here that can make 3D models: "
        "$0.60 a 3D model, in about 270 seconds."
    )


def test_what_was_asked_for_is_said_in_full() -> None:
    view = asked(
        THREE,
        n=4,
        output_format="webp",
        background="transparent",
        previous_request_id="req_a",
        options={"temperature": 3},
        max_unit_usd="0.01",
    )
    assert (view.choice_reason or "").startswith(
        "Nothing open here can make pictures from yours as webp with a transparent background, "
        "make 4 a request, continue a request, take these options and cost at most $0.01 each. "
    )


def test_an_option_that_is_missing_is_said_to_be() -> None:
    view = asked(LISTED, operation="three_d", model="hunyuan-3d-texture", source_count=1)
    assert view.choice_reason is not None and "1 in need of file_url" in view.choice_reason


def test_what_is_free_is_said_and_what_nothing_is_paid_for_costs_nothing() -> None:
    some = of(PLAIN, free={"google": Allowance(rpd=500, rpm=60)})
    assert " Free: 500 requests a day, 60 a minute, then paid. " in chosen(some).reason
    # A batch is never free, and here it is cheaper than what follows the free ones.
    assert "Free" not in chosen(some, can_wait=True).reason
    gratis = of(PLAIN, SMALL, free={"google": Allowance(rpd=9, then="refused")})
    found = chosen(gratis, can_wait=True, count=10)
    assert (found.provider, found.mode, found.total_usd) == ("google", "now", "0.000000")
    assert "$0.00 a picture, $0.00 for 10, " in found.reason
    assert " Free: 9 requests a day, then refused." in found.reason


def test_a_price_by_tokens_is_about_and_of_a_quality() -> None:
    found = chosen(LISTED, model="gpt-image-2", count=3, n=2, quality="low")
    assert ": about $0.00588 a picture of low quality, about $0.03528 for 6, in " in found.reason


def test_a_mask_of_which_only_is_spoken_needs_a_source() -> None:
    request = body.estimate({"masked": True}, {}).request
    assert (request.operation, len(request.refs)) == ("edit", 1)
    assert request.mask_ref is not None
    sent = {"masked": True, "mask": {"url": "https://a.example/m.png"}, "source_count": 2}
    request = body.estimate(sent, {}).request
    assert request.mask_ref is not None and request.mask_ref.url == "https://a.example/m.png"
    assert len(request.refs) == 2


@pytest.mark.parametrize(
    "usd", ["0", "0.000000", "-1", "0.0000001", "5 ", "0.05\n", "٥", 0.05, 5, ""]
)
def test_a_limit_is_dollars_above_zero(usd: object) -> None:
    with pytest.raises(InvalidRequest, match="a limit is dollars above zero") as refused:
        body.estimate({"max_unit_usd": usd}, {})
    assert refused.value.param == "max_unit_usd"
    assert choice.limit_micros("0.000001") == 1


@pytest.mark.parametrize(
    ("micros", "text"),
    [(0, "$0.00"), (20_000, "$0.02"), (6_585, "$0.006585"), (2_000_000_000, "$2,000.00")],
)
def test_dollars_have_the_digits_they_need_and_two_at_least(micros: int, text: str) -> None:
    assert choice.dollars(micros) == text

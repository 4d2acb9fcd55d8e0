"""Which routes a request takes, in which order, and why others are left out."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from shared import pricing, routing
from shared.catalogue import Catalogue, load
from shared.domain import ImageRef, ImageRequest
from shared.errors import InvalidRequest, Misconfigured, ModelRetired, NotFound

TODAY = date(2026, 11, 21)
OPEN = frozenset({"google"})
CATALOGUE = load()


def asked(model: str = "nano-banana-pro", **fields: object) -> ImageRequest:
    return ImageRequest(operation="generate", model=model, prompt="x", **fields)  # type: ignore[arg-type] # a test's shorthand


def two_doors(tmp_path: Path) -> Catalogue:
    """The catalogue with a second, cheaper door to the Pro model."""
    overlay = tmp_path / "overlay.toml"
    overlay.write_text(
        """
        [[provider]]
        id = "mirror"
        name = "Mirror"
        base_url = "https://mirror.example"
        version = "v1beta"
        auth = "x-goog-api-key"
        env = "MIRROR"
        sandbox = "google"
        timeout_s = 60

        [[model]]
        id = "gemini-3-pro-image"
        [[model.routes]]
        provider = "mirror"
        wire = "gemini"
        wire_model = "gemini-3-pro-image"
        price = { unit = "image", usd = "0.05" }
        source = "a test"
        checked = 2026-11-21
        """
    )
    return load(overlay)


def test_a_named_model_keeps_the_order_of_its_rows_unless_cost_is_preferred(
    tmp_path: Path,
) -> None:
    catalogue, both = two_doors(tmp_path), frozenset({"google", "mirror"})

    def order(**fields: object) -> list[str]:
        plan = routing.plan(asked("nano-banana-pro", **fields), catalogue, both, TODAY)
        return [route.provider for route in plan.routes]

    assert order() == ["google", "mirror"]
    assert order(prefer="cost") == ["mirror", "google"]
    assert order(providers=("mirror",)) == ["mirror"]
    assert order(fallback=False) == ["google"]


def test_auto_takes_the_cheapest_live_model_that_can() -> None:
    plan = routing.plan(asked("auto", resolution="4K"), CATALOGUE, OPEN, TODAY)
    assert plan.routes[0].model == "gemini-nano-banana-2.1"
    assert all("4K" in CATALOGUE.models[r.model].resolutions for r in plan.routes)
    reasons = {e.model: e.reason for e in plan.excluded}
    assert "retired" in reasons["imagen-4.0-generate-001"]
    assert "resolution" in reasons["gemini-2.5-flash-image"]


def test_auto_prefers_the_fastest_when_speed_is_preferred() -> None:
    plan = routing.plan(asked("auto", prefer="speed"), CATALOGUE, OPEN, TODAY)
    seconds = [CATALOGUE.models[r.model].typical_seconds for r in plan.routes]
    assert seconds == sorted(seconds)


def test_every_route_left_out_has_a_reason() -> None:
    plan = routing.plan(asked("auto"), CATALOGUE, OPEN, TODAY)
    every = {(r.model, r.provider) for m in CATALOGUE.models.values() for r in m.routes}
    used = {(r.model, r.provider) for r in plan.routes}
    assert used | {(e.model, e.provider) for e in plan.excluded} == every


@pytest.mark.parametrize(
    ("request_", "param", "names"),
    [
        (asked(n=99), "n", "8"),
        (asked(aspect_ratio="1:8"), "aspect_ratio", "gemini-nano-banana-2.1"),
        (asked("nano-banana", resolution="4K"), "resolution", "gemini-3-pro-image"),
        (asked(quality="high"), "quality", "quality"),
        (asked(background="transparent"), "background", "background"),
        (asked(options={"sparkle": 1}), "options.sparkle", "temperature"),
        (asked(options={"temperature": "hot"}), "options.temperature", "number"),
        (asked(options={"temperature": True}), "options.temperature", "number"),
        (asked(options={"safety_settings": [{}]}), "options.safety_settings", "category"),
        (asked(refs=(ImageRef(url="x"),) * 15), "images", "14"),
        (asked(providers=("nobody",)), "route.providers", "google"),
        (asked("auto", n=99), "n", "at most 8"),
        (asked("auto", resolution="16K"), "resolution", "16K"),
        (asked("auto", n=99, resolution="16K"), "n", "at most 8"),
    ],
)
def test_what_a_model_cannot_do_is_named_with_its_limit(
    request_: ImageRequest, param: str, names: str
) -> None:
    with pytest.raises(InvalidRequest, match=names) as refused:
        routing.plan(request_, CATALOGUE, OPEN, TODAY)
    assert refused.value.param == param


def test_a_retired_id_is_gone_and_names_its_successor_but_its_alias_lives_on() -> None:
    with pytest.raises(ModelRetired, match=r"Use gemini-nano-banana-2\.1") as gone:
        routing.plan(asked("imagen-4.0-generate-001"), CATALOGUE, OPEN, TODAY)
    assert gone.value.details == {"successor": "gemini-nano-banana-2.1"}
    plan = routing.plan(asked("imagen-4"), CATALOGUE, OPEN, TODAY)
    assert plan.routes[0].model == "gemini-nano-banana-2.1"


def test_an_unknown_model_is_not_found() -> None:
    with pytest.raises(NotFound, match="no-such-model"):
        routing.plan(asked("no-such-model"), CATALOGUE, OPEN, TODAY)


def test_a_model_whose_providers_have_no_key_says_which_is_missing() -> None:
    with pytest.raises(Misconfigured, match="GEMINI_API_KEY"):
        routing.plan(asked(), CATALOGUE, frozenset(), TODAY)


def test_a_request_becomes_one_call_a_picture_each_with_its_own_seed() -> None:
    model = CATALOGUE.models["gemini-3-pro-image"]
    calls = list(routing.calls(asked(n=3, seed=2**31 - 1), model.routes[0], model))
    assert [(c.n, c.seed, c.resolution) for c in calls] == [
        (1, 2**31 - 1, "1K"),
        (1, 0, "1K"),
        (1, 1, "1K"),
    ]


def test_a_model_with_one_resolution_is_given_no_choice() -> None:
    model = CATALOGUE.models["gemini-2.5-flash-image"]
    request = asked("nano-banana", resolution="1K")
    assert [c.resolution for c in routing.calls(request, model.routes[0], model)] == [None]


def test_a_call_may_ask_for_several_pictures_where_the_route_allows() -> None:
    model = CATALOGUE.models["imagen-4.0-generate-001"]
    route = model.routes[0].model_copy(update={"images_per_call": 4})
    assert [c.n for c in routing.calls(asked(n=6), route, model)] == [4, 2]


@pytest.mark.parametrize(
    ("name", "wanted", "calls"),
    [
        ("gpt-image-2", 2, [(1, 2), (1, 2), (1, 2)]),
        ("gpt-image-2", 0, [(3, 0)]),
        ("imagen-4.0-generate-001", 2, [(3, 0)]),
    ],
)
def test_sketches_are_asked_for_only_where_they_are_streamed_one_picture_a_call(
    name: str, wanted: int, calls: list[tuple[int, int]]
) -> None:
    model = CATALOGUE.models[name]
    request = asked(name, n=3, partial_images=wanted)
    made = list(routing.calls(request, model.routes[0], model))
    assert [(c.n, c.partial_images) for c in made] == calls


def test_auto_falls_back_to_what_costs_about_the_same() -> None:
    everybody = frozenset(CATALOGUE.providers)
    plan = routing.plan(asked("auto"), CATALOGUE, everybody, TODAY)
    costs = [pricing.unit_micros(asked("auto"), r, CATALOGUE) for r in plan.routes]
    assert len(costs) > 1
    assert max(costs) <= routing.DEARER * costs[0]


def test_a_refusal_names_each_door_once_and_the_models_that_could() -> None:
    everybody = frozenset(CATALOGUE.providers)
    with pytest.raises(InvalidRequest) as caught:
        routing.plan(asked("seedream-5-lite", seed=5, resolution="4K"), CATALOGUE, everybody, TODAY)
    message = caught.value.message
    assert "ark: seed: it takes no seed" in message
    assert "threedaistudio: resolution" in message
    assert "gemini-3-pro-image" in message
    with pytest.raises(InvalidRequest) as caught:
        routing.plan(asked("auto", n=100), CATALOGUE, everybody, TODAY)
    assert len(caught.value.message) < 600


def test_a_door_that_is_closed_here_is_no_alarm_for_the_operator() -> None:
    with pytest.raises(InvalidRequest, match="VERTEX_LOCATION is not set") as caught:
        routing.plan(asked(providers=("vertex",)), CATALOGUE, OPEN, TODAY)
    assert caught.value.param == "route.providers"

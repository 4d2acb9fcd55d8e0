"""Google's rows as delivered: what it serves, what it costs, and what has been shut down."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import product

import pytest

from shared.catalogue import Catalogue, load
from shared.catalogue.rows import Lifecycle
from shared.errors import ModelRetired, NotFound

TODAY = date(2026, 11, 21)
CATALOGUE = load()
GOOGLE = {i: model for i, model in CATALOGUE.models.items() if model.routes[0].provider == "google"}
IDS = sorted(GOOGLE)

STATUS: dict[str, Lifecycle] = {
    "gemini-nano-banana-2.1": "live",
    "gemini-3-pro-image": "live",
    "gemini-3.1-flash-lite-image": "live",
    # Another provider still serves it.
    "gemini-3.1-flash-image": "live",
    "gemini-3-pro-image-preview": "retired",
    "gemini-3.1-flash-image-preview": "retired",
    "gemini-2.5-flash-image": "deprecated",
    "gemini-2.5-flash-image-preview": "retired",
    "gemini-2.0-flash-preview-image-generation": "retired",
    "gemini-2.0-flash-exp-image-generation": "retired",
    "imagen-4.0-fast-generate-001": "retired",
    "imagen-4.0-generate-001": "retired",
    "imagen-4.0-ultra-generate-001": "retired",
}

HEIRS = {
    "gemini-3.1-flash-image-preview": "gemini-nano-banana-2.1",
    "gemini-3-pro-image-preview": "gemini-3-pro-image",
    "gemini-2.5-flash-image-preview": "gemini-2.5-flash-image",
    "gemini-2.0-flash-preview-image-generation": "gemini-nano-banana-2.1",
    "gemini-2.0-flash-exp-image-generation": "gemini-nano-banana-2.1",
    "imagen-4.0-fast-generate-001": "gemini-nano-banana-2.1",
    "imagen-4.0-generate-001": "gemini-nano-banana-2.1",
    "imagen-4.0-ultra-generate-001": "gemini-3-pro-image",
}

ALIASES = {
    "nano-banana": "gemini-2.5-flash-image",
    "nano-banana-2": "gemini-nano-banana-2.1",
    "nano-banana-2.1": "gemini-nano-banana-2.1",
    "nano-banana-2-lite": "gemini-3.1-flash-lite-image",
    "nano-banana-pro": "gemini-3-pro-image",
    "nano-banana-pro-preview": "gemini-3-pro-image",
    "imagen-4-fast": "gemini-nano-banana-2.1",
    "imagen-4": "gemini-nano-banana-2.1",
    "imagen-4-ultra": "gemini-3-pro-image",
}


def usd(count: int, model: str, resolution: str = "1K", *, batch: bool = False) -> float:
    """What `count` pictures cost, in dollars."""
    route = CATALOGUE.models[model].routes[0]
    price = route.batch_price if batch else route.price
    assert price is not None
    micros = price.at((resolution,))
    assert micros is not None
    return count * micros / 1_000_000


def test_every_model_has_its_status_today() -> None:
    assert {i: CATALOGUE.models[i].lifecycle(TODAY) for i in IDS} == STATUS


def test_a_route_is_retired_from_its_shutdown_day_and_not_before() -> None:
    for model in CATALOGUE.models.values():
        for route in model.routes:
            if route.shutdown:
                assert route.live(route.shutdown - timedelta(days=1))
                assert not route.live(route.shutdown)


@pytest.mark.parametrize("model", IDS)
def test_every_route_says_where_its_facts_come_from_and_when_they_were_checked(model: str) -> None:
    assert "ai.google.dev" in CATALOGUE.models[model].routes[0].source
    for route in CATALOGUE.models[model].routes:
        assert len(route.source) > 20
        assert date(2026, 10, 1) <= route.checked <= TODAY


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_an_alias_follows_its_line_to_the_first_live_model(alias: str) -> None:
    assert CATALOGUE.resolve(alias, TODAY).id == ALIASES[alias]


def test_every_alias_is_pinned_by_this_test() -> None:
    assert {a for a, model in CATALOGUE.aliases.items() if model in GOOGLE} == set(ALIASES)


@pytest.mark.parametrize("model", sorted(HEIRS))
def test_a_retired_id_is_refused_and_names_its_successor(model: str) -> None:
    with pytest.raises(ModelRetired) as caught:
        CATALOGUE.resolve(model, TODAY)
    assert caught.value.status == 410
    assert caught.value.details == {"successor": HEIRS[model]}
    assert HEIRS[model] in caught.value.message


def test_a_line_moves_on_when_its_model_is_shut_down() -> None:
    assert CATALOGUE.resolve("nano-banana", date(2027, 3, 14)).id == "gemini-2.5-flash-image"
    assert CATALOGUE.resolve("nano-banana", date(2027, 3, 15)).id == "gemini-nano-banana-2.1"
    assert CATALOGUE.resolve("imagen-4", date(2026, 8, 16)).id == "imagen-4.0-generate-001"


def test_every_retired_model_has_a_live_successor() -> None:
    retired = {i for i, status in STATUS.items() if status == "retired"}
    assert retired == set(HEIRS)


def test_an_unknown_name_is_not_found() -> None:
    with pytest.raises(NotFound, match="nano-banana-9"):
        CATALOGUE.resolve("nano-banana-9", TODAY)


def test_a_line_that_ends_or_runs_in_a_circle_has_no_heir() -> None:
    day = {"shutdown": date(2020, 1, 1)}
    pro = CATALOGUE.models["gemini-3-pro-image"]
    gone = tuple(route.model_copy(update=day) for route in pro.routes)
    first = pro.model_copy(update={"id": "first", "successor": "second", "routes": gone})
    second = pro.model_copy(update={"id": "second", "successor": "first", "routes": gone})
    circle = Catalogue({"first": first, "second": second}, {}, {"line": "first"})
    for name in ("first", "line"):
        with pytest.raises(ModelRetired) as caught:
            circle.resolve(name, TODAY)
        assert caught.value.details == {"successor": None}


@pytest.mark.parametrize("model", IDS)
def test_pixel_tables_hold_exactly_what_the_model_offers(model: str) -> None:
    row = CATALOGUE.models[model]
    assert set(row.sizes) == set(row.aspect_ratios)
    assert all(set(sizes) == set(row.resolutions) for sizes in row.sizes.values())


@pytest.mark.parametrize("model", IDS)
def test_pixels_have_the_ratio_they_are_named_after(model: str) -> None:
    row = CATALOGUE.models[model]
    # Imagen's portrait and landscape sizes are Google's own and that far off.
    tolerance = 0.08 if row.family == "imagen-4" else 0.03
    for ratio, resolution in product(row.aspect_ratios, row.resolutions):
        across, down = (int(side) for side in ratio.split(":"))
        width, height = row.sizes[ratio][resolution]
        assert width / height == pytest.approx(across / down, rel=tolerance), (ratio, resolution)


@pytest.mark.parametrize("model", IDS)
def test_a_turned_ratio_has_turned_pixels(model: str) -> None:
    row = CATALOGUE.models[model]
    for ratio in row.aspect_ratios:
        turned = ":".join(reversed(ratio.split(":")))
        for resolution, (width, height) in row.sizes[ratio].items():
            if turned in row.sizes:
                assert row.sizes[turned][resolution] == (height, width)


@pytest.mark.parametrize(
    "model", [i for i in IDS if CATALOGUE.models[i].family == "gemini-3-image"]
)
def test_each_resolution_doubles_the_one_below(model: str) -> None:
    row = CATALOGUE.models[model]
    for sizes in row.sizes.values():
        width, height = sizes["1K"]
        assert sizes.get("2K", (2 * width, 2 * height)) == (2 * width, 2 * height)
        assert sizes.get("4K", (4 * width, 4 * height)) == (4 * width, 4 * height)


def test_the_wide_and_tall_ratios_belong_to_the_flash_line_of_gemini_3() -> None:
    extended = {i for i in IDS if "8:1" in CATALOGUE.models[i].aspect_ratios}
    assert extended == {i for i in IDS if "3.1-flash" in i or "nano-banana-2.1" in i}
    assert all(len(CATALOGUE.models[i].aspect_ratios) == 14 for i in extended)


@pytest.mark.parametrize(
    ("count", "model", "resolution", "dollars"),
    [
        (1_000, "gemini-2.5-flash-image", "1K", 39),
        (1_000, "gemini-3.1-flash-image-preview", "512", 45),
        (1_000, "gemini-3.1-flash-image-preview", "1K", 67),
        (1_000, "gemini-3.1-flash-image-preview", "4K", 151),
        (1_000, "gemini-3-pro-image-preview", "1K", 134),
        (1_000, "gemini-3-pro-image-preview", "2K", 134),
        (1_000, "gemini-3-pro-image-preview", "4K", 240),
        (1_000, "imagen-4.0-fast-generate-001", "1K", 20),
        (1_000, "imagen-4.0-generate-001", "1K", 40),
        (1_000, "imagen-4.0-ultra-generate-001", "1K", 60),
        (10_000, "imagen-4.0-fast-generate-001", "1K", 200),
        (10_000, "gemini-3-pro-image-preview", "1K", 1_340),
        (100_000, "imagen-4.0-fast-generate-001", "1K", 2_000),
        (100_000, "gemini-2.5-flash-image", "1K", 3_900),
    ],
)
def test_published_monthly_costs_follow_from_the_rows(
    count: int, model: str, resolution: str, dollars: int
) -> None:
    assert usd(count, model, resolution) == dollars


def test_published_batch_costs_follow_from_the_rows() -> None:
    assert usd(1_000, "gemini-2.5-flash-image", batch=True) == 19.5
    assert usd(100_000, "gemini-2.5-flash-image", batch=True) == 1_950
    assert usd(100, "gemini-2.5-flash-image", batch=True) == 1.95


@pytest.mark.parametrize("model", IDS)
def test_a_batch_costs_half_where_there_is_one(model: str) -> None:
    row = CATALOGUE.models[model]
    for route, resolution in product(row.routes[:1], row.resolutions):
        full = route.price.at((resolution,))
        if route.batch_price:
            half = route.batch_price.at((resolution,))
            assert full is not None
            assert half is not None
            assert half * 2 == full


@pytest.mark.parametrize(
    ("model", "usd_per_million"),
    [
        ("gemini-nano-banana-2.1", 30),
        ("gemini-3.1-flash-lite-image", 30),
        ("gemini-3.1-flash-image", 60),
        ("gemini-3-pro-image", 120),
        ("gemini-2.5-flash-image", 30),
    ],
)
def test_prices_are_the_image_tokens_at_the_published_rate(
    model: str, usd_per_million: int
) -> None:
    """Google prints prices rounded, so they may differ by less than one percent."""
    for resolution, tokens in CATALOGUE.models[model].image_tokens.items():
        assert usd(1, model, resolution) * 1_000_000 == pytest.approx(
            tokens * usd_per_million, rel=0.01
        )


def test_every_gemini_resolution_has_its_token_count() -> None:
    for row in GOOGLE.values():
        expected = set() if row.family == "imagen-4" else set(row.resolutions)
        assert set(row.image_tokens) == expected


@pytest.mark.parametrize(
    ("model", "resolutions"),
    [
        ("gemini-nano-banana-2.1", ("1K", "2K", "4K")),
        ("gemini-3-pro-image", ("1K", "2K", "4K")),
        ("gemini-3.1-flash-lite-image", ("1K", "512")),
        ("gemini-3.1-flash-image", ("1K", "512", "2K", "4K")),
        ("gemini-2.5-flash-image", ("1K",)),
        ("imagen-4.0-fast-generate-001", ("1K",)),
        ("imagen-4.0-generate-001", ("1K", "2K")),
    ],
)
def test_resolutions_have_the_default_first(model: str, resolutions: tuple[str, ...]) -> None:
    assert CATALOGUE.models[model].resolutions == resolutions


@pytest.mark.parametrize(
    ("option", "models"),
    [
        ("google_search", ("gemini-nano-banana-2.1", "gemini-3-pro-image")),
        ("image_search", ("gemini-nano-banana-2.1",)),
        ("thinking_level", ("gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image")),
    ],
)
def test_only_some_live_models_have_an_option(option: str, models: tuple[str, ...]) -> None:
    live = [m for m in GOOGLE.values() if m.routes[0].live(TODAY)]
    assert {m.id for m in live if option in m.options} == set(models)


def test_thinking_levels_are_those_of_the_model() -> None:
    values = {i: CATALOGUE.models[i].options["thinking_level"].values for i in IDS if "3.1" in i}
    assert set(values.values()) == {("MINIMAL", "HIGH")}
    newest = CATALOGUE.models["gemini-nano-banana-2.1"]
    assert newest.options["thinking_level"].values == ("MINIMAL", "MEDIUM", "HIGH")


def test_nothing_is_free_today() -> None:
    assert all(r.free_tier is None for m in CATALOGUE.models.values() for r in m.routes)


def test_a_route_is_named_after_its_provider_and_model() -> None:
    assert CATALOGUE.models["gemini-3-pro-image"].routes[0].key == "google:gemini-3-pro-image"

"""Reading the files: what an overlay can do, and that a wrong row is always named."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from shared.catalogue import BadCatalogue, Catalogue, load
from shared.catalogue.rows import Price

pytestmark = pytest.mark.thorough

TODAY = date(2026, 11, 21)
PRO = "gemini-3-pro-image"

PROVIDER = """
[[provider]]
id = "mirror"
name = "A mirror"
base_url = "https://images.example.com/google"
env = "MIRROR"
sandbox = "google"
timeout_s = 60
"""

ROUTE = """
[[model.routes]]
provider = "mirror"
wire = "imagen"
wire_model = "imagen-4-fast"
price = { unit = "image", usd = "0.018" }
source = "images.example.com/prices"
checked = 2026-11-20
"""

NEW_MODEL = """
[family.mirror-image]

[[model]]
id = "mirror-1"
name = "Mirror 1"
aliases = ["mirror"]
family = "mirror-image"
operations = ["generate"]
aspect_ratios = ["1:1"]
resolutions = ["1K"]
sizes = { "1:1" = { 1K = "1024x1024" } }
max_images = 1
max_sources = 0
mask = false
seed = false
multi_turn = false
streaming = false
output_formats = ["png"]
prompt_limit = 1000
typical_seconds = 5
"""


def read(folder: Path, text: str) -> Catalogue:
    overlay = folder / "overlay.toml"
    overlay.write_text(text, "utf-8")
    return load(overlay)


def change(field: str, model: str = PRO) -> str:
    return f'[[model]]\nid = "{model}"\n{field}\n'


def change_route(field: str, model: str = PRO) -> str:
    return change(f'[[model.routes]]\nprovider = "google"\n{field}', model)


def test_an_empty_overlay_changes_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "") == load()


def test_an_overlay_changes_one_price_and_nothing_else(tmp_path: Path) -> None:
    price = 'price = { unit = "image", usd = "0.05" }'
    changed = read(tmp_path, change_route(price)).models[PRO]
    before = load().models[PRO]
    assert changed.routes[0].price == Price(unit="image", usd=50_000)
    assert changed.routes[0].batch_price == before.routes[0].batch_price
    assert changed.model_copy(update={"routes": before.routes}) == before


def test_an_overlay_adds_a_provider_and_a_model(tmp_path: Path) -> None:
    catalogue = read(tmp_path, PROVIDER + NEW_MODEL + ROUTE)
    model = catalogue.resolve("mirror", TODAY)
    assert model.routes[0].key == "mirror:mirror-1"
    assert catalogue.providers["mirror"].env == "MIRROR"
    assert catalogue.models.keys() - {"mirror-1"} == load().models.keys()


def test_a_route_of_another_provider_reopens_a_retired_model(tmp_path: Path) -> None:
    overlay = PROVIDER + change("", "imagen-4.0-fast-generate-001") + ROUTE
    model = read(tmp_path, overlay).resolve("imagen-4-fast", TODAY)
    assert model.id == "imagen-4.0-fast-generate-001"
    assert [(r.provider, r.live(TODAY)) for r in model.routes] == [
        ("google", False),
        ("mirror", True),
    ]
    assert model.lifecycle(TODAY) == "live"


@pytest.mark.parametrize("shutdown", ['""', "2027-01-01"])
def test_a_shutdown_taken_away_or_put_off_reopens_a_model(tmp_path: Path, shutdown: str) -> None:
    overlay = change_route(f"status = 'live'\nshutdown = {shutdown}", "imagen-4.0-generate-001")
    assert read(tmp_path, overlay).resolve("imagen-4", TODAY).id == "imagen-4.0-generate-001"


def test_an_overlay_can_retire_a_model_early(tmp_path: Path) -> None:
    overlay = change_route("shutdown = 2026-11-21", "gpt-image-1-mini").replace("google", "openai")
    assert load().resolve("gpt-image-mini", TODAY).id == "gpt-image-1-mini"
    assert read(tmp_path, overlay).resolve("gpt-image-mini", TODAY).id == "gpt-image-2.5-flare"


def test_an_overlay_adds_and_takes_away_single_options(tmp_path: Path) -> None:
    overlay = change('options = { google_search = "", top_k = { max = 40 } }')
    options, before = read(tmp_path, overlay).models[PRO].options, load().models[PRO].options
    assert before.keys() - options.keys() == {"google_search"}
    assert (options["top_k"].min, options["top_k"].max) == (1, 40)


def test_an_overlay_changes_a_family_for_all_its_models(tmp_path: Path) -> None:
    models, before = read(tmp_path, "[family.imagen-4]\nmax_images = 2").models, load().models
    changed = {i: m for i, m in models.items() if m != before[i]}
    assert {m.family for m in changed.values()} == {"imagen-4"}
    assert {m.max_images for m in models.values() if m.family == "imagen-4"} == {2}


def test_a_model_and_a_provider_may_share_an_id(tmp_path: Path) -> None:
    text = PROVIDER + NEW_MODEL.replace('"mirror-1"', '"google"') + ROUTE
    assert read(tmp_path, text).models["google"].name == "Mirror 1"


MODEL = f"overlay.toml: model {PRO}: "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = ", "overlay.toml: Invalid value"),
        ("[[models]]\nid = 'x'", "overlay.toml: unknown table 'models'"),
        ("model = 3", "overlay.toml: model: write each row as [[model]]"),
        ("model = ['x']", "overlay.toml: model: write each row as [[model]]"),
        ("[model]\nid = 'x'", "overlay.toml: model: write each row as [[model]]"),
        ("provider = 'google'", "overlay.toml: provider: write each row as [[provider]]"),
        ("family = 3", "overlay.toml: family: write it as [family.NAME]"),
        ("[family]\nx = 3", "overlay.toml: family x: write it as [family.x]"),
        ("[family.x]\nspeed = 3", "overlay.toml: family x: speed: not a field of a family"),
        (
            "[family.imagen-4]\noptions = 3",
            "overlay.toml: family imagen-4: options: Input should be a valid dictionary",
        ),
        (
            "[family.imagen-4]\noptions = {style = {max = 3}}",
            "overlay.toml: family imagen-4: options.style.kind: Field required",
        ),
        ("[[model]]\nname = 'x'", "overlay.toml: model number 1: id: it must be a string"),
        ("[[model]]\nid = 3", "overlay.toml: model number 1: id: it must be a string"),
        ("[[provider]]\nid = ''", "overlay.toml: provider number 1: id: it must be a string"),
        (change("") + change(""), MODEL + "it is there twice"),
        (change("routes = 3"), MODEL + "routes: write each one as [[model.routes]]"),
        (change("routes = [3]"), MODEL + "routes: write each one as [[model.routes]]"),
        (change("[[model.routes]]\nwire = 'gemini'"), MODEL + "routes: number 1 names no provider"),
        (change("[[model.routes]]\nprovider = 3"), MODEL + "routes: number 1 names no provider"),
        (
            change("[[model.routes]]\nprovider = 'google'\n" * 2),
            MODEL + "routes: 'google' is there twice",
        ),
        (change("colour = 'red'"), MODEL + "colour: Extra inputs are not permitted"),
        (change("family = 'x'"), MODEL + "family: there is no [family.x]"),
        (change("family = 3"), MODEL + "family: Input should be a valid string"),
        (change("aliases = ['nano-banana']"), "aliases: 'nano-banana' is taken"),
        (change("aliases = ['imagen-4.0-generate-001']"), "'imagen-4.0-generate-001' is taken"),
        (change("aliases = ['auto']"), MODEL + "aliases: 'auto' is taken"),
        (change("aliases = ['a', 'a']"), MODEL + "aliases: 'a' is taken"),
        (change("aliases = ['a/b']"), MODEL + "aliases.0: String should match"),
        (change("successor = 'x'"), MODEL + "successor: no other model 'x'"),
        (change(f"successor = '{PRO}'"), MODEL + f"successor: no other model '{PRO}'"),
        (change("resolutions = ['8K']"), MODEL + "row: sizes has no 1:1 at 8K"),
        (change("aspect_ratios = ['9:21']"), MODEL + "row: sizes has no 9:21 at 1K"),
        (change("aspect_ratios = ['wide']"), MODEL + "aspect_ratios.0: String should match"),
        (change("sizes = {'1:1' = {1K = '1024'}}"), MODEL + "sizes.1:1.1K: a size is width x"),
        (change("sizes = {'1:1' = {1K = [0, 9]}}"), MODEL + "sizes.1:1.1K.0: Input should be gr"),
        (change("max_images = '8'"), MODEL + "max_images: Input should be a valid integer"),
        (change("max_images = true"), MODEL + "max_images: Input should be a valid integer"),
        (change("max_images = 0"), MODEL + "max_images: Input should be greater than"),
        (change("mask = 'yes'"), MODEL + "mask: Input should be a valid boolean"),
        (change("max_sources = 0"), MODEL + "row: a model that can edit takes sources"),
        (change("output_formats = ['gif']"), MODEL + "output_formats.0: Input should be 'png'"),
        (change("output_formats = []"), MODEL + "output_formats: Tuple should have at least 1"),
        (change("options = {x = {kind = 'colour'}}"), MODEL + "options.x.kind: Input should be"),
        (
            change("options = {x = {kind = 'number', max = nan}}"),
            MODEL + "options.x.max: Input sho",
        ),
        (change_route("price = 0.134"), MODEL + "routes.0.price: Input should be a valid dict"),
        (change_route("price = {usd = '1'}"), MODEL + "routes.0.price.unit: Field required"),
        (
            change_route("price = {unit = 'hour', usd = '1'}"),
            MODEL + "routes.0.price.unit: Input should be 'image'",
        ),
        (
            change_route("price = {unit = 'image'}"),
            MODEL + "routes.0.price: a price has either usd or by",
        ),
        (
            change_route("price = {unit = 'image', usd = '1', by = {1K = '1'}}"),
            MODEL + "routes.0.price: a price has either usd or by",
        ),
        (
            change_route("price = {unit = 'image', by = {1K = '1'}}"),
            MODEL + "routes: google: no price for 2K",
        ),
        (
            change_route("batch_price = {unit = 'image', by = {1K = '1', 2K = '1'}}"),
            MODEL + "routes: google: no price for 4K",
        ),
        (
            change_route("price = {unit = 'image', by = {1K='1', 2K='1', 4K='1', 8K='1'}}"),
            MODEL + "routes: google: a price for unknown 8K",
        ),
        (change_route("shutdown = 'soon'"), MODEL + "routes.0.shutdown: Input should be a valid d"),
        (change_route("shutdown = 20271231"), MODEL + "routes.0.shutdown: Input should be a vali"),
        (change_route("shutdown = 2020-01-01"), MODEL + "routes.0: released, deprecated and shut"),
        (change_route("status = 'dead'"), MODEL + "routes.0.status: Input should be 'live'"),
        (change_route("source = ''"), MODEL + "routes.0.source: Field required"),
        (change_route("checked = ''"), MODEL + "routes.0.checked: Field required"),
        (change_route("images_per_call = 0"), MODEL + "routes.0.images_per_call: Input should be"),
        (
            change_route("wire = 'telex'"),
            MODEL + "routes: no adapter 'telex': there are ark, gemini",
        ),
        (change(ROUTE), MODEL + "routes: no provider 'mirror'"),
        (NEW_MODEL, "overlay.toml: model mirror-1: routes: Field required"),
        (
            PROVIDER + NEW_MODEL.replace('"mirror-1"', '"auto"') + ROUTE,
            "overlay.toml: model auto: id: 'auto' stands for any model",
        ),
        (PROVIDER.replace("60", "0"), "overlay.toml: provider mirror: timeout_s: Input should be"),
        (PROVIDER.replace("https:", "ftp:"), "overlay.toml: provider mirror: base_url: String"),
        (PROVIDER.replace("/google", "/"), "overlay.toml: provider mirror: base_url: String"),
        (PROVIDER.replace("MIRROR", "my key"), "overlay.toml: provider mirror: env: String sho"),
        ("[[provider]]\nid = 'google'\nkey = 'x'", "provider google: key: Extra inputs are not"),
    ],
)
def test_a_wrong_row_is_named_with_its_file_and_the_reason(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(BadCatalogue) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    files = ("overlay", "google", "openai", "threedaistudio")
    assert str(caught.value).startswith(tuple(f"{file}.toml: " for file in files))


@pytest.mark.parametrize(
    "price",
    ["0.134", "1", "'0.1234567'", "'-1'", "'free'", "'NaN'", "'Infinity'", "'1e3'", "' 1'", "true"],
)
def test_a_price_is_a_plain_decimal_string(tmp_path: Path, price: str) -> None:
    with pytest.raises(BadCatalogue, match=r"price\.usd: a price is a string with"):
        read(tmp_path, change_route(f"price = {{ unit = 'image', usd = {price} }}"))


def test_an_overlay_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCatalogue, match=r"absent\.toml: .*No such file"):
        load(tmp_path / "absent.toml")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x00", b"<html>"])
def test_an_overlay_that_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    overlay = tmp_path / "overlay.toml"
    overlay.write_bytes(content)
    with pytest.raises(BadCatalogue, match=r"^overlay\.toml: "):
        load(overlay)

"""Where a route leads, and with which key."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from shared.catalogue import Catalogue, load
from shared.domain import Endpoint
from shared.endpoints import Endpoints
from shared.settings import Settings

ROWS = """
[[provider]]
id = "cloudy"
name = "Cloudy"
base_url = "https://cloudy.example"
regional_base_url = "https://{location}.cloudy.example"
version = "v1/projects/{project}/in/{location}"
auth = "service-account"
env = "CLOUDY"
sandbox = "google"
timeout_s = 60

[[provider]]
id = "keyed"
name = "Keyed"
base_url = "https://keyed.example"
version = "v1"
env = "KEYED"
sandbox = "openai"
timeout_s = 60

[[model]]
id = "gemini-3-pro-image"
[[model.routes]]
provider = "cloudy"
wire = "gemini"
wire_model = "pro"
price = { unit = "image", usd = "0.05" }
source = "a test"
checked = 2026-11-21
[[model.routes]]
provider = "keyed"
wire = "gemini"
version = "v9"
wire_model = "pro"
price = { unit = "image", usd = "0.05" }
source = "a test"
checked = 2026-11-21
"""


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    overlay = tmp_path_factory.mktemp("overlay") / "overlay.toml"
    overlay.write_text(ROWS)
    return load(overlay)


async def token() -> str:
    return "fresh"


def endpoints(catalogue: Catalogue, **env: str) -> Endpoints:
    settings = Settings.from_env({"DARKROOM_SIGNING_SECRET": "x", **env})
    return Endpoints(catalogue, settings, token)


def of(catalogue: Catalogue, provider: str, test: bool = False, **env: str) -> Endpoint:
    route = catalogue.route(f"{provider}:gemini-3-pro-image")
    return asyncio.run(endpoints(catalogue, **env).of(route, test=test))


def test_a_provider_is_open_once_its_key_is_set(catalogue: Catalogue) -> None:
    assert endpoints(catalogue).open_to(test=False) == frozenset()
    assert endpoints(catalogue, KEYED_API_KEY="k").open_to(test=False) == {"keyed"}
    assert endpoints(catalogue, KEYED_BASE_URL="http://x").open_to(test=False) == frozenset()
    assert endpoints(catalogue).open_to(test=True) == set(catalogue.providers)


def test_a_service_account_needs_a_place_and_a_project_instead(catalogue: Catalogue) -> None:
    place, project = {"CLOUDY_LOCATION": "global"}, {"GOOGLE_CLOUD_PROJECT": "p"}
    assert endpoints(catalogue, **place).open_to(test=False) == frozenset()
    assert endpoints(catalogue, **project).open_to(test=False) == frozenset()
    assert endpoints(catalogue, **place, **project).open_to(test=False) == {"cloudy"}


def test_its_token_stands_where_a_key_would(catalogue: Catalogue) -> None:
    env = {"GOOGLE_CLOUD_PROJECT": "p", "CLOUDY_LOCATION": "global"}
    found = of(catalogue, "cloudy", False, **env)
    assert found.address("x") == "https://cloudy.example/v1/projects/p/in/global/x"
    assert found.headers == {"authorization": "Bearer fresh"}
    there = of(catalogue, "cloudy", False, **{**env, "CLOUDY_LOCATION": "europe-west4"})
    expected = "https://europe-west4.cloudy.example/v1/projects/p/in/europe-west4/x"
    assert there.address("x") == expected


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:9/x", "http://127.0.0.1:9/x/v9/", "http://127.0.0.1:9/x/v1"]
)
def test_an_address_may_end_with_the_version_or_not(catalogue: Catalogue, base_url: str) -> None:
    found = of(catalogue, "keyed", KEYED_API_KEY="k", KEYED_BASE_URL=base_url)
    assert found.address("draw") == "http://127.0.0.1:9/x/v9/draw"
    assert found.headers == {"authorization": "Bearer k"}


def test_a_test_key_leads_to_the_sandbox_with_a_key_of_its_own(catalogue: Catalogue) -> None:
    found = of(catalogue, "keyed", True, KEYED_API_KEY="k", KEYED_BASE_URL="http://x")
    assert (found.base_url, found.key) == ("http://sandbox/openai", "sandbox")


def test_nothing_shown_of_an_endpoint_has_its_key(catalogue: Catalogue) -> None:
    assert "secret" not in repr(of(catalogue, "keyed", KEYED_API_KEY="secret"))


def test_every_row_of_ours_has_an_address(tmp_path: Path) -> None:
    catalogue = load()
    for model in catalogue.models.values():
        for route in model.routes:
            found = asyncio.run(endpoints(catalogue).of(route, test=True))
            assert "{" not in found.address("x")

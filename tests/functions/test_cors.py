"""What a browser asks before, and reads after, a page of another origin calls a function: on the
local server, and for each function under the Functions Framework."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from functions_framework import aio

import main
from functions import http
from tests.darkroom import TEST_KEY, Darkroom, play

PAGE = "https://app.example"
CONFIGURED = {"DARKROOM_CORS_ORIGINS": f"{PAGE},http://localhost:3000"}
ASKED = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,idempotency-key",
}


def allowed(answer: httpx.Response) -> str | None:
    """The origin whose pages may read it."""
    origin: str | None = answer.headers.get("access-control-allow-origin")
    return origin


def deployed(name: str) -> httpx.AsyncClient:
    """A client of one function as the framework serves it."""
    app = aio.create_asgi_app(name, "main.py")
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://darkroom.test")


def assert_granted(answer: httpx.Response) -> None:
    """A preflight that lets the page go on, and asks for no key nor cookie."""
    assert answer.status_code == 200, answer.text
    assert allowed(answer) == PAGE
    assert answer.headers["access-control-allow-methods"] == "GET, POST, PUT, DELETE"
    assert answer.headers["access-control-allow-headers"] == ASKED["access-control-request-headers"]
    assert answer.headers["access-control-max-age"] == "600"
    assert "access-control-allow-credentials" not in answer.headers


def test_every_function_grants_a_preflight_without_a_key(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        for name in main.FUNCTIONS:
            assert_granted(await darkroom.client.options(f"/{name}", headers=ASKED))
            async with deployed(name) as function:
                for path in ("/", f"/{name}", f"/{name}/of/any/path"):
                    assert_granted(await function.options(path, headers=ASKED))

    play(tmp_path, story, env=CONFIGURED)


def test_answers_and_errors_may_be_read(tmp_path: Path) -> None:
    key = {"authorization": f"Bearer {TEST_KEY}", "origin": PAGE}
    blocked = {"model": "nano-banana", "prompt": "a cup [sandbox:blocked]"}

    async def story(darkroom: Darkroom) -> None:
        send = darkroom.client.request
        for status, answer in (
            (200, await send("GET", "/account", headers=key)),
            (401, await send("GET", "/account", headers={"origin": PAGE})),
            (404, await send("GET", "/account/requests/req_none", headers=key)),
            (404, await send("GET", "/account/no/such/path", headers=key)),
            (405, await send("DELETE", "/models", headers=key)),
            (422, await send("POST", "/generate", headers=key, json=blocked)),
        ):
            assert (answer.status_code, allowed(answer)) == (status, PAGE), answer.text
            assert answer.headers["vary"] == "Origin"
            exposed = answer.headers["access-control-expose-headers"].split(", ")
            assert {"x-request-id", "retry-after", "location", "idempotent-replayed"} < {*exposed}

    play(tmp_path, story, env=CONFIGURED)


def test_a_page_that_is_not_listed_may_not(tmp_path: Path) -> None:
    stranger = {**ASKED, "origin": "https://app.example.evil.example"}

    async def story(darkroom: Darkroom) -> None:
        preflight = await darkroom.client.options("/generate", headers=stranger)
        assert (preflight.status_code, allowed(preflight)) == (400, None)
        answer = await darkroom.client.get("/models", headers={"origin": stranger["origin"]})
        assert (answer.status_code, allowed(answer)) == (200, None)
        assert answer.headers["vary"] == "Origin"

    play(tmp_path, story, env=CONFIGURED)


def test_a_star_is_every_page(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        preflight = await darkroom.client.options("/generate", headers=ASKED)
        assert (preflight.status_code, allowed(preflight)) == (200, "*")
        answer = await darkroom.client.get("/models", headers={"origin": "https://any.example"})
        assert allowed(answer) == "*"

    play(tmp_path, story, env={"DARKROOM_CORS_ORIGINS": "*"})


def test_with_no_origins_there_is_no_cors(tmp_path: Path) -> None:
    """Played after a Darkroom that had some, on the same routes."""

    async def configured(darkroom: Darkroom) -> None:
        assert allowed(await darkroom.client.get("/models", headers={"origin": PAGE})) == PAGE

    async def story(darkroom: Darkroom) -> None:
        preflight = await darkroom.client.options("/generate", headers=ASKED)
        assert preflight.status_code == 405
        assert preflight.json()["error"]["code"] == "invalid_request"
        answer = await darkroom.client.get("/models", headers={"origin": PAGE})
        assert answer.status_code == 200
        for headers in (preflight.headers, answer.headers):
            assert not [name for name in headers if name.startswith("access-control-")]

    play(tmp_path / "first", configured, env=CONFIGURED)
    play(tmp_path / "second", story)


def test_settings_that_cannot_be_read_are_still_answered_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the cloud nothing reads them before the first request."""

    async def story(_: Darkroom) -> None:
        monkeypatch.setattr(http, "_APPS", [])
        monkeypatch.setenv("DARKROOM_CORS_ORIGINS", "app.example")
        async with deployed("models") as function:
            answer = await function.get("/", headers={"origin": PAGE})
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "internal"

    play(tmp_path, story)

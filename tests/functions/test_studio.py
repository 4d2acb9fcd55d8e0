"""The studio's files as they are served; what they do is in tests/browser."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import httpx
import pytest

from functions import studio
from tests.darkroom import Darkroom, play

FILES = {path.name for path in Path("functions/studio").iterdir()}


def asked(tmp_path: Path, *paths: str, **headers: str) -> list[httpx.Response]:
    """What the function answers to each."""
    answers: list[httpx.Response] = []

    async def story(darkroom: Darkroom) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answers.extend([await darkroom.client.get(path, headers=named) for path in paths])

    play(tmp_path, story)
    return answers


def test_the_page_is_served_to_anybody(tmp_path: Path) -> None:
    for answer in asked(tmp_path, "/studio", "/studio/"):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert '<base href="/studio/"' in answer.text


def test_it_may_run_its_own_files_only(tmp_path: Path) -> None:
    (answer,) = asked(tmp_path, "/studio")
    said = answer.headers["content-security-policy"].split("; ")
    policy = {name: sources for name, _, sources in (one.partition(" ") for one in said)}
    assert policy["default-src"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self' http://darkroom.test"
    assert policy["require-trusted-types-for"] == "'script'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("name", sorted(FILES - {"index.html"}))
def test_each_of_its_files_is_served(tmp_path: Path, name: str) -> None:
    kind = {"css": "text/css", "js": "text/javascript"}[name.rpartition(".")[2]]
    (answer,) = asked(tmp_path, f"/studio/{name}")
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert answer.content == Path("functions/studio", name).read_bytes()


def test_what_it_loads_is_there() -> None:
    for name in FILES:
        text = Path("functions/studio", name).read_text()
        wanted = re.findall(
            r"""(?:from|import\() ?"\./([\w.]+)\"|(?:src|href)="(\w+\.\w+)\"""", text
        )
        assert {"".join(one) for one in wanted} <= FILES, name


def test_nothing_else_is_served(tmp_path: Path) -> None:
    # The page has no second address, at which it would go without what guards it.
    paths = (
        "/studio/index.html",
        "/studio/nothing.js",
        "/studio/..%2Fstudio.py",
        "/studio/../studio.py",
        "/studio/a/b",
    )
    for answer in asked(tmp_path, *paths):
        assert answer.status_code == 404


def test_a_browser_that_has_it_is_told_so(tmp_path: Path) -> None:
    (first,) = asked(tmp_path, "/studio/api.js")
    (again,) = asked(tmp_path / "b", "/studio/api.js", if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("sent", ["{0}", 'W/"a", {0}', '"a",{0}', "{1}", "*"])
def test_one_of_several_tags_is_enough(tmp_path: Path, sent: str) -> None:
    tag = studio._files()["api.js"].etag
    sent = sent.format(tag, tag.removeprefix("W/"))
    (answer,) = asked(tmp_path, "/studio/api.js", if_none_match=sent)
    assert answer.status_code == 304


@pytest.mark.parametrize(
    ("sent", "packed"),
    [("br, GZIP;q=0.5", True), ("gzip;q=0", False), ("gzip; q=0.0, br", False), ("x-gzip", False)],
)
def test_what_is_refused_is_not_sent(tmp_path: Path, sent: str, packed: bool) -> None:
    (answer,) = asked(tmp_path, "/studio/api.js", accept_encoding=sent)
    assert ("content-encoding" in answer.headers) == packed


def test_the_policy_names_the_public_url_without_its_path() -> None:
    policy = studio._guards("https://a.example:8443/below")["content-security-policy"]
    assert "script-src 'self' https://a.example:8443; " in policy


def test_where_the_platform_takes_the_name_off_the_path(tmp_path: Path) -> None:
    async def story(_: Darkroom) -> None:
        transport = httpx.ASGITransport(studio.APP)
        async with httpx.AsyncClient(transport=transport, base_url="http://a.test") as client:
            for path in ("/", "/studio", "/api.js", "/studio/api.js"):
                answer = await client.get(path)
                assert answer.status_code == 200
                below = '<base href="http://darkroom.test/studio/"' in answer.text
                assert below == (path == "/")

    play(tmp_path, story)


def test_it_is_packed_for_who_unpacks(tmp_path: Path) -> None:
    packed, plain = (
        asked(tmp_path / how, "/studio/studio.css", accept_encoding=how)[0]
        for how in ("gzip", "identity")
    )
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(gzip.compress(plain.content)) + 100


def test_one_module_talks_to_the_server_and_knows_the_key() -> None:
    for name in FILES - {"api.js"}:
        text = Path("functions/studio", name).read_text()
        assert not re.search(r"\bfetch\(|XMLHttpRequest|sendBeacon|WebSocket|EventSource", text), (
            name
        )
        assert "darkroom-key" not in text, name


def test_nothing_is_kept_longer_than_the_tab() -> None:
    for name in FILES:
        text = Path("functions/studio", name).read_text()
        assert not re.search(
            r"localStorage|indexedDB|document\.cookie|innerHTML|outerHTML", text
        ), name

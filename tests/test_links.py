"""A link opens what it was made for, until it ends, and nothing else."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import Forbidden
from shared.links import IMAGE_LIFE, Links

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
LINKS = Links("https://pictures.example", b"secret")
PATH = "/account/images/img_a_0"


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def test_a_link_opens_its_picture_until_it_ends() -> None:
    url, expires_at = LINKS.image("img_a_0", NOW)
    assert url.startswith("https://pictures.example/account/images/img_a_0?")
    assert expires_at == NOW + IMAGE_LIFE
    LINKS.check("GET", PATH, query_of(url), NOW + IMAGE_LIFE - timedelta(seconds=1))
    with pytest.raises(Forbidden, match="expired"):
        LINKS.check("GET", PATH, query_of(url), NOW + IMAGE_LIFE)


@pytest.mark.parametrize(
    ("method", "path", "change"),
    [
        ("PUT", PATH, {}),
        ("GET", "/account/images/img_b_0", {}),
        ("GET", PATH, {"expires": "99999999999"}),
        ("GET", PATH, {"expires": ""}),
        ("GET", PATH, {"signature": "x"}),
        ("GET", PATH, {"signature": "ä"}),
        ("GET", PATH, {"extra": "1"}),
    ],
)
def test_a_link_cannot_be_turned_to_anything_else(
    method: str, path: str, change: dict[str, str]
) -> None:
    url, _ = LINKS.image("img_a_0", NOW)
    with pytest.raises(Forbidden):
        LINKS.check(method, path, {**query_of(url), **change}, NOW)


def test_another_secret_signs_another_link() -> None:
    url, _ = Links("https://pictures.example", b"other").image("img_a_0", NOW)
    with pytest.raises(Forbidden):
        LINKS.check("GET", PATH, query_of(url), NOW)


def test_the_claims_of_an_upload_cannot_be_changed() -> None:
    url, _ = LINKS.upload("/account/uploads/upl_a", {"bytes": "10"}, NOW)
    LINKS.check("PUT", "/account/uploads/upl_a", query_of(url), NOW)
    with pytest.raises(Forbidden):
        LINKS.check("PUT", "/account/uploads/upl_a", {**query_of(url), "bytes": "11"}, NOW)


@given(st.text(st.characters(codec="utf-8")), st.sampled_from(["file", "thought"]))
def test_a_sealed_text_comes_back_and_fits_in_a_url(text: str, purpose: str) -> None:
    token = LINKS.seal(purpose, text)
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert LINKS.unseal(purpose, token) == text


def test_a_token_is_the_text_and_sixteen_bytes() -> None:
    token = LINKS.seal("thought", "wörds")
    assert base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[:-16] == "wörds".encode()


@given(st.text() | st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode()))
@example("")
@example("é")
@example("\ud800")
@example("a")
@example("A" * 22)
@example("gICAgICAgICAgICAgICAgICAgICA")
def test_what_was_not_sealed_here_is_forbidden(token: str) -> None:
    with pytest.raises(Forbidden):
        LINKS.unseal("file", token)


@given(st.integers(0, 40), st.sampled_from("AB+/=-_ \n.é"))
def test_a_sealed_token_changed_anywhere_is_forbidden(place: int, letter: str) -> None:
    token = LINKS.seal("file", "two words")
    for changed in (
        token[:place] + letter + token[place:],
        token[:place] + letter + token[place + 1 :],
    ):
        if changed != token:
            with pytest.raises(Forbidden):
                LINKS.unseal("file", changed)


def test_a_seal_is_for_one_purpose_and_of_one_secret() -> None:
    token = LINKS.seal("file", "words")
    for links, purpose in ((LINKS, "thought"), (Links(LINKS.public_url, b"other"), "file")):
        with pytest.raises(Forbidden):
            links.unseal(purpose, token)

"""A link opens what it was made for, until it ends, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest

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

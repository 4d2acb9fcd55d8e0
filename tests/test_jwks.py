"""Tokens and published keys: what is signed by whom, and how often the keys are asked for."""

from __future__ import annotations

import asyncio
import functools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from jwt.algorithms import RSAAlgorithm

from shared.errors import InvalidRequest, ProviderUnavailable, Unauthenticated
from shared.jwks import LIFE, REFRESH, Jwks, is_token

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
URL = "https://provider.example/.well-known/jwks.json"
LATER = NOW + REFRESH


@functools.cache
def private(name: str) -> RSAPrivateKey:
    """A key of that name."""
    return rsa.generate_private_key(65537, 1024 if name == "short" else 2048)


def public(name: str, **changed: str) -> dict[str, Any]:
    """Its public half as it is published."""
    published = RSAAlgorithm.to_jwk(private(name).public_key(), as_dict=True)
    return {**published, "kid": name, "alg": "RS256", "use": "sig", **changed}


def token(name: str = "a", at: datetime | None = NOW, **claims: Any) -> str:
    """A token signed with that key."""
    if at is not None:
        claims["iat"] = int(at.timestamp())
    return jwt.encode(claims, private(name), "RS256", {"kid": name})


class Published:
    """Keys at an address; `asked` counts who came for them."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.answer: bytes | Exception = json.dumps({"keys": keys}).encode()
        self.asked = 0

    def change(self, *keys: dict[str, Any]) -> None:
        self.answer = json.dumps({"keys": keys}).encode()

    async def get(self, url: str) -> bytes:
        assert url == URL
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def verify(published: Published, text: str, now: datetime = NOW, jwks: Jwks | None = None) -> None:
    asyncio.run((jwks or Jwks()).verify(text, URL, published.get, now))


def test_a_token_signed_with_a_published_key_is_good() -> None:
    verify(Published(public("b"), public("a")), token("a"))
    verify(Published(public("a")), token("a", at=None, iss="anybody", aud="anything"))


def forged(header: dict[str, Any], key: Any = "", algorithm: str = "none") -> str:
    return jwt.encode({"iat": NOW.timestamp()}, key, algorithm, header)


def no_tokens() -> list[str]:
    """What is signed otherwise, or not at all."""
    head, body, signature = token("a").split(".")
    return [
        "",
        "a.b",
        "a.b.c",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        f"{head}.{token('a', more=1).split('.')[1]}.{signature}",
        forged({"kid": "a"}),
        forged({"kid": "a"}, "the modulus of the key, as if that were a secret", "HS256"),
        forged({"kid": "a"}, private("a"), "RS512"),
        forged({"kid": "a"}, private("a"), "PS256"),
        forged({}, private("a"), "RS256"),
        forged({"kid": "b"}, private("b"), "RS256"),
        forged({"kid": "a"}, private("b"), "RS256"),
    ]


def test_anything_else_is_not() -> None:
    jwks, published = Jwks(), Published(public("a"))
    for text in no_tokens():
        with pytest.raises(Unauthenticated):
            verify(published, text, NOW, jwks)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW.timestamp() - 60},
        {"exp": "never"},
        {"iat": NOW.timestamp() + 61},
        {"iat": [1]},
    ],
)
def test_a_token_is_good_in_its_time_only(claims: dict[str, Any]) -> None:
    signed = jwt.encode(claims, private("a"), "RS256", {"kid": "a"})
    with pytest.raises(Unauthenticated):
        verify(Published(public("a")), signed)


def test_clocks_may_differ_a_little() -> None:
    at = NOW.timestamp()
    verify(Published(public("a")), token("a", at=None, exp=at - 59, iat=at + 60))


@pytest.mark.parametrize(
    "key",
    [
        public("a", kty="EC"),
        public("a", alg="RS512"),
        public("a", use="enc"),
        public("a", kid=""),
        public("a", n=""),
        public("a", n="?"),
        {"kid": "a"},
        public("short", kid="a"),
    ],
)
def test_a_key_made_for_something_else_is_not_used(key: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated, match="not known"):
        verify(Published(key), token("a"))


def test_keys_are_asked_for_once_however_many_come() -> None:
    published, jwks = Published(public("a")), Jwks()

    async def together() -> None:
        await asyncio.gather(*(jwks.verify(token("a"), URL, published.get, NOW) for _ in range(5)))

    asyncio.run(together())
    verify(published, token("a"), NOW + timedelta(hours=1), jwks)
    assert published.asked == 1


def test_a_new_key_is_found_and_strangers_ask_twice_a_minute_at_most() -> None:
    published, jwks = Published(public("a")), Jwks()
    verify(published, token("a"), NOW, jwks)
    published.change(public("b"))
    for _ in range(3):
        with pytest.raises(Unauthenticated, match="not known"):
            verify(published, token("b"), LATER - timedelta(seconds=1), jwks)
    assert published.asked == 1
    verify(published, token("b"), LATER, jwks)
    assert published.asked == 2


def test_a_key_that_is_taken_back_ends_some_time() -> None:
    published, jwks = Published(public("a")), Jwks()
    verify(published, token("a"), NOW, jwks)
    published.change(public("b"))
    with pytest.raises(Unauthenticated, match="not known"):
        verify(published, token("a", at=NOW + LIFE), NOW + LIFE, jwks)


@pytest.mark.parametrize("answer", [InvalidRequest("unreachable"), b"<html>", b'{"keys": 1}'])
def test_where_there_are_no_keys_the_sender_is_to_try_again(answer: bytes | Exception) -> None:
    published, jwks = Published(), Jwks()
    published.answer = answer
    with pytest.raises(ProviderUnavailable):
        verify(published, token("a"), NOW, jwks)
    published.change(public("a"))
    verify(published, token("a"), LATER, jwks)


def test_a_token_has_three_parts() -> None:
    assert is_token(token("a"))
    assert not any(map(is_token, ["v1,a.b.c", "a.b", "a.b.c.d", "a..c", "a.b.c\n", ""]))

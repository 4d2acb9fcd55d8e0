"""Tokens signed with RS256 (RFC 7519) by somebody whose public keys are published as a JSON Web Key
Set (RFC 7517).

Of a token's claims only `exp` and `iat` are looked at, where it has them: what else those say who
sign webhooks is not documented (ai.google.dev "Webhooks", 2026-10), so neither `iss` nor `aud` is
enforced, and a token is not seen to belong to the body it comes with. It says who sent something,
no more. PyJWT (2.15) is imported at the first token: it takes a tenth of a second.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from shared import log
from shared.errors import InvalidRequest, PayloadTooLarge, ProviderUnavailable, Unauthenticated

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

Get = Callable[[str], Awaitable[bytes]]
"""The bytes at an address. Raises InvalidRequest, PayloadTooLarge."""

REFRESH = timedelta(seconds=30)
"""How soon the keys are asked for again because of one that is not among them."""
LIFE = timedelta(hours=6)
"""How long they are used unasked, so that one taken back ends some time."""
LEEWAY_S = 60
_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_LEAST_BITS = 2048


class _Header(BaseModel):
    kid: str


class _Claims(BaseModel):
    model_config = ConfigDict(strict=True)

    exp: float | None = None
    iat: float | None = None


class _Key(BaseModel):
    kty: str = ""
    kid: str = ""
    alg: str = "RS256"
    use: str = "sig"
    n: str = ""
    e: str = ""


class _Set(BaseModel):
    keys: list[_Key]


@dataclass
class _Keys:
    """The keys of one address by their ids, and when they were last asked for."""

    by_id: Mapping[str, RSAPublicKey] = field(default_factory=dict)
    asked_at: datetime | None = None
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


def is_token(text: str) -> bool:
    """Whether it has the form of a signed token: three parts in base64url."""
    return bool(_TOKEN.fullmatch(text))


class Jwks:
    """Key sets by address, kept from one token to the next. For one event loop."""

    def __init__(self) -> None:
        self._sets: dict[str, _Keys] = {}

    async def verify(self, token: str, url: str, get: Get, now: datetime) -> None:
        """Raise Unauthenticated unless the token is signed with a key found at that address and is
        good now; ProviderUnavailable when the keys cannot be had."""
        import jwt

        try:
            header = _Header.model_validate(jwt.get_unverified_header(token))
        except (jwt.PyJWTError, ValidationError) as error:
            raise Unauthenticated("The webhook's token does not name its key.") from error
        key = await self._key(header.kid, url, get, now)
        try:
            body = jwt.PyJWS().decode(token, key, algorithms=["RS256"])
            claims = _Claims.model_validate_json(body)
        except (jwt.PyJWTError, ValidationError) as error:
            raise Unauthenticated("The webhook's token does not fit.") from error
        if claims.exp is not None and claims.exp <= now.timestamp() - LEEWAY_S:
            raise Unauthenticated("The webhook's token has expired.")
        if claims.iat is not None and claims.iat > now.timestamp() + LEEWAY_S:
            raise Unauthenticated("The webhook's token comes from the future.")

    async def _key(self, kid: str, url: str, get: Get, now: datetime) -> RSAPublicKey:
        keys = self._sets.setdefault(url, _Keys())
        async with keys.asking:
            wait = LIFE if kid in keys.by_id else REFRESH
            if keys.asked_at is None or now >= keys.asked_at + wait:
                keys.asked_at = now
                keys.by_id = await _fetched(url, get)
        if kid not in keys.by_id:
            raise Unauthenticated("The webhook's token is signed with a key that is not known.")
        return keys.by_id[kid]


async def _fetched(url: str, get: Get) -> dict[str, RSAPublicKey]:
    """The keys at an address that can be used. Raises ProviderUnavailable."""
    try:
        listed = _Set.model_validate_json(await get(url)).keys
    except (InvalidRequest, PayloadTooLarge, ValidationError) as error:
        raise ProviderUnavailable(
            "The keys that webhooks are signed with cannot be had.", private=f"{url}: {error}"
        ) from error
    found = {key.kid: _public(key) for key in listed if key.kid}
    log.event("jwks.fetched", url=url, keys=len(found))
    return {kid: key for kid, key in found.items() if key is not None}


def _public(key: _Key) -> RSAPublicKey | None:
    """A key as it is used; None for one that is not made for RS256, or too short."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from jwt.algorithms import RSAAlgorithm
    from jwt.exceptions import InvalidKeyError

    if (key.kty, key.alg, key.use) != ("RSA", "RS256", "sig"):
        return None
    try:
        made = RSAAlgorithm.from_jwk({"kty": "RSA", "n": key.n, "e": key.e})
    except (InvalidKeyError, ValueError):
        return None
    if not isinstance(made, RSAPublicKey) or made.key_size < _LEAST_BITS:
        return None
    return made

"""API key → caller. Only a key's SHA-256 is ever stored: the key has 200 random bits, so a plain
hash cannot be turned back, and the look-up by hash compares nothing secret."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable

from shared.domain import ApiKey, Caller
from shared.errors import Unauthenticated
from shared.records import Records

_KNOWN_FOR_S = 15.0
_UNKNOWN_FOR_S = 5.0
_REMEMBERED = 10_000
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def new_key(*, test: bool) -> str:
    """A fresh key: "dk_live_…" or "dk_test_…"."""
    return f"dk_{'test' if test else 'live'}_" + "".join(
        secrets.choice(_LETTERS) for _ in range(40)
    )


def key_hash(key: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


class Accounts:
    """Looks keys up, and remembers the answer briefly: a revoked key is refused everywhere after
    fifteen seconds at the latest."""

    def __init__(self, records: Records, monotonic: Callable[[], float]) -> None:
        self._records = records
        self._monotonic = monotonic
        self._remembered: OrderedDict[str, tuple[float, ApiKey | None]] = OrderedDict()

    async def authenticate(self, key: str | None) -> Caller:
        """Raises Unauthenticated for a key that is missing, unknown or revoked."""
        if not key:
            raise Unauthenticated("Send your API key as Authorization: Bearer dk_….")
        found = await self._find(key_hash(key))
        if found is None or found.revoked_at is not None:
            raise Unauthenticated("This API key is unknown or has been revoked.")
        return Caller(found.account_id, found.id, found.test)

    async def _find(self, hashed: str) -> ApiKey | None:
        until, found = self._remembered.get(hashed, (0.0, None))
        if until > self._monotonic():
            return found
        found = await self._records.key(hashed)
        life = _KNOWN_FOR_S if found else _UNKNOWN_FOR_S
        self._remembered[hashed] = (self._monotonic() + life, found)
        self._remembered.move_to_end(hashed)
        while len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)
        return found

"""Access tokens of the service account this runs as, for Cloud Storage and for providers that take
those instead of keys.

google-auth (2.62) finds the account as on every Google Cloud product: from the metadata server
there, from Application Default Credentials elsewhere. It is imported at the first token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from shared.errors import Misconfigured

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
EARLY = timedelta(minutes=3, seconds=45)
"""How long before its end a token is replaced: the metadata server hands out the same one until
four minutes before (google-auth's own threshold)."""


@dataclass(frozen=True)
class Token:
    """A bearer token and when it ends, in UTC."""

    value: str = field(repr=False)
    expires_at: datetime


class NoToken(Exception):
    """There is none to be had; the message is for the log."""


class ServiceAccount:
    """Its token, kept as long as it is good. However many wait for a new one, it is asked for
    once. `ask` blocks, in a thread, and raises NoToken. For one event loop."""

    def __init__(
        self,
        ask: Callable[[], Token] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ask = ask or _Google()
        self._clock = clock
        self._token: Token | None = None
        self._asking: asyncio.Task[Token] | None = None

    async def token(self) -> str:
        """As `fresh`, for a provider. Raises Misconfigured."""
        try:
            return await self.fresh()
        except NoToken as error:
            raise Misconfigured(
                "This installation cannot show the provider who it is. Choose another provider, "
                "or ask the operator to check the service account.",
                private=str(error),
            ) from error

    async def fresh(self, refused: str | None = None) -> str:
        """A token that is good for some minutes at least, and another than one that was `refused`
        though its time was not over. Raises NoToken."""
        kept = self._token
        if kept and kept.value != refused and self._clock() < kept.expires_at - EARLY:
            return kept.value
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(asyncio.to_thread(self._ask))
        # A caller that gives up must not take the answer away from the others.
        self._token = await asyncio.shield(self._asking)
        return self._token.value


class _Credentials(Protocol):
    """What is used of google.auth.credentials.Credentials; `expiry` is naive UTC."""

    token: str | None
    expiry: datetime | None

    def refresh(self, request: object) -> None: ...


class _Google:
    """Asks Google for a token, whatever kind of account is found."""

    def __init__(self) -> None:
        self._credentials: _Credentials | None = None

    def __call__(self) -> Token:
        import google.auth
        import google.auth.exceptions
        import google.auth.transport.requests

        try:
            if self._credentials is None:
                self._credentials, _ = google.auth.default(scopes=[SCOPE])
            self._credentials.refresh(google.auth.transport.requests.Request())
        except (google.auth.exceptions.GoogleAuthError, OSError, ValueError) as error:
            raise NoToken(f"{type(error).__name__}: {error}"[:500]) from error
        if not self._credentials.token:
            raise NoToken("an empty token")
        expiry = self._credentials.expiry or datetime.max
        return Token(self._credentials.token, expiry.replace(tzinfo=UTC))

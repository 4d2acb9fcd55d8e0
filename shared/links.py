"""Signed, expiring links to what an account owns, so that a browser needs no key: HMAC-SHA256 over
what the link is for, whose it is and when it ends. And sealed texts, for what a caller carries from
one call to the next in our place; and the secrets that webhooks are signed with."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

from shared.errors import Forbidden

IMAGE_LIFE = timedelta(hours=24)
UPLOAD_LIFE = timedelta(minutes=15)
_SEAL_BYTES = 16


class Unsigned(Exception):
    """Something has to be signed, and there is nothing to sign it with."""


@dataclass(frozen=True)
class Links:
    """Makes and checks links under `public_url`. Without a secret, on an operator's machine, a link
    has no signature and asks for a key; whatever else needs one raises Unsigned."""

    public_url: str
    secret: bytes | None = field(repr=False)

    def image(self, image_id: str, now: datetime) -> tuple[str, datetime]:
        """Where to GET a picture, and until when."""
        expires_at = (now + IMAGE_LIFE).replace(microsecond=0)
        path = f"/account/images/{image_id}"
        return self._link("GET", path, expires_at, {}), expires_at

    def upload(self, path: str, claims: dict[str, str], now: datetime) -> tuple[str, datetime]:
        """Where to PUT a file; `claims` become query parameters that cannot be changed."""
        expires_at = (now + UPLOAD_LIFE).replace(microsecond=0)
        return self._link("PUT", path, expires_at, claims), expires_at

    def check(self, method: str, path: str, query: dict[str, str], now: datetime) -> None:
        """Raise Forbidden unless the query carries a good signature that has not expired."""
        claims = {k: v for k, v in query.items() if k not in ("expires", "signature")}
        expires = query.get("expires", "")
        expected = self._signature(method, path, expires, claims)
        given = query.get("signature", "")
        if not hmac.compare_digest(expected.encode(), given.encode()):
            raise Forbidden("The link's signature does not fit.")
        if datetime.fromtimestamp(int(expires), UTC) <= now:
            raise Forbidden("This link has expired. Fetch the request again for a new one.")

    def seal(self, purpose: str, text: str) -> str:
        """A token for URLs and JSON that carries the text, plain to see but not to change: for
        `unseal` with the same purpose, a word or two, only."""
        seal = self._digest(f"seal\n{purpose}\n{text}")[:_SEAL_BYTES]
        return _base64(text.encode() + seal)

    def unseal(self, purpose: str, token: str) -> str:
        """The text that `seal` was given. Raises Forbidden for whatever else comes."""
        wrong = Forbidden("This token was not made here, or for something else.")
        try:
            sealed = base64.b64decode(
                token + "=" * (-len(token) % 4), altchars=b"-_", validate=True
            )
            text = sealed[:-_SEAL_BYTES].decode()
            given = token.encode()
        except ValueError as error:
            raise wrong from error
        if not hmac.compare_digest(self.seal(purpose, text).encode(), given):
            raise wrong
        return text

    def webhook_secret(self, account_id: str) -> str:
        """What an account's webhooks are signed with: it follows from our secret, so nothing is
        stored, and changes with it."""
        return "whsec_" + base64.b64encode(self._digest(f"webhook\n{account_id}")).decode()

    def _link(self, method: str, path: str, expires_at: datetime, claims: dict[str, str]) -> str:
        if self.secret is None:
            return f"{self.public_url}{quote(path)}"
        expires = str(int(expires_at.timestamp()))
        query = {
            **claims,
            "expires": expires,
            "signature": self._signature(method, path, expires, claims),
        }
        return f"{self.public_url}{quote(path)}?{urlencode(query)}"

    def _signature(self, method: str, path: str, expires: str, claims: dict[str, str]) -> str:
        text = "\n".join([method, path, expires, urlencode(sorted(claims.items()))])
        return _base64(self._digest(text))

    def _digest(self, text: str) -> bytes:
        if self.secret is None:
            raise Unsigned("there is no DARKROOM_SIGNING_SECRET to sign with")
        return hmac.digest(self.secret, text.encode(), hashlib.sha256)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

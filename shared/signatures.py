"""Standard Webhooks signatures, version 1: HMAC-SHA256 over "<id>.<timestamp>.<body>". We sign what
we send with them, and providers what they send us.

Facts: standardwebhooks.com, specification 1.0.0; python library standardwebhooks 1.1.0.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime

from shared.errors import Unauthenticated

TOLERANCE_S = 300
"""How far a timestamp may be from our time, before or after."""
_PREFIX = "whsec_"
_VERSION = "v1,"


def key_of(secret: str) -> bytes:
    """The key of a secret: what "whsec_" is followed by, in base64, or else the secret's own bytes.
    Raises ValueError for one that gives no key."""
    if not secret.startswith(_PREFIX):
        key = secret.encode()
    else:
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error as error:
            raise ValueError("what follows whsec_ is not base64") from error
    if not key:
        raise ValueError("it is empty")
    return key


def sign(secret: str, webhook_id: str, timestamp: int, body: bytes) -> str:
    """The signature "v1,<base64>" of a body sent at that Unix time. Raises ValueError for a secret
    that gives no key."""
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    digest = hmac.digest(key_of(secret), signed, hashlib.sha256)
    return _VERSION + base64.b64encode(digest).decode()


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """Raise Unauthenticated unless one of the signatures, separated by spaces, is made with the
    secret, and not long ago. `headers` are found by their names in lower case."""
    timestamp = check_time(headers, now)
    expected = sign(secret, headers.get("webhook-id", ""), timestamp, body).encode()
    given = headers.get("webhook-signature", "").encode().split(b" ")
    # No short cut: how long it takes must not tell which one was close.
    fits = [hmac.compare_digest(expected, one) for one in given]
    if not any(fits):
        raise Unauthenticated("The webhook's signature does not fit.")


def check_time(headers: Mapping[str, str], now: datetime) -> int:
    """The webhook-timestamp, in Unix seconds. Raises Unauthenticated where it, or the webhook-id,
    is missing, or it is further from `now` than the tolerance."""
    text = headers.get("webhook-timestamp", "")
    if not headers.get("webhook-id") or not re.fullmatch("[0-9]{1,12}", text):
        raise Unauthenticated("A webhook has the headers webhook-id and webhook-timestamp.")
    if abs(now.timestamp() - int(text)) > TOLERANCE_S:
        raise Unauthenticated("The webhook's timestamp is too far from the time here.")
    return int(text)

"""The trace that work belongs to (w3.org/TR/trace-context, 2021-11): begun by whoever calls, or by
us. It goes on with what is put off, on the record and in the message, and out with every call to a
provider or a webhook, so that one search finds all of it. We record no spans of our own, so what
came in is passed on as it is.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar

HEADER = "traceparent"
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_GOOGLES = re.compile(r"(?!0{32})([0-9a-f]{32})(?:/([0-9]{1,20}))?(?:;o=([01]))?", re.ASCII)
"""X-Cloud-Trace-Context: TRACE/SPAN;o=SAMPLED, its span a decimal number
(docs.cloud.google.com/trace/docs/trace-context, 2026-11)."""

current: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""The traceparent of what is being worked on: version-trace-span-flags, in hexadecimal."""


def begin(headers: Mapping[str, str]) -> None:
    """Follow the trace that a request's headers name, or begin one."""
    current.set(read(headers) or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00")


def follow(traceparent: str | None) -> None:
    """Go on with what was put off in its own trace, if that is known."""
    if traceparent is not None and _PARENT.fullmatch(traceparent):
        current.set(traceparent)


def read(headers: Mapping[str, str]) -> str | None:
    """The traceparent in a request's headers: the standard's own, or Google's older one."""
    parent = headers.get(HEADER, "")
    if _PARENT.fullmatch(parent):
        return parent
    own = _GOOGLES.fullmatch(headers.get("x-cloud-trace-context", ""))
    if own is None:
        return None
    span = int(own[2] or 0) % 2**64 or secrets.randbits(64) | 1
    return f"00-{own[1]}-{span:016x}-0{own[3] or 0}"


def headers(subject: str | None) -> dict[str, str]:
    """What a call of ours says of the work it is for, a request's or a batch's id."""
    known = {HEADER: current.get(), "x-request-id": subject}
    return {name: value for name, value in known.items() if value is not None}

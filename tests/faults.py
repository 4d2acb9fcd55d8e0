"""What each fault of the sandbox comes to, by every provider: one table for all tests of it."""

from __future__ import annotations

from shared.errors import DarkroomError, by_code

FAULTS = [
    ("rate_limited", 429, "rate_limited"),
    ("quota_exhausted", 429, "quota_exceeded"),
    ("unavailable", 503, "provider_unavailable"),
    ("server_error", 502, "provider_error"),
    ("blocked", 422, "content_blocked"),
    ("no_image", 422, "no_image"),
    ("text_only", 422, "no_image"),
    ("timeout", 504, "outcome_unknown"),
    ("truncated", 504, "outcome_unknown"),
    ("not_json", 502, "provider_error"),
    ("bad_base64", 502, "provider_error"),
    ("partial", 422, "content_blocked"),
]
"""The directive, and the status and code that a caller gets."""

ANSWERED: list[tuple[str, type[DarkroomError]]] = [
    (fault, by_code(code)) for fault, _, code in FAULTS if fault not in ("timeout", "truncated")
]
"""Those that are an answer, and the error an adapter reads in it."""

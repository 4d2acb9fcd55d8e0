"""How OpenRouter refuses: the code is the HTTP status as a number, and what the provider behind it
said is in `metadata` (openrouter.ai/docs/api-reference/errors and answers seen, 2026)."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from shared.domain import Json
from shared.sandbox.relay_errors import answer

USER = "user_2sandbox0darkroom0000000"


class Refused(Exception):
    """An answer that is an error: `status` of HTTP, and the fields of `error`."""

    def __init__(
        self,
        status: int,
        message: str,
        metadata: Mapping[str, Json] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.metadata = metadata
        self.headers = headers or {}

    def error(self) -> dict[str, Json]:
        """What stands in `error`."""
        about: dict[str, Json] = {"metadata": dict(self.metadata)} if self.metadata else {}
        return {"code": self.status, "message": self.message, **about}

    def response(self) -> httpx.Response:
        """The error as it is sent. Nobody is named to one who has not shown a key."""
        known: dict[str, Json] = {} if self.status == 401 else {"user_id": USER}
        return answer({"error": self.error(), **known}, self.status, self.headers)


def refuse(fault: str | None, model: str) -> None:
    """Raise the refusal that a fault of the sandbox stands for; others are left to the answer."""
    if fault == "rate_limited":
        raw = f"{model} is temporarily rate-limited upstream. Please retry shortly."
        behind: dict[str, Json] = {"provider_name": "Google", "raw": raw}
        raise Refused(429, "Provider returned error", behind, {"retry-after": "1"})
    if fault == "quota_exhausted":
        limits: Json = {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "0"}
        raise Refused(429, "Rate limit exceeded: free-models-per-day.", {"headers": limits})
    if fault == "unavailable":
        raise Refused(503, "No available model provider meets your routing requirements")
    if fault == "server_error":
        raise Refused(500, "Internal Server Error")
    if fault in ("blocked", "partial"):
        raise moderated(model)


def moderated(model: str) -> Refused:
    """The input was flagged."""
    return Refused(
        403,
        "Your chosen model requires moderation and your input was flagged",
        {
            "reasons": ["violence"],
            "flagged_input": "a picture of",
            "provider_name": "Google",
            "model_slug": model,
        },
    )

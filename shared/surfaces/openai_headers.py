"""The headers of every answer in OpenAI's words, beside those of its errors: what an account may
ask for in a minute, and what of it is left."""

from __future__ import annotations

from datetime import datetime

from shared.domain import Record
from shared.errors import DarkroomError
from shared.ledger import Standing

_NAMES = ("limit", "remaining", "reset")


def of_request(standing: Standing, now: datetime, *, replayed: bool) -> dict[str, str]:
    """Of a request that was let in; `standing` is how its account stood before."""
    limit = standing.account.limits.rpm
    if limit is None:
        return {}
    used = sum(shard.in_minute(now) for shard in standing.shards)
    # One that was found again takes no place of its own.
    used += not replayed
    return _limits(limit, max(0, limit - used), 60 - now.second)


def of_refusal(error: DarkroomError, request_id: str) -> dict[str, str]:
    """Of one that was not."""
    limit, sent = error.details.get("limit"), {"x-request-id": error.request_id or request_id}
    if error.details.get("window") != "minute" or not isinstance(limit, int):
        return sent
    return sent | _limits(limit, 0, round(error.retry_after_s or 60))


def took(record: Record) -> dict[str, str]:
    """How long an ended request took."""
    if record.completed_at is None:
        return {}
    spent = record.completed_at - record.created_at
    return {"openai-processing-ms": str(max(0, round(spent.total_seconds() * 1000)))}


def _limits(limit: int, remaining: int, reset_s: int) -> dict[str, str]:
    values = (str(limit), str(remaining), f"{reset_s}s")
    return {f"x-ratelimit-{n}-requests": value for n, value in zip(_NAMES, values, strict=True)}

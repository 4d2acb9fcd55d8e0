"""What the metrics in infra/monitoring.tf count: an event for every request that ends, and for
every piece of a batch that is settled. Money is in micro-dollars: `charged_micros` is what the
caller paid, `cost_micros` what it cost the operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared import log
from shared.domain import Record, Usage
from shared.errors import RateLimited, by_code


@dataclass(frozen=True)
class Piece:
    """Items of a batch that ended together, of one model at one provider."""

    model: str
    provider: str | None
    succeeded: int
    failed: int
    charged_micros: int
    cost_micros: int
    usages: Sequence[Usage]


def request_ended(ended: Record, private: str | None = None) -> None:
    """Say how a request ended; `private` is what its caller is not told of a failure."""
    outcome, since = outcome_of(ended), ended.completed_at or ended.created_at
    log.event(
        "request.ended",
        severity="WARNING" if outcome in ("refused", "failed") else "INFO",
        operation=ended.operation,
        surface=ended.surface,
        model=ended.model,
        provider=ended.provider,
        outcome=outcome,
        code=ended.error.code if ended.error else None,
        images=len(ended.images),
        latency_ms=round((since - ended.created_at).total_seconds() * 1000),
        input_tokens=ended.usage.input_tokens,
        output_tokens=ended.usage.output_tokens,
        charged_micros=ended.charged_micros,
        cost_micros=ended.cost_micros,
        sandbox=ended.sandbox,
        private=private,
    )


def outcome_of(ended: Record) -> str:
    """One of succeeded, cached and cancelled; refused where the caller or the content was at fault,
    failed where we or the provider were, who may also have had too much to do."""
    if ended.status == "failed" and ended.error is not None:
        kind = by_code(ended.error.code)
        return "failed" if kind.status >= 500 or kind is RateLimited else "refused"
    return "cached" if ended.basis == "cache" else ended.status


def batch_charged(piece: Piece, *, sandbox: bool) -> None:
    """Say what a piece of a batch came to."""
    log.event(
        "batch.charged",
        model=piece.model,
        provider=piece.provider,
        succeeded=piece.succeeded,
        failed=piece.failed,
        images=sum(usage.images for usage in piece.usages),
        input_tokens=sum(usage.input_tokens for usage in piece.usages),
        output_tokens=sum(usage.output_tokens for usage in piece.usages),
        charged_micros=piece.charged_micros,
        cost_micros=piece.cost_micros,
        sandbox=sandbox,
    )

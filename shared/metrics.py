"""What the metrics in infra/monitoring.tf count: an event for a request that ends, and for items of
a batch that do; `transport.py` has one for every call. Money is in micro-dollars: `charged_micros`
is what the caller paid, `cost_micros` what it cost the operator.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared import log
from shared.batch_items import ItemResult
from shared.domain import Record
from shared.errors import RateLimited, by_code


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


def batch_charged(
    made_by: tuple[str, str | None],
    results: Sequence[ItemResult],
    cost_micros: int,
    *,
    sandbox: bool,
) -> None:
    """Say what items came to that ended together, of one model at one provider. Calls of their own
    have told their cost already: `cost_micros` is that of a provider's batch."""
    model, provider = made_by
    log.event(
        "batch.charged",
        model=model,
        provider=provider,
        succeeded=sum(one.status == "succeeded" for one in results),
        failed=sum(one.status == "failed" for one in results),
        images=sum(one.usage.images for one in results),
        input_tokens=sum(one.usage.input_tokens for one in results),
        output_tokens=sum(one.usage.output_tokens for one in results),
        charged_micros=sum(one.charged_micros for one in results),
        cost_micros=cost_micros,
        sandbox=sandbox,
    )

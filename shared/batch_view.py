"""What callers get of batches, as pydantic models, beside shared/view.py."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from shared.batch_domain import Batch, BatchStatus
from shared.batch_items import ItemResult
from shared.links import Links
from shared.pricing import usd
from shared.view import ErrorBody, ImageView, Time, View, image_view, of_problem


class CountsView(View):
    """How many items a batch has, and how many have ended how."""

    total: int
    succeeded: int
    failed: int
    cancelled: int


class BatchCostView(View):
    """What a batch was estimated at, and what of it has been charged."""

    estimated_usd: str
    usd: str


class BatchView(View):
    """Many requests as one job. `status` is "succeeded" once every item has ended, however: what
    became of each is in its results."""

    id: str
    object: Literal["batch"] = "batch"
    status: BatchStatus
    cancelling: bool
    counts: CountsView
    mode: Literal["auto", "provider", "fanout"]
    model: str | None
    cost: BatchCostView
    error: ErrorBody | None
    metadata: dict[str, str]
    idempotency_key: str | None
    surface: str
    sandbox: bool
    created_at: Time
    completed_at: Time | None
    expires_at: Time


class ItemCostView(View):
    """What an item was charged."""

    usd: str


class ItemView(View):
    """A line of a batch's results."""

    custom_id: str
    status: Literal["succeeded", "failed", "cancelled"]
    images: list[ImageView]
    text: str | None
    cost: ItemCostView
    error: ErrorBody | None


def of_batch(batch: Batch) -> BatchView:
    """A batch as its caller sees it."""
    counts = batch.counts
    return BatchView(
        id=batch.id,
        status=batch.status,
        cancelling=batch.cancelling and batch.open,
        counts=CountsView(
            total=counts.total,
            succeeded=counts.succeeded,
            failed=counts.failed,
            cancelled=counts.cancelled,
        ),
        mode=batch.mode,
        model=batch.model,
        cost=BatchCostView(estimated_usd=usd(batch.listed_micros), usd=usd(batch.charged_micros)),
        error=of_problem(batch.error, batch.id) if batch.error else None,
        metadata=dict(batch.metadata),
        idempotency_key=batch.idempotency_key,
        surface=batch.surface,
        sandbox=batch.sandbox,
        created_at=batch.created_at,
        completed_at=batch.completed_at,
        expires_at=batch.expires_at,
    )


def of_item(result: ItemResult, links: Links, now: datetime) -> ItemView:
    """How an item ended, as its caller sees it."""
    return ItemView(
        custom_id=result.custom_id,
        status=result.status,
        images=[image_view(image, links, now, None) for image in result.images],
        text=result.text,
        cost=ItemCostView(usd=usd(result.charged_micros)),
        error=of_problem(result.error, None) if result.error else None,
    )

"""What callers get, as pydantic models, and the translation of records into them. Money is a
decimal string of US dollars, times are UTC with a Z."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema

from shared.domain import (
    Attempt,
    Entry,
    EntryKind,
    Image,
    Limits,
    Operation,
    Problem,
    Record,
    Status,
    UsageRow,
)
from shared.ledger import Standing
from shared.links import Links
from shared.pricing import usd
from shared.records import Page

T = TypeVar("T")


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[
    datetime,
    PlainSerializer(_stamp, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class View(BaseModel):
    """Something a caller is shown."""

    # Each is built when it is first used: a function uses few of them.
    model_config = ConfigDict(frozen=True, defer_build=True)


class ListView(View, Generic[T]):
    """Every list there is."""

    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool = False
    next_cursor: str | None = None


class ErrorBody(View):
    """What went wrong: `message` is safe to show and says what to do."""

    code: str
    message: str
    param: str | None = None
    request_id: str | None = None
    retryable: bool = False
    retry_after_s: float | None = None
    provider: str | None = None
    details: dict[str, Any] = {}


class ErrorView(View):
    """Every error there is."""

    error: ErrorBody


class ImageView(View):
    """A picture: `url` needs no key and ends at `expires_at`; fetch the request for a new one."""

    id: str
    url: str
    b64_json: str | None = None
    content_type: str
    width: int
    height: int
    bytes: int
    sha256: str
    expires_at: Time


class AssetView(View):
    """A 3D model, linked as a picture is."""

    id: str
    url: str
    content_type: str
    bytes: int
    sha256: str
    expires_at: Time


class CostView(View):
    """What was charged, in dollars and in the provider's own credits where it has some, and what
    had been estimated."""

    usd: str
    credits: str | None = None
    estimated_usd: str
    free_tier: bool = False


class UsageView(View):
    """What the provider counted."""

    input_tokens: int
    output_tokens: int
    images: int


class AttemptView(View):
    """One call to a provider."""

    provider: str
    outcome: str
    status: int | None
    latency_ms: int


class RequestView(View):
    """A request, from admission to its end. `surface` is the API it came by: "native", or the
    vendor's whose shapes were spoken."""

    id: str
    object: Literal["request"] = "request"
    operation: Operation
    status: Status
    model: str
    provider: str | None
    prompt: str
    parameters: dict[str, Any]
    images: list[ImageView]
    assets: list[AssetView]
    text: str | None
    cost: CostView
    cached: bool
    usage: UsageView
    attempts: list[AttemptView]
    error: ErrorBody | None
    metadata: dict[str, str]
    previous_request_id: str | None
    idempotency_key: str | None
    surface: str
    sandbox: bool
    created_at: Time
    completed_at: Time | None


class DeletedView(View):
    """What is left of a deleted request."""

    id: str
    object: Literal["request"] = "request"
    deleted: Literal[True] = True


class LimitsView(View):
    """What an account may do; null is no limit."""

    rpm: int | None
    rpd: int | None
    concurrency: int | None
    monthly_usd: str | None


class StandingView(View):
    """What of its limits an account uses right now."""

    requests_this_minute: int
    requests_today: int
    running: int
    spent_this_month_usd: str


class AccountView(View):
    """An account: `balance_usd` is the sum of its ledger, `available_usd` what is not held, and
    `webhook_secret` what its webhooks are signed with."""

    id: str
    object: Literal["account"] = "account"
    name: str
    plan: Literal["prepaid"] = "prepaid"
    balance_usd: str
    held_usd: str
    available_usd: str
    limits: LimitsView
    usage: StandingView
    webhook_secret: str
    created_at: Time


class EntryView(View):
    """A line of the ledger."""

    id: str
    object: Literal["ledger_entry"] = "ledger_entry"
    kind: EntryKind
    usd: str
    at: Time
    request_id: str | None
    grant_id: str | None
    expires_at: Time | None


class UsageGroupView(View):
    """What one day, model or provider came to; the other two are null."""

    day: str | None = None
    model: str | None = None
    provider: str | None = None
    requests: int
    images: int
    usd: str


class UploadView(View):
    """Leave to send one file: PUT its bytes to `url` with these headers."""

    upload_id: str
    url: str
    method: Literal["PUT"] = "PUT"
    headers: dict[str, str]
    expires_at: Time


def of_request(
    record: Record, links: Links, now: datetime, inline: Sequence[str | None] = ()
) -> RequestView:
    """A record as its caller sees it; `inline` holds the pictures in base64 where wanted."""
    return RequestView(
        id=record.id,
        operation=record.operation,
        status=record.status,
        model=record.model,
        provider=record.provider,
        prompt=record.prompt,
        parameters=dict(record.parameters),
        images=[
            image_view(image, links, now, inline[n] if inline else None)
            for n, image in enumerate(record.images)
            if image.width
        ],
        assets=[_asset(image, links, now) for image in record.images if not image.width],
        text=record.text,
        cost=CostView(
            usd=usd(record.charged_micros),
            credits=None if record.credits is None else str(record.credits),
            estimated_usd=usd(record.quote.listed_micros),
            free_tier=record.basis == "free",
        ),
        cached=record.basis == "cache",
        usage=UsageView(
            input_tokens=record.usage.input_tokens,
            output_tokens=record.usage.output_tokens,
            images=len(record.images),
        ),
        attempts=[_attempt(attempt) for attempt in record.attempts],
        error=of_problem(record.error, record.id) if record.error else None,
        metadata=dict(record.metadata),
        previous_request_id=record.previous_request_id,
        idempotency_key=record.idempotency_key,
        surface=record.surface,
        sandbox=record.sandbox,
        created_at=record.created_at,
        completed_at=record.completed_at,
    )


def _attempt(attempt: Attempt) -> AttemptView:
    """Without what it cost the operator."""
    return AttemptView(
        provider=attempt.provider,
        outcome=attempt.outcome,
        status=attempt.status,
        latency_ms=attempt.latency_ms,
    )


def of_account(standing: Standing, webhook_secret: str, now: datetime) -> AccountView:
    """An account and how it stands."""
    account, shards = standing.account, standing.shards
    return AccountView(
        id=account.id,
        name=account.name,
        balance_usd=usd(standing.balance_micros()),
        held_usd=usd(sum(s.held for s in shards)),
        available_usd=usd(standing.available_micros(now)),
        limits=of_limits(account.limits),
        usage=StandingView(
            requests_this_minute=sum(s.in_minute(now) for s in shards),
            requests_today=sum(s.in_day(now) for s in shards),
            running=sum(s.running for s in shards),
            spent_this_month_usd=usd(sum(s.in_month(now) for s in shards)),
        ),
        webhook_secret=webhook_secret,
        created_at=account.created_at,
    )


def of_limits(limits: Limits) -> LimitsView:
    """An account's limits."""
    monthly = limits.monthly_micros
    return LimitsView(
        rpm=limits.rpm,
        rpd=limits.rpd,
        concurrency=limits.concurrency,
        monthly_usd=None if monthly is None else usd(monthly),
    )


def of_entry(entry: Entry) -> EntryView:
    """A line of the ledger."""
    return EntryView(
        id=entry.id,
        kind=entry.kind,
        usd=usd(entry.micros),
        at=entry.at,
        request_id=entry.request_id,
        grant_id=entry.grant_id,
        expires_at=entry.expires_at,
    )


def of_usage(rows: Sequence[UsageRow], group_by: str) -> list[UsageGroupView]:
    """Daily rows added up by day, model or provider."""
    groups: dict[str, list[UsageRow]] = {}
    for row in rows:
        groups.setdefault(getattr(row, group_by), []).append(row)
    return [
        UsageGroupView.model_validate(
            {
                group_by: name,
                "requests": sum(r.requests for r in members),
                "images": sum(r.images for r in members),
                "usd": usd(sum(r.micros for r in members)),
            }
        )
        for name, members in sorted(groups.items())
    ]


def list_of(page: Page[T]) -> ListView[T]:
    """A page of views as the contract's list."""
    return ListView(
        data=list(page.items), has_more=page.cursor is not None, next_cursor=page.cursor
    )


def image_view(image: Image, links: Links, now: datetime, inline: str | None) -> ImageView:
    """A picture with a fresh link."""
    url, expires_at = links.image(image.id, now)
    return ImageView(
        id=image.id,
        url=url,
        b64_json=inline,
        content_type=image.content_type,
        width=image.width,
        height=image.height,
        bytes=image.bytes,
        sha256=image.sha256,
        expires_at=expires_at,
    )


def _asset(image: Image, links: Links, now: datetime) -> AssetView:
    url, expires_at = links.image(image.id, now)
    return AssetView(
        id=image.id,
        url=url,
        content_type=image.content_type,
        bytes=image.bytes,
        sha256=image.sha256,
        expires_at=expires_at,
    )


def of_problem(problem: Problem, request_id: str | None) -> ErrorBody:
    """An error as its caller sees it; `request_id` is of the record that keeps it."""
    return ErrorBody(
        code=problem.code,
        message=problem.message,
        param=problem.param,
        request_id=request_id,
        retryable=problem.retryable,
        retry_after_s=problem.retry_after_s,
        provider=problem.provider,
        details=dict(problem.details),
    )

"""The nouns of the house, frozen, one word per thing. Values only grow:
ImageRequest → Quote → Hold → Image → Record. Money is integer micro-dollars; times are aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Operation = Literal["generate", "edit", "three_d"]
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Delivery = Literal["url", "b64_json"]
Preference = Literal["order", "cost", "speed"]
Auth = Literal["bearer", "x-goog-api-key", "service-account"]
Basis = Literal["row", "usage", "free", "cache"]
"""What a charge follows from: the listed price, what the provider counted, a free allowance, or an
earlier request's pictures."""
Size = tuple[int, int]
"""Width and height in pixels."""

IMAGE_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
"""Output format → content type: every format the house takes and gives."""


@dataclass(frozen=True)
class Limits:
    """What an account may do. None is no limit. `rpm` and `rpd` count admitted requests."""

    rpm: int | None = None
    rpd: int | None = None
    concurrency: int | None = None
    monthly_micros: int | None = None


@dataclass(frozen=True)
class Account:
    """A tenant. `shards` is over how many documents its wallet is spread (see `ledger`)."""

    id: str
    name: str
    created_at: datetime
    limits: Limits = Limits()
    shards: int = 1


@dataclass(frozen=True)
class ApiKey:
    """A key as stored: only the SHA-256 of it. `test` keys reach the sandbox and cost nothing."""

    id: str
    key_hash: str
    account_id: str
    test: bool
    created_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class Caller:
    """Who is asking, once the key is accepted."""

    account_id: str
    key_id: str
    test: bool


@dataclass(frozen=True)
class ImageRef:
    """An image as a caller names it: exactly one field is set."""

    url: str | None = None
    data: bytes | None = field(default=None, repr=False)
    image_id: str | None = None
    upload_id: str | None = None
    file_id: str | None = None
    """Of a file kept by shared/files."""


@dataclass(frozen=True)
class Source:
    """An image on its way in, its bytes at hand and checked. Width and height are as displayed,
    after EXIF orientation. `uri` is set once a provider holds an uploaded copy."""

    data: bytes = field(repr=False)
    content_type: str
    width: int
    height: int
    uri: str | None = None


@dataclass(frozen=True)
class Picture:
    """An image on its way out, as its bytes say it is."""

    data: bytes = field(repr=False)
    content_type: str
    width: int
    height: int
    sha256: str = field(default="", compare=False)


@dataclass(frozen=True)
class Turn:
    """An earlier exchange that an edit continues. `reply` is the provider's own answer, in pieces,
    for the adapter `wire` and the model `wire_model`: JSON, and numbers of `images` in base64."""

    prompt: str
    sources: tuple[Source, ...]
    images: tuple[Picture, ...]
    wire: str = ""
    wire_model: str = ""
    reply: tuple[str | int, ...] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ImageRequest:
    """What a caller wants, checked for form. `model` is a catalogue id or "auto".

    `refs`, `mask_ref` and `previous_request_id` name images that `sources.load` turns into
    `sources`, `mask` and `turns`: the last `max_turns` of them, None for all. `routing.calls` fits
    it to one provider call: `size` is then the picture's, None where the provider chooses, and
    `size_name` what the route calls it. `partial_images` is how many sketches of each picture the
    caller wants to see on the way; a provider may send fewer or none. `template` is what the prompt
    was made of, `recommended` the model to try before any other for "auto".
    """

    operation: Operation
    model: str
    prompt: str = field(repr=False)
    template: Mapping[str, Json] | None = field(default=None, repr=False)
    recommended: str | None = None
    n: int = 1
    aspect_ratio: str | None = None
    resolution: str | None = None
    seed: int | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None
    output_quality: int | None = None
    prefer: Preference = "order"
    providers: tuple[str, ...] = ()
    fallback: bool = True
    delivery: Delivery = "url"
    partial_images: int = 0
    cache: bool = False
    timeout_s: float = 300.0
    webhook_url: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Json] = field(default_factory=dict)
    refs: tuple[ImageRef, ...] = ()
    mask_ref: ImageRef | None = None
    previous_request_id: str | None = None
    max_turns: int | None = None
    sources: tuple[Source, ...] = ()
    mask: Source | None = None
    turns: tuple[Turn, ...] = ()
    size: Size | None = None
    size_name: str | None = None


@dataclass(frozen=True)
class Endpoint:
    """Where one provider account serves one model: an address, a key and the model's name there.
    `auth` says how the key is shown ("service-account": a token takes its place), `dialect` which
    variant of its wire format the host speaks."""

    base_url: str
    version: str
    wire_model: str
    key: str = field(repr=False)
    auth: Auth = "bearer"
    dialect: str = ""

    def address(self, path: str) -> str:
        """The URL of a resource: "models/x:predict" → "https://…/v1beta/models/x:predict"."""
        return (
            "/".join(part.strip("/") for part in (self.base_url, self.version) if part) + f"/{path}"
        )

    @property
    def headers(self) -> Mapping[str, str]:
        """What shows who we are. Never in the address, which ends up in logs."""
        if self.auth == "x-goog-api-key":
            return {"x-goog-api-key": self.key}
        return {"authorization": f"Bearer {self.key}"}


@dataclass(frozen=True)
class Usage:
    """What a provider counted. Tokens are 0 where it reports none; `source_tokens` are the images'
    part of `input_tokens`, `thought_tokens` and `image_tokens` parts of `output_tokens`.
    `cost_micros` is what it says it charged."""

    input_tokens: int = 0
    output_tokens: int = 0
    source_tokens: int = 0
    thought_tokens: int = 0
    image_tokens: int = 0
    images: int = 0
    cost_micros: int | None = None


@dataclass(frozen=True)
class Quote:
    """The price of a request before it runs: per picture at each provider that may serve it, and
    the most that can be charged. `listed_micros` is the price by the first of them, test key or
    not."""

    unit_micros: Mapping[str, int]
    micros: int
    listed_micros: int


@dataclass(frozen=True)
class Part:
    """Credit taken from one lot of one wallet shard."""

    shard: int
    grant_id: str
    micros: int
    expires_at: datetime


@dataclass(frozen=True)
class Hold:
    """What a running request has reserved: credit by lot, one place in every quota (all in
    `shard`), until it is settled or released, exactly once. `month` ("2026-11") is the month its
    spending counts in."""

    micros: int
    parts: tuple[Part, ...]
    shard: int
    month: str


@dataclass(frozen=True)
class Attempt:
    """One call to a provider: `outcome` is "succeeded" or an error code, `cost_micros` what it cost
    the operator, delivered or not."""

    provider: str
    outcome: str
    status: int | None
    latency_ms: int
    cost_micros: int = 0


@dataclass(frozen=True)
class Task:
    """A provider's own task that a request waits for: by which route, under which token, how often
    it was looked at in vain since an answer came, and when it was begun."""

    route: str
    token: str
    began_at: datetime
    blind: int = 0


@dataclass(frozen=True)
class Image:
    """A stored picture, or a 3D model, which has no width and height. `name` is its object in
    storage."""

    id: str
    name: str
    content_type: str
    width: int
    height: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Problem:
    """An error as a record keeps it."""

    code: str
    message: str
    param: str | None = None
    provider: str | None = None
    retryable: bool = False
    retry_after_s: float | None = None
    details: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One request from admission to its end: what was asked, held, tried, delivered and charged.

    `n` is how many pictures were asked for; `credits` is the charge in the provider's own credits,
    where it has some. While `status` is "queued" or "running" the hold is open, and `lease_until`
    says when somebody has to look at it again: it counts as dead then, or waits for its `task`.
    Nobody waits for a request that is `deferred`.
    `fingerprint` is the SHA-256 of the body, for idempotency, `cache_key` that of what decides the
    pictures; `surface` is the API it came by, "native" for ours, `traceparent` the trace; `turn` is
    what a later edit needs, if short; `version` the stored state's token, to end the hold once.
    """

    id: str
    account_id: str
    key_id: str
    operation: Operation
    status: Status
    model: str
    prompt: str = field(repr=False)
    parameters: Mapping[str, Json]
    fingerprint: str
    sandbox: bool
    quote: Quote
    hold: Hold
    created_at: datetime
    lease_until: datetime
    n: int = 1
    idempotency_key: str | None = None
    cache_key: str | None = None
    previous_request_id: str | None = None
    surface: str = "native"
    metadata: Mapping[str, str] = field(default_factory=dict)
    deferred: bool = False
    webhook_url: str | None = None
    traceparent: str | None = None
    task: Task | None = None
    provider: str | None = None
    images: tuple[Image, ...] = ()
    text: str | None = None
    charged_micros: int = 0
    basis: Basis = "row"
    credits: int | None = None
    usage: Usage = Usage()
    attempts: tuple[Attempt, ...] = ()
    error: Problem | None = None
    completed_at: datetime | None = None
    turn: str | None = field(default=None, repr=False)
    deleted: bool = False
    version: str = ""

    @property
    def open(self) -> bool:
        """Whether it has not ended yet."""
        return self.status in ("queued", "running")

    @property
    def cost_micros(self) -> int:
        """What every call made for it cost the operator, the failed ones too."""
        return sum(attempt.cost_micros for attempt in self.attempts)


NoticeState = Literal["due", "delivered", "dead"]


@dataclass(frozen=True)
class Notice:
    """A webhook to be sent: that `subject`, a request or a batch, has ended. Its id follows from
    the subject's and is the `webhook-id`. While it is "due" the next try comes at `due_at`; it is
    "dead" when a day of tries has failed. `failure` says how the last one did."""

    id: str
    account_id: str
    subject: str
    type: str
    url: str
    state: NoticeState
    created_at: datetime
    due_at: datetime
    tries: int = 0
    failure: str | None = None
    traceparent: str | None = None
    version: str = ""


EntryKind = Literal["grant", "charge", "expiry"]


@dataclass(frozen=True)
class Entry:
    """A line of the ledger, never changed once written. The balance is the sum of `micros`."""

    id: str
    account_id: str
    kind: EntryKind
    micros: int
    at: datetime
    request_id: str | None = None
    grant_id: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True)
class UsageRow:
    """A day's total for one model at one provider. `day` is "2026-11-21" in UTC."""

    day: str
    model: str
    provider: str
    requests: int
    images: int
    micros: int

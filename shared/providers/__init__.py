"""The wire formats, one file each: pure translation between an ImageRequest and a provider's HTTP.

Nothing in this folder does I/O or reads a clock or the environment; `transport` sends, retries
and polls. An adapter is a plain module that satisfies `Provider`. It is given a request the
catalogue has already found possible, so it checks nothing and clamps nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, Protocol

import httpx

from shared.domain import Endpoint, ImageRequest, Usage
from shared.errors import DarkroomError, Internal


@dataclass(frozen=True)
class Inline:
    """A picture in the answer. `content_type` is what the provider says it is."""

    data: bytes = field(repr=False)
    content_type: str


@dataclass(frozen=True)
class Remote:
    """A picture to be fetched from an address in the answer; `said` of one that stood in the words
    of a model, who says whatever a prompt makes it say."""

    url: str
    said: bool = False


@dataclass(frozen=True)
class Done:
    """A finished answer. `withheld` counts pictures a filter kept back and `reason` says why;
    `reply` is what a later turn has to give back verbatim: JSON text in pieces, and between them
    the numbers of those of `images` whose base64 stands there."""

    images: tuple[Inline | Remote, ...]
    usage: Usage = Usage()
    text: str | None = None
    withheld: int = 0
    reason: str | None = None
    reply: tuple[str | int, ...] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Pending:
    """Not finished: ask again with `token` after `after_s` seconds."""

    token: str
    after_s: float


@dataclass(frozen=True)
class File:
    """A file a provider keeps: it can be referred to once it is `ready`."""

    uri: str
    name: str
    ready: bool


class Files(Protocol):
    """How a provider takes files: an opened upload is sent its bytes, and looked at until it is
    ready. The answers to both are read alike."""

    def send(self, started: httpx.Response, data: bytes, endpoint: Endpoint) -> httpx.Request: ...

    def read(self, response: httpx.Response) -> File: ...

    def get(self, name: str, endpoint: Endpoint) -> httpx.Request: ...


@dataclass(frozen=True)
class Upload:
    """A source too large for the request body, to be uploaded first: `source` is its index,
    `start` opens the upload and `files` says how it goes on."""

    source: int
    start: httpx.Request
    files: Files


class Provider(Protocol):
    """What a wire format is: how one call is asked and how its answer is read.

    `submit` is given a request bound to one call: `n` is the count of this call.
    `read` takes any HTTP answer, success or not, to `submit` or `poll`, with the request it
    answers, and raises the matching error of `shared.errors`; it never raises anything else,
    whatever the bytes are.
    """

    def submit(self, request: ImageRequest, endpoint: Endpoint) -> httpx.Request: ...

    def read(self, response: httpx.Response) -> Done | Pending: ...

    def poll(self, token: str, endpoint: Endpoint) -> httpx.Request: ...

    def uploads(self, request: ImageRequest, endpoint: Endpoint) -> tuple[Upload, ...]:
        """Sources that must be uploaded before `submit`; their `uri` is set by then."""

    def sketch(self, event: bytes) -> Inline | None:
        """A partial picture in the data of one server-sent event; None for anything else,
        whatever the bytes are."""


@dataclass(frozen=True)
class Order:
    """A batch to be handed to a provider: its lines, made by `Batches.line`, our `name` for it, by
    which it is found again, and where the provider may say that it is done, with `about` repeated.
    """

    name: str
    lines: tuple[bytes, ...] = field(repr=False)
    callback_url: str | None = None
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """How a provider's batch stands. While it is "running" `finished` of its requests have ended,
    where the provider says so. Afterwards its results are the lines of `files`, one after the
    other, or `lines`, where the answer itself holds them; `message` says why it failed."""

    state: Literal["running", "succeeded", "failed", "cancelled", "expired"]
    finished: int = 0
    files: tuple[str, ...] = ()
    lines: tuple[bytes, ...] = field(default=(), repr=False)
    message: str | None = None


@dataclass(frozen=True)
class Outcome:
    """One line of results: the answer to the request of that key, or the error it ended with."""

    key: str
    done: Done | DarkroomError


class Batches(Protocol):
    """A wire format's batch API, where it has one. `read_*` raise the matching error of
    `shared.errors` and nothing else, whatever the bytes are. A batch has at most MAX_LINES lines
    of MAX_BYTES together; its results hold whole pictures, so one of at most INLINE_LINES may be
    asked for in the answer itself."""

    MAX_LINES: int
    MAX_BYTES: int
    INLINE_LINES: int

    def kind(self, request: ImageRequest) -> str:
        """What of a request has to be alike in one batch beside the model: requests of two kinds
        go into two batches."""

    def line(self, key: str, request: ImageRequest, endpoint: Endpoint) -> bytes:
        """One request as a line, without the line's end. Its sources are in it."""

    def begin(self, order: Order, endpoint: Endpoint) -> httpx.Request:
        """The first request that hands it over."""

    def read_begun(
        self, response: httpx.Response, order: Order, endpoint: Endpoint
    ) -> httpx.Request | str:
        """What comes after the answer to `begin`, or to what came after it: another request, or
        the batch's token."""

    def find(self, name: str, endpoint: Endpoint, page: str | None) -> httpx.Request:
        """Look for a batch by our name for it, page by page, newest first."""

    def read_found(self, response: httpx.Response, name: str) -> tuple[str | None, str | None]:
        """Its token if this page has it, and the next page if there is one."""

    def poll(self, token: str, endpoint: Endpoint) -> httpx.Request: ...

    def read_progress(self, response: httpx.Response) -> Progress: ...

    def cancel(self, token: str, endpoint: Endpoint) -> httpx.Request: ...

    def download(self, file: str, offset: int, endpoint: Endpoint) -> httpx.Request:
        """A file of results, from that byte on where the provider can."""

    def read_event(self, body: bytes) -> str | None:
        """The token of the batch that a webhook tells of; None for what tells of none."""

    def read_line(self, line: bytes) -> Outcome | None:
        """A line of results; None for an empty one. Raises ProviderError for what is none: no
        request is known to have had it."""


class Wallet(Protocol):
    """How a provider that sells credits is asked what is left of them."""

    def balance(self, endpoint: Endpoint) -> httpx.Request: ...

    def read_balance(self, response: httpx.Response) -> Decimal: ...


def no_poll(token: str, endpoint: Endpoint) -> httpx.Request:
    """`poll` of a format that is never Pending."""
    raise Internal("The request was lost. Try again.", private=f"{endpoint.wire_model} has {token}")


def no_uploads(request: ImageRequest, endpoint: Endpoint) -> tuple[Upload, ...]:
    """`uploads` of a format that takes every source in the body, or none at all."""
    return ()


def no_sketch(event: bytes) -> Inline | None:
    """`sketch` of a format that shows nothing on the way."""
    return None

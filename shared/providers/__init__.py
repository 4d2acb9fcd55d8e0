"""The wire formats, one file each: pure translation between an ImageRequest and a provider's HTTP.

Nothing in this folder does I/O or reads a clock or the environment; `transport` sends, retries
and polls. An adapter is a plain module that satisfies `Provider`. It is given a request the
catalogue has already found possible, so it checks nothing and clamps nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

import httpx

from shared.domain import Endpoint, ImageRequest, Usage
from shared.errors import Internal


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
    `reply` is what a later turn has to give back verbatim, as JSON text."""

    images: tuple[Inline | Remote, ...]
    usage: Usage = Usage()
    text: str | None = None
    withheld: int = 0
    reason: str | None = None
    reply: str | None = field(default=None, repr=False)


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
    whatever the bytes are. `DIALECTS` names the variants of the format it knows beside the plain
    one, which is ""; a route's row says which its host speaks. `MASKED` are those that carry a
    mask.
    """

    DIALECTS: frozenset[str]
    MASKED: frozenset[str]

    def submit(self, request: ImageRequest, endpoint: Endpoint) -> httpx.Request: ...

    def read(self, response: httpx.Response) -> Done | Pending: ...

    def poll(self, token: str, endpoint: Endpoint) -> httpx.Request: ...

    def uploads(self, request: ImageRequest, endpoint: Endpoint) -> tuple[Upload, ...]:
        """Sources that must be uploaded before `submit`; their `uri` is set by then."""

    def sketch(self, event: bytes) -> Inline | None:
        """A partial picture in the data of one server-sent event; None for anything else,
        whatever the bytes are."""


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

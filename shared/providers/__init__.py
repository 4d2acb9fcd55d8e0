"""The wire formats, one file each: pure translation between an ImageRequest and a provider's HTTP.

Nothing in this folder does I/O or reads a clock or the environment; `transport` sends, retries
and polls. An adapter is a plain module that satisfies `Provider`. It is given a request the
catalogue has already found possible, so it checks nothing and clamps nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import httpx

from shared.domain import Endpoint, ImageRequest, Usage


@dataclass(frozen=True)
class Inline:
    """A picture in the answer. `content_type` is what the provider says it is."""

    data: bytes = field(repr=False)
    content_type: str


@dataclass(frozen=True)
class Remote:
    """A picture to be fetched from an address in the answer."""

    url: str


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
class Upload:
    """A source too large for the request body, to be uploaded first: `source` is its index."""

    source: int
    start: httpx.Request


class Provider(Protocol):
    """What a wire format is: how one call is asked and how its answer is read.

    `submit` is given a request bound to one call: `n` is the count of this call.
    `read` takes any HTTP answer, success or not, and raises the matching error of
    `shared.errors`; it never raises anything else, whatever the bytes are.
    """

    def submit(self, request: ImageRequest, endpoint: Endpoint) -> httpx.Request: ...

    def read(self, response: httpx.Response) -> Done | Pending: ...

    def poll(self, token: str, endpoint: Endpoint) -> httpx.Request: ...

    def uploads(self, request: ImageRequest, endpoint: Endpoint) -> tuple[Upload, ...]:
        """Sources that must be uploaded before `submit`; their `uri` is set by then."""

"""What a prompt may ask of the sandbox: `[sandbox:NAME]`, `[sandbox:NAME=VALUE]`, followed by `*N`
(only the first N calls of the request) and `@PROVIDER` (only there), in either order."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import httpx

NAMES = (
    "rate_limited",
    "quota_exhausted",
    "unavailable",
    "server_error",
    "blocked",
    "no_image",
    "text_only",
    "timeout",
    "truncated",
    "not_json",
    "bad_base64",
    "wrong_mime",
    "partial",
    "slow",
    "bytes",
    "expired",
    "failed",
    "html",
    "missing",
)
BATCH = ("expired", "failed", "html", "missing")
"""The names that mean something in a batch only: single calls are answered as if without them."""
LARGEST = {"slow": 60.0, "bytes": 50_000_000.0}
"""The names that take a value, and the largest it may be: seconds, bytes."""
ONCE = {"partial": 1}
"""The names whose `*N` is there unsaid: one call of several comes back without its picture."""
MARK = re.compile(r"\[sandbox:([^\[\]]*)\]")
FORM = re.compile(
    r"(?P<name>[a-z0-9_]+)(?:=(?P<value>\d+(?:\.\d+)?))?(?:\*(?P<calls>[1-9]\d{0,5}))?"
    r"(?:@(?P<provider>[a-z0-9_]+))?(?:\*(?P<calls_last>[1-9]\d{0,5}))?"
)


class BadDirective(Exception):
    """A directive that means nothing; the message lists those that do."""


@dataclass(frozen=True)
class Directive:
    """One instruction. `calls` is how many calls of the request it applies to, None for all."""

    name: str
    value: float = 0.0
    calls: int | None = None
    provider: str | None = None


@dataclass(frozen=True)
class Orders:
    """What is asked of one call: the first `fault` that applies, a delay and a picture's least
    size."""

    fault: str | None = None
    delay_s: float = 0.0
    min_bytes: int = 0

    def shared_by(self, pictures: int) -> Orders:
        """The orders for each of several pictures of one answer, which is as large as asked."""
        return replace(self, min_bytes=self.min_bytes // max(1, pictures))


def parse(prompt: str) -> tuple[Directive, ...]:
    """Every directive in a prompt, in order. Raises BadDirective."""
    return tuple(_directive(text) for text in MARK.findall(prompt))


def without(prompt: str) -> str:
    """The prompt as a person would write it."""
    return " ".join(MARK.sub(" ", prompt).split())


def once(directives: Sequence[Directive], provider: str) -> Orders:
    """What a request that is made of one call is to meet: an item of a batch."""
    return _met([d for d in directives if d.provider in (None, provider)])


def of_batch(directives: Sequence[Directive], provider: str) -> set[str]:
    """Those of BATCH that are among them."""
    mine = {d.name for d in directives if d.provider in (None, provider)}
    return mine.intersection(BATCH)


def _met(now: Sequence[Directive]) -> Orders:
    faults = (d.name for d in now if d.name not in LARGEST and d.name not in BATCH)
    return Orders(
        fault=next(faults, None),
        delay_s=max((d.value for d in now if d.name == "slow"), default=0.0),
        min_bytes=int(max((d.value for d in now if d.name == "bytes"), default=0.0)),
    )


def _directive(text: str) -> Directive:
    form = FORM.fullmatch(text)
    name = form["name"] if form else text
    value = form["value"] if form else None
    if form is None or name not in NAMES or (name in LARGEST) != (value is not None):
        raise BadDirective(f"[sandbox:{text}] is not a sandbox directive. {_known()}")
    if value is not None and float(value) > LARGEST[name]:
        raise BadDirective(f"[sandbox:{text}]: the most is {LARGEST[name]:.0f}.")
    calls = form["calls"] or form["calls_last"]
    return Directive(
        name=name,
        value=float(value or 0),
        calls=int(calls) if calls else ONCE.get(name),
        provider=form["provider"],
    )


def _known() -> str:
    names = ", ".join(f"{name}=NUMBER" if name in LARGEST else name for name in NAMES)
    return f"Known are {names}; *N limits one to the first N calls, @PROVIDER to one provider."


class Calls:
    """How many calls each request has made so far. Remembers the latest `most` requests."""

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def orders(
        self, directives: Sequence[Directive], provider: str, request: httpx.Request
    ) -> Orders:
        """What this call of the request is to meet. A request is known by its `x-request-id`; one
        that has none is known by what it says, and starts anew after a call that went through."""
        mine = [d for d in directives if d.provider in (None, provider)]
        if not mine:
            return Orders()
        sent_id = request.headers.get("x-request-id")
        identity = sent_id or hashlib.sha256(request.url.raw_path + request.content).hexdigest()
        call = self._next(identity)
        met = _met([d for d in mine if d.calls is None or call <= d.calls])
        if met.fault is None and not sent_id:
            self._forget(identity)
        return met

    def _next(self, identity: str) -> int:
        with self._lock:
            call = self._counts.pop(identity, 0) + 1
            self._counts[identity] = call
            while len(self._counts) > self._most:
                self._counts.popitem(last=False)
            return call

    def _forget(self, identity: str) -> None:
        with self._lock:
            self._counts.pop(identity, None)

"""What the batches of every provider have in common here: a record on the shelf, a state that
follows from it and the clock, and results that are made line by line while they are read.

A batch stays where it is when the process ends, for nothing of it is in the process: `created_at`
and the marks on the shelf say how it stands.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import string
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Literal

import httpx

from shared.domain import Json
from shared.sandbox.directives import Directive, of_batch, once
from shared.sandbox.faults import PAGE
from shared.sandbox.shelf import Shelf

VALIDATED_S = 0.5
LASTS_S = 2.0
CANCELLED_S = 1.0
"""How long a batch is looked at, how long it takes in all, and how long cancelling takes."""
DIGITS = string.digits + string.ascii_lowercase
UNKNOWN_END = 2**53 - 1
"""The last byte of a part whose end is not known yet, as RFC 8673 has it."""
GOOD, BAD, LATE, WEB_PAGE, LOST = "gblwm"
"""What becomes of a request: it is answered, or refused; it is too late when the batch expires; its
line is a web page, or missing."""

Phase = Literal[
    "validating", "running", "cancelling", "succeeded", "failed", "expired", "cancelled"
]
Make = Callable[[int], bytes]


@dataclass(frozen=True)
class Batch:
    """A batch as it was created: how long it takes, how it ends ("succeeded", "failed", "expired")
    if nobody cancels it, a letter for what becomes of each request, the name of the content that
    holds the requests, and what its provider has to tell of it."""

    id: str
    created_at: datetime
    lasts_s: float
    end: str
    fates: str
    content: str
    about: Mapping[str, Json]


@dataclass(frozen=True)
class Standing:
    """How a batch stands: since when it is in which phase, when it was validated, from when on it
    was cancelled, and how many of its requests, the first ones, have been worked on."""

    phase: Phase
    since: datetime
    validated_at: datetime
    done: int
    cancelled_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.phase in ("succeeded", "failed", "expired", "cancelled")


@dataclass(frozen=True)
class Will:
    """What the directives of a batch and its items come to."""

    lasts_s: float
    end: str


def will(asked: Sequence[Directive], provider: str) -> Will:
    """How long a batch takes whose texts hold these directives, and how it ends."""
    named = of_batch(asked, provider)
    end = next((name for name in ("failed", "expired") if name in named), "succeeded")
    return Will(once(asked, provider).delay_s or LASTS_S, end)


def fate(asked: Sequence[Directive], provider: str, refused: bool) -> str:
    """What becomes of a request with these directives."""
    named = of_batch(asked, provider)
    if "expired" in named:
        return LATE
    if "missing" in named:
        return LOST
    if refused:
        return BAD
    return WEB_PAGE if "html" in named else GOOD


def standing(batch: Batch, now: datetime, cancelled_at: datetime | None) -> Standing:
    """How it stands now, if it was cancelled then."""
    validated_at = batch.created_at + timedelta(seconds=min(VALIDATED_S, batch.lasts_s / 4))
    end_at = validated_at
    if batch.end != "failed":
        end_at = batch.created_at + timedelta(seconds=batch.lasts_s)

    def worked(moment: datetime) -> int:
        if moment <= validated_at or batch.end == "failed":
            return 0
        share = (moment - validated_at) / (end_at - validated_at)
        return int(len(batch.fates) * min(1.0, share))

    if cancelled_at is not None and cancelled_at < end_at:
        stopped_at, done = cancelled_at + timedelta(seconds=CANCELLED_S), worked(cancelled_at)
        if now < stopped_at:
            return Standing("cancelling", cancelled_at, validated_at, done, cancelled_at)
        return Standing("cancelled", stopped_at, validated_at, done, cancelled_at)
    if now < min(validated_at, end_at):
        return Standing("validating", batch.created_at, validated_at, 0)
    if now < end_at:
        return Standing("running", validated_at, validated_at, worked(now))
    ends: dict[str, Phase] = {"failed": "failed", "expired": "expired"}
    phase = ends.get(batch.end, "succeeded")
    return Standing(phase, end_at, validated_at, worked(end_at))


def stamp(now: datetime, length: int) -> str:
    """A name of small letters and digits that nothing else has, and that sorts by time."""
    micros, digits = int(now.timestamp() * 1_000_000), ""
    while micros:
        micros, digit = divmod(micros, len(DIGITS))
        digits = DIGITS[digit] + digits
    return digits + "".join(secrets.choice(DIGITS) for _ in range(length - len(digits)))


class Register:
    """The batches of one provider on a shelf. Thread-safe."""

    def __init__(self, shelf: Shelf, clock: Callable[[], datetime], provider: str) -> None:
        self._shelf = shelf
        self._clock = clock
        self._provider = provider

    def add(self, batch: Batch) -> None:
        """Put a new one on record."""
        fields = asdict(batch) | {"created_at": batch.created_at.isoformat()}
        self._shelf.put(self._name("batches", batch.id), json.dumps(fields).encode())

    def find(self, batch_id: str) -> Batch | None:
        """The batch of that id."""
        data = self._shelf.get(self._name("batches", batch_id))
        if data is None:
            return None
        fields = json.loads(data)
        created_at = datetime.fromisoformat(fields.pop("created_at"))
        return Batch(created_at=created_at, **fields)

    def newest(self) -> list[str]:
        """The id of every batch, newest first."""
        names = self._shelf.list(self._name("batches", ""))
        return sorted((name.rpartition("/")[2] for name in names), reverse=True)

    def standing(self, batch: Batch) -> Standing:
        """How it stands by now."""
        data = self._shelf.get(self._name("cancelled", batch.id))
        cancelled_at = datetime.fromisoformat(data.decode()) if data else None
        return standing(batch, self._clock(), cancelled_at)

    def cancel(self, batch: Batch) -> None:
        """Stop it. The first who does so sets the time."""
        now = self._clock().isoformat()
        self._shelf.put(self._name("cancelled", batch.id), now.encode())

    def delete(self, batch: Batch) -> None:
        """Forget it."""
        self._shelf.delete(self._name("batches", batch.id))
        self._shelf.delete(self._name("cancelled", batch.id))

    def forget_results(self, file_id: str) -> None:
        """Delete a file of results."""
        self._shelf.put(self._name("forgotten", file_id), b"")

    def forgot_results(self, file_id: str) -> bool:
        """Whether a file of results was deleted."""
        return self._shelf.get(self._name("forgotten", file_id)) is not None

    def _name(self, folder: str, name: str) -> str:
        return f"{self._provider}/{folder}/{name}"


class Lengths:
    """How long the lines of a file of results are, as far as they have been made."""

    def __init__(self, lines: int) -> None:
        self._known = array("q", [-1]) * lines

    @property
    def size(self) -> int | None:
        """The bytes of the whole file, None as long as a line has not been made."""
        return None if -1 in self._known else sum(self._known)

    def read(self, make: Make, start: int) -> Iterator[bytes]:
        """The file from byte `start` on, a line at a time. Lines before it are made only if nobody
        knows how long they are."""
        for number in range(len(self._known)):
            known = self._known[number]
            if 0 <= known <= start:
                start -= known
                continue
            line = make(number)
            self._known[number] = len(line)
            if start < len(line):
                yield line[start:] if start else line
            start = max(0, start - len(line))


class Readings:
    """The lengths of the latest `most` files of results. Thread-safe."""

    def __init__(self, most: int = 128) -> None:
        self._most = most
        self._lengths: OrderedDict[str, Lengths] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, file_id: str, lines: int) -> Lengths:
        """Those of a file with so many lines."""
        with self._lock:
            found = self._lengths.pop(file_id, None) or Lengths(lines)
            self._lengths[file_id] = found
            while len(self._lengths) > self._most:
                self._lengths.popitem(last=False)
            return found


class Pieces(httpx.SyncByteStream):
    """A body that is made while it is sent."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


def download(
    request: httpx.Request, lengths: Lengths, make: Make, headers: Mapping[str, str]
) -> httpx.Response:
    """The file of which `make` makes each line, or the part that `Range: bytes=N-` asks for. Other
    ranges are answered with the whole."""
    unit, _, rest = request.headers.get("range", "").partition("=")
    start = rest.removesuffix("-")
    size = lengths.size
    if unit != "bytes" or not rest.endswith("-") or not start.isdecimal() or len(start) > 18:
        whole = {} if size is None else {"content-length": str(size)}
        return httpx.Response(
            200, headers={**headers, **whole}, stream=Pieces(lengths.read(make, 0))
        )
    pieces = lengths.read(make, int(start))
    first = next(pieces, None)
    if first is None:
        return httpx.Response(416, headers={"content-range": f"bytes */{lengths.size}"})
    last = UNKNOWN_END if size is None else size - 1
    part = {"content-range": f"bytes {start}-{last}/{'*' if size is None else size}"}
    if size is not None:
        part["content-length"] = str(size - int(start))
    return httpx.Response(206, headers={**headers, **part}, stream=Pieces(chain([first], pieces)))


def requests(content: bytes) -> list[tuple[int, int, int]]:
    """Where the lines of a JSONL file are that hold something: their number from 1 on, where they
    begin, and where they end."""
    found, start, number = [], 0, 0
    while start < len(content):
        number += 1
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        if content[start:end].strip():
            found.append((number, start, end))
        start = end + 1
    return found


def shuffled(batch: Batch, indices: Sequence[int]) -> list[int]:
    """The order in which the results of these requests stand in a file: another for each batch."""

    def place(index: int) -> bytes:
        return hashlib.sha256(f"{batch.id} {index}".encode()).digest()

    return sorted(indices, key=place)


def lines(batch: Batch, order: Sequence[int], answer: Make) -> Make:
    """How the lines of a file are made: `answer` makes that of a request."""

    def make(number: int) -> bytes:
        index = order[number]
        return PAGE if batch.fates[index] == WEB_PAGE else answer(index)

    return make

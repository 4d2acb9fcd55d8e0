"""What 3D AI Studio remembers: tasks and what they made, and the wallet of each key. Both are kept
in memory, the latest of them only."""

from __future__ import annotations

import io
import struct
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import ClassVar

from PIL import Image

from shared.domain import Json
from shared.sandbox.faults import PAGE
from shared.sandbox.painter import Picture, Source, look, paint
from shared.sandbox.solid import Solid

MOST = 1024
"""Tasks, and keys, that are remembered."""
CREDITS = Decimal(100_000)
"""In a new wallet, and in one that was empty: a sandbox never sends anybody shopping."""
RATE = 3
"""Requests a minute of a new account."""
LIFE = timedelta(hours=24)
"""Of a picture's address."""
KEPT = 256
"""The long side in pixels of what is kept of a picture that was sent."""


@dataclass(frozen=True)
class Sketch:
    """A picture that is painted once it is fetched. `format` is png, jpeg or webp; `sources` are
    small JPEGs; `spoilt` says that there is no picture in it."""

    asset_type: ClassVar = "IMAGE"

    key: bytes
    model: str
    caption: str
    size: tuple[int, int]
    format: str
    sources: tuple[bytes, ...] = field(default=(), repr=False)
    min_bytes: int = 0
    spoilt: bool = False

    def file(self) -> bytes:
        """The bytes to be fetched."""
        if self.spoilt:
            return PAGE
        picture = Picture(
            key=self.key,
            model=self.model,
            caption=self.caption,
            size=self.size,
            format="jpeg" if self.format == "jpeg" else "png",
            sources=tuple(map(look, self.sources)),
            min_bytes=0 if self.format == "webp" else self.min_bytes,
        )
        data = paint(picture)
        return _webp(data, self.min_bytes) if self.format == "webp" else data


@dataclass
class Task:
    """One submission. `stages` are what look after look shows, the last one for ever: a status, or
    "LATE" and "EMPTY" for a finished task whose results have no addresses, or are not there. The
    files are called by `extensions`, one for each sketch."""

    id: str
    owner: str
    created_at: datetime
    stages: tuple[str, ...]
    sketches: tuple[Sketch | Solid, ...]
    extensions: tuple[str, ...]
    credits: Decimal
    reason: str | None = None
    looks: int = 0
    refunded: bool = False

    def progress(self, stage: str, assets: str) -> dict[str, Json]:
        """The body that shows a stage. `assets` is the address under which its files lie."""
        finished = stage in ("LATE", "EMPTY", "FINISHED")
        lies = [
            f"{assets}{self.id}-{number}.{extension}" if stage == "FINISHED" else None
            for number, extension in enumerate(self.extensions)
        ]
        results: list[Json] = [
            {"asset": lie, "asset_type": sketch.asset_type, "metadata": None}
            for lie, sketch in zip(lies, self.sketches, strict=True)
        ]
        return {
            "status": "FINISHED" if finished else stage,
            "progress": 100 if finished else {"PENDING": 0, "IN_PROGRESS": 50}.get(stage, 0),
            "failure_reason": self.reason if stage == "FAILED" else None,
            "results": results if stage in ("LATE", "FINISHED") else [],
        }


class Tasks:
    """The latest tasks, by id. Thread-safe."""

    def __init__(self) -> None:
        self._tasks: OrderedDict[str, Task] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, task: Task) -> None:
        """Remember a task."""
        with self._lock:
            self._tasks[task.id] = task
            while len(self._tasks) > MOST:
                self._tasks.popitem(last=False)

    def find(self, task_id: str) -> Task | None:
        """The task of that id, whoever asks."""
        with self._lock:
            return self._tasks.get(task_id)

    def look(self, task_id: str, owner: str) -> tuple[Task, str, Decimal] | None:
        """An owner's task, its stage at this look, and the credits that are paid back with it."""
        with self._lock:
            task = self._tasks.get(task_id)
            if task is None or task.owner != owner:
                return None
            stage = task.stages[min(task.looks, len(task.stages) - 1)]
            task.looks += 1
            refund = task.credits if stage == "FAILED" and not task.refunded else Decimal(0)
            task.refunded = task.refunded or bool(refund)
            return task, stage, refund


@dataclass
class _Account:
    balance: Decimal
    recent: deque[datetime] = field(default_factory=deque)


class Accounts:
    """The wallet and the latest requests of each key. Thread-safe."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._lock = threading.Lock()

    def balance(self, owner: str, *, poor: bool) -> Decimal:
        """The credits in a wallet. A poor one has none."""
        with self._lock:
            return self._of(owner, poor=poor).balance

    def pay(self, owner: str, credits: Decimal, *, poor: bool) -> bool:
        """Take credits, or, where there are too few, say so. Negative ones are paid back."""
        with self._lock:
            account = self._of(owner, poor=poor)
            if account.balance < credits:
                if poor:
                    return False
                account.balance = CREDITS
            account.balance -= credits
            return True

    def admit(self, owner: str, now: datetime) -> bool:
        """Whether the limit has room for one more request, which then counts."""
        with self._lock:
            recent = self._of(owner, poor=False).recent
            while recent and now - recent[0] >= timedelta(minutes=1):
                recent.popleft()
            if len(recent) >= RATE:
                return False
            recent.append(now)
            return True

    def _of(self, owner: str, *, poor: bool) -> _Account:
        account = self._accounts.pop(owner, None) or _Account(Decimal(0) if poor else CREDITS)
        self._accounts[owner] = account
        while len(self._accounts) > MOST:
            self._accounts.popitem(last=False)
        return account


def small(source: Source) -> tuple[bytes, ...]:
    """What is kept of a picture that was sent: a JPEG of its small copy, if there is one."""
    if source.thumbnail is None:
        return ()
    kept, file = source.thumbnail.copy(), io.BytesIO()
    kept.thumbnail((KEPT, KEPT))
    kept.save(file, "JPEG", quality=80)
    return (file.getvalue(),)


def _webp(png: bytes, min_bytes: int) -> bytes:
    """A picture as WebP, at least `min_bytes` long by a chunk that readers pass over."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.save(file, "WEBP", quality=85)
    data = file.getvalue()
    missing = min_bytes - len(data)
    if missing <= 0:
        return data
    room = missing + missing % 2
    padded = data + b"paDd" + struct.pack("<I", room) + bytes(room)
    return padded[:4] + struct.pack("<I", len(padded) - 8) + padded[8:]

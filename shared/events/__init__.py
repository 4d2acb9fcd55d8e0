"""What makes things go on: a message says which request or batch to look at. Two backends satisfy
`Events`: `pubsub` and `local`; one contract suite runs on both.

Delivery is at least once, in any order: who is told to look does what is due then, and nothing
when nothing is. A message that is lost is made up for by `sweep`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

Topic = Literal["requests", "batch-callbacks", "sweep"]
TOPICS: tuple[Topic, ...] = ("requests", "batch-callbacks")
"""Those that we publish to; the clock publishes to the other."""


@dataclass(frozen=True)
class Event:
    """Look at `subject`, a request's or a batch's id, of that account."""

    topic: Topic
    account_id: str
    subject: str


@dataclass(frozen=True)
class Dead:
    """An event that failed too often. `id` is the backend's, to replay it by; `error` says how it
    failed the last time, where the backend knows."""

    id: str
    event: Event
    tries: int
    died_at: datetime
    error: str | None = None


Deliver = Callable[[Event], Awaitable[None]]
"""Has the function that an event's topic names do what is due; raises if that failed."""


class Events(Protocol):
    """The backend's contract."""

    async def publish(self, event: Event) -> None:
        """Have it delivered soon, to the function that its topic names; once this returns it is
        not lost."""

    async def dead(self, limit: int) -> Sequence[Dead]:
        """Events that failed too often, of every topic, oldest first."""

    async def replay(self, dead_id: str) -> bool:
        """Deliver a dead event again, with all its tries; False if there is none of that id."""

    async def close(self) -> None: ...


@runtime_checkable
class Pumped(Protocol):
    """A queue that delivers in the process that serves, instead of pushing from outside."""

    async def pump(self, deliver: Deliver) -> None:
        """Deliver whatever is due until this is cancelled."""

    async def deliver_due(self, deliver: Deliver) -> int:
        """Try what is due now, and return how many were tried."""

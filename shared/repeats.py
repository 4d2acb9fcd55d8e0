"""What a client sends again because no answer came. SDKs repeat a POST that failed or took too long
without a key that says so, and count the repeats in a header (`x-stainless-retry-count`; openai
3.52). The first try's answer is found by the hash of the body, so that nothing is paid twice.

What is repeated may also have been refused, and then there is no record of it but here, in this
process; an older answer to the same body is not what its sender waits for."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from shared import log
from shared.domain import Caller, Operation, Record
from shared.errors import DarkroomError, OutcomeUnknown
from shared.records import RequestFilter

if TYPE_CHECKING:
    # The App keeps the tries.
    from shared.app import App

LOST = timedelta(seconds=30)
"""How long ago an answer may have been given that did not arrive: SDKs wait at most eight seconds
before they repeat by themselves."""
AGAIN = timedelta(seconds=150)
"""How long ago a try may have been refused, or have failed, that is repeated: openai-python waits
at most two minutes when it is told to."""
WINDOW = timedelta(minutes=20)
"""How far back the first try may lie: an SDK's ten minutes, and what a late one may take on top."""
_PAGE = 50
_PAGES = 4
_LOOK_S = 1.0
_LONGEST_LOOK_S = 5.0
_REMEMBERED = 10_000
_ALIKE = 16
T = TypeVar("T")
Sent = tuple[str, str]
"""A key's id and the hash of a body: what is sent again."""


class Tries:
    """What this process knows of what was sent to it: which requests are on their way in, under
    which ids they were let in, how many were refused, and whose sender was told that it takes
    longer. Several may have been sent alike at once."""

    def __init__(self) -> None:
        self._entering: dict[Sent, set[asyncio.Event]] = {}
        self._let_in: OrderedDict[Sent, deque[str]] = OrderedDict()
        self._refused: OrderedDict[Sent, deque[datetime]] = OrderedDict()
        self._late: OrderedDict[Sent, None] = OrderedDict()

    @contextmanager
    def entering(self, sent: Sent, request_id: str, now: datetime) -> Iterator[None]:
        """While a request is let in, or refused."""
        through = asyncio.Event()
        self._entering.setdefault(sent, set()).add(through)
        self._late.pop(sent, None)
        try:
            yield
            ids = self._let_in.get(sent, deque(maxlen=_ALIKE))
            if request_id not in ids:
                ids.append(request_id)
            _remember(self._let_in, sent, ids)
        except DarkroomError:
            times = self._refused.get(sent, deque(maxlen=_ALIKE))
            times.append(now)
            _remember(self._refused, sent, times)
            raise
        finally:
            through.set()
            self._entering[sent].discard(through)
            if not self._entering[sent]:
                del self._entering[sent]

    async def through(self, sent: Sent) -> None:
        """Wait until what is on its way in is in, or refused."""
        for one in tuple(self._entering.get(sent, ())):
            await one.wait()

    def refused(self, sent: Sent, now: datetime) -> bool:
        """Whether one of these was refused just now and has not been sent again yet; now it has."""
        times = self._refused.get(sent, deque())
        while times:
            if times.popleft() >= now - AGAIN:
                return True
        return False

    def let_in(self, sent: Sent) -> tuple[str, ...]:
        """The ids under which these were let in. Whoever asks is given another one first, so that
        all who send them again find one each."""
        ids = self._let_in.get(sent, deque())
        ids.rotate(-1)
        return tuple(reversed(ids))

    def forget(self, sent: Sent, request_id: str) -> None:
        """Nobody waits for this one any more."""
        ids = self._let_in.get(sent, deque())
        if request_id in ids:
            ids.remove(request_id)

    def late(self, sent: Sent) -> bool:
        """Whether its sender was told that it is not finished, and has not come back since."""
        return sent in self._late

    def told_late(self, sent: Sent) -> None:
        """Its sender is told so now."""
        _remember(self._late, sent, None)


async def find(app: App, caller: Caller, fingerprint: str, operation: Operation) -> Record | None:
    """The first try of what is sent again: a request of this key with the same body that still
    runs, or whose answer may have been lost on the way. Otherwise nobody waits for it."""
    sent = (caller.key_id, fingerprint)
    await app.tries.through(sent)
    now = app.clock()
    if app.tries.refused(sent, now):
        return None
    known = app.tries.let_in(sent)
    found = await asyncio.gather(*(app.records.request(caller.account_id, one) for one in known))
    records = [record for record in found if record is not None]
    for record in records:
        if not record.open and record.status != "succeeded":
            app.tries.forget(sent, record.id)
            if record.completed_at is not None and record.completed_at >= now - AGAIN:
                return None
    awaited = [record for record in records if _awaited(record, now)]
    if awaited:
        return awaited[0]
    latest = await _elsewhere(app, caller, fingerprint, operation)
    return latest if latest is not None and _awaited(latest, now) else None


def _awaited(record: Record, now: datetime) -> bool:
    """Whether somebody may wait for its answer still."""
    ended = record.completed_at
    lost = record.status == "succeeded" and ended is not None and ended >= now - LOST
    return record.open or lost


async def _elsewhere(
    app: App, caller: Caller, fingerprint: str, operation: Operation
) -> Record | None:
    """The latest request of this key with the same body, whichever process let it in."""
    since, cursor = app.clock() - WINDOW, None
    for _ in range(_PAGES):
        where = RequestFilter(operation=operation)
        page = await app.records.requests(caller.account_id, where, _PAGE, cursor)
        for record in page.items:
            if record.created_at < since:
                return None
            if (record.key_id, record.fingerprint) == (caller.key_id, fingerprint):
                return record
        cursor = page.cursor
        if cursor is None:
            return None
    log.event("repeat.not_found_among_so_many", severity="WARNING", looked_at=_PAGE * _PAGES)
    return None


async def ended(app: App, record: Record, deadline: float) -> Record:
    """The record once it has ended, wherever it runs. Raises OutcomeUnknown at the deadline."""
    pause_s = _LOOK_S
    await app.wait_for(record.id, deadline)
    while True:
        record = await app.records.request(record.account_id, record.id) or record
        if not record.open:
            return record
        if asyncio.get_running_loop().time() >= deadline:
            raise OutcomeUnknown("This request is not finished yet. It goes on.")
        await app.sleep(pause_s)
        pause_s = min(_LONGEST_LOOK_S, pause_s * 1.5)


def _remember(kept: OrderedDict[Sent, T], sent: Sent, what: T) -> None:
    kept[sent] = what
    kept.move_to_end(sent)
    while len(kept) > _REMEMBERED:
        kept.popitem(last=False)

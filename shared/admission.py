"""Admit a request: decide from what was read, write it if nothing changed meanwhile, else look
again. Two round trips when nobody interferes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from random import Random

from shared import ledger
from shared.domain import Record
from shared.errors import ProviderUnavailable
from shared.ledger import Standing
from shared.records import Records, Stale

_TRIES = 40
_FIRST_WAIT_S = 0.01
_LONGEST_WAIT_S = 0.5


class Taken(Exception):
    """Another request with the same id was admitted first; `record` is that one."""

    def __init__(self, record: Record) -> None:
        super().__init__(record.id)
        self.record = record


async def reserve(
    records: Records,
    standing: Standing,
    draft: Record,
    clock: Callable[[], datetime],
    random: Random,
    sleep: Callable[[float], Awaitable[None]],
) -> Record:
    """Write the draft as a running record with its hold. Raises Taken, RateLimited,
    QuotaExceeded, InsufficientCredit; ProviderUnavailable when others always come first."""
    for attempt in range(_TRIES):
        if standing.request is not None:
            raise Taken(standing.request)
        reservation = ledger.reserve(standing, draft.quote.micros, clock(), random)
        try:
            return await records.begin(replace(draft, hold=reservation.hold), reservation)
        except Stale:
            longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt)
            await sleep(random.uniform(0, longest))
            standing = await records.look(draft.account_id, draft.id)
    raise ProviderUnavailable("This account is very busy. Try again.", retry_after_s=1.0)

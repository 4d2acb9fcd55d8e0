"""Admit requests: decide from what was read, write it if nothing changed meanwhile, else look
again. Two round trips when nobody interferes.

Those of one account do not race each other: who comes while another is being written waits, and all
who wait are decided one after the other, first come first served, and written together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from random import Random

from shared import ledger
from shared.domain import Record
from shared.errors import DarkroomError, ProviderUnavailable
from shared.groups import Groups
from shared.ledger import Reservation, Standing
from shared.records import Records, Stale

MOST_TOGETHER = 50
_TRIES = 40
_FIRST_WAIT_S = 0.01
_LONGEST_WAIT_S = 0.5

Wish = tuple[Standing, Record]
"""What was read of the account, and the record that is to be, its hold still empty."""


class Taken(Exception):
    """Another request with the same id was admitted first; `record` is that one."""

    def __init__(self, record: Record) -> None:
        super().__init__(record.id)
        self.record = record


class Admission:
    """The way in for every request of this process."""

    def __init__(
        self,
        records: Records,
        clock: Callable[[], datetime],
        random: Random,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._records = records
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._groups = Groups(self._admitted, MOST_TOGETHER)

    async def reserve(self, standing: Standing, draft: Record) -> Record:
        """Write the draft as an open record with its hold. Raises Taken, RateLimited,
        QuotaExceeded, InsufficientCredit; ProviderUnavailable when others always come first."""
        return await self._groups.ask(draft.account_id, (standing, draft))

    async def _admitted(self, wishes: Sequence[Wish], late: bool) -> Sequence[Record | Exception]:
        """What becomes of each. Nobody is refused for what was not written in the end."""
        standings: Sequence[Standing] = [standing for standing, _ in wishes]
        drafts = [draft for _, draft in wishes]
        for attempt in range(_TRIES):
            if attempt or late or len(wishes) > 1:
                # What each has read is of another moment, and of before the last write.
                ids = [draft.id for draft in drafts]
                standings = await self._records.look_for(drafts[0].account_id, ids)
            decided = self._decided(standings, drafts)
            try:
                return await self._written(decided)
            except Stale:
                longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt)
                await self._sleep(self._random.uniform(0, longest))
            except ValueError:
                if len(wishes) == 1:
                    raise
                # One that cannot be stored is not to keep the others out.
                return [one for wish in wishes for one in await self._alone(wish)]
        busy = "This account is very busy. Try again."
        return [ProviderUnavailable(busy, retry_after_s=1.0) for _ in wishes]

    async def _alone(self, wish: Wish) -> Sequence[Record | Exception]:
        try:
            return await self._admitted([wish], late=True)
        except Exception as error:
            return [error]

    def _decided(
        self, standings: Sequence[Standing], drafts: Sequence[Record]
    ) -> list[tuple[Record, Reservation] | Exception]:
        """Each on what the one before left; whatever has the id of an earlier one waits for it."""
        wallet, now = standings[-1], self._clock()
        decided: list[tuple[Record, Reservation] | Exception] = []
        held: dict[str, tuple[Record, Reservation]] = {}
        near: frozenset[int] = frozenset()
        for standing, draft in zip(standings, drafts, strict=True):
            if standing.request is not None:
                decided.append(Taken(standing.request))
                continue
            if draft.id not in held:
                try:
                    taken = ledger.reserve(wallet, draft.quote.micros, now, self._random, near=near)
                except DarkroomError as refused:
                    decided.append(refused)
                    continue
                wallet, near = _after(taken, wallet), near | {s.index for s in taken.shards}
                held[draft.id] = replace(draft, hold=taken.hold), taken
            decided.append(held[draft.id])
        return decided

    async def _written(
        self, decided: Sequence[tuple[Record, Reservation] | Exception]
    ) -> Sequence[Record | Exception]:
        """Raises Stale, ValueError; nothing is written then."""
        held = {one[0].id: one for one in decided if isinstance(one, tuple)}
        begun = await self._records.begin(list(held.values())) if held else ()
        records = {record.id: record for record in begun}
        outcomes: list[Record | Exception] = []
        for one in decided:
            if not isinstance(one, tuple):
                outcomes.append(one)
            elif one[0].id in held:
                # The first of its id.
                del held[one[0].id]
                outcomes.append(records[one[0].id])
            else:
                outcomes.append(Taken(records[one[0].id]))
        return outcomes


def _after(taken: Reservation, standing: Standing) -> Standing:
    """The standing as a reservation leaves it to whoever comes next."""
    changed = {shard.index: shard for shard in taken.shards}
    return replace(standing, shards=tuple(changed.get(s.index, s) for s in standing.shards))

"""Leave for every call to a provider account with limits: decide from its meter, write it if no
other instance came first, else look again. Two round trips when nobody interferes, and none for
an account without limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from random import Random

from shared import log, pacing
from shared.catalogue.rows import Provider
from shared.errors import ProviderUnavailable
from shared.pacing import Meter, Taken
from shared.records import Records, Stale

_TRIES = 40
_FIRST_WAIT_S = 0.01
_LONGEST_WAIT_S = 0.5


class Pacer:
    """Takes and gives back on the meters in `records`, which all instances share."""

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

    async def take(self, account: Provider, micros: int, patience_s: float) -> Taken | None:
        """Leave for one call that may cost `micros`, to go `wait_s` after this returns, which is
        at most `patience_s` from now; None when the account has no limits. Raises RateLimited,
        QuotaExceeded; ProviderUnavailable when others always come first."""
        if account.rpm is None and account.free is None and account.daily_usd is None:
            return None
        asked = self._clock()
        for attempt in range(_TRIES):
            meter = await self._records.meter(account.id)
            now = self._clock()
            patience_left_s = max(0.0, patience_s - (now - asked).total_seconds())
            taken = pacing.take(meter, account, micros, now, patience_left_s)
            if await self._written(account, taken.meter, attempt):
                written_s = (self._clock() - now).total_seconds()
                return replace(taken, wait_s=max(0.0, taken.wait_s - written_s))
        raise ProviderUnavailable(
            f"{account.name} is in great demand here. Try again.",
            retry_after_s=1.0,
            provider=account.id,
        )

    async def give_back(
        self, taken: Taken, account: Provider, spent_micros: int, used: bool
    ) -> None:
        """Say what a call cost, 0 if the provider did nothing, and whether it counted as one.
        A failure is logged: the count then stays too high until its window ends."""
        if pacing.give_back(taken.meter, taken, account, spent_micros, used) == taken.meter:
            return
        try:
            for attempt in range(_TRIES):
                meter = await self._records.meter(account.id)
                after = pacing.give_back(meter, taken, account, spent_micros, used)
                if after == meter or await self._written(account, after, attempt):
                    return
            cause = "others always came first"
        except Exception as error:
            cause = repr(error)
        log.event("pacing.not_given_back", severity="WARNING", provider=account.id, cause=cause)

    async def _written(self, account: Provider, meter: Meter, attempt: int) -> bool:
        """Whether the meter was written; if not, after a while in which others may finish."""
        try:
            await self._records.put_meter(account.id, meter)
        except Stale:
            longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt)
            await self._sleep(self._random.uniform(0, longest))
            return False
        return True

"""Credit and quota arithmetic, pure: what an account has, what a hold takes, what its end gives
back. Amounts are integer micro-dollars.

An account's wallet is a few shards, each with its share of every grant and of every quota, so
that a busy account is not one document. A hold takes its places in the quotas from one shard and
its credit from as many as it needs, oldest grant first. Only the shards it changes are guarded
when it is written, so two holds meet only where they took from the same shard, and no shard can
be overdrawn. That keeps quotas exact as long as every shard stays within its share of them; a
hold that leaves one beyond its share guards the whole wallet, whose sum is what was checked.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

from shared.domain import Account, Hold, Limits, Part, Record
from shared.errors import InsufficientCredit, QuotaExceeded, RateLimited
from shared.pricing import usd

CREDIT_LIFE = timedelta(days=365)
CLOCK_SKEW = timedelta(minutes=5)
"""A window further ahead than this was counted by a clock that was wrong."""
_NO_LIMITS = Limits()
MAX_SHARDS = 8
"""Few enough to be read together with the account and the request in one call."""


@dataclass(frozen=True)
class Lot:
    """What is left of a grant in one shard."""

    micros: int
    expires_at: datetime


@dataclass(frozen=True)
class Shard:
    """One document of a wallet: its lots by grant, and what its share of the quotas has used.

    `minute` and `day` are the windows counted ("2026-11-21T10:05", "2026-11-21"), which only move
    forward while the clocks of two instances differ by less than CLOCK_SKEW; `spent` maps a month
    ("2026-11") to the micro-dollars held or charged in it; `running` counts open holds, and `held`
    is what they took from the lots here. `version` is the backend's token for the stored state.
    """

    index: int
    lots: Mapping[str, Lot] = field(default_factory=dict)
    minute: str = ""
    minute_count: int = 0
    day: str = ""
    day_count: int = 0
    spent: Mapping[str, int] = field(default_factory=dict)
    running: int = 0
    held: int = 0
    version: str = ""

    def in_minute(self, now: datetime) -> int:
        """Requests admitted in the current minute."""
        first, last, *_ = _windows(now)
        return self.minute_count if first <= self.minute <= last else 0

    def in_day(self, now: datetime) -> int:
        """Requests admitted in the current UTC day."""
        *_, first, last = _windows(now)
        return self.day_count if first <= self.day <= last else 0

    def in_month(self, now: datetime) -> int:
        """Micro-dollars held or charged in the current UTC month."""
        return self.spent.get(month_of(now), 0)


@dataclass(frozen=True)
class Standing:
    """An account at one moment: its limits, its wallet, and the request already stored under the
    id now asked for, if there is one."""

    account: Account
    shards: tuple[Shard, ...]
    request: Record | None = None

    def available_micros(self, now: datetime) -> int:
        """Credit neither held nor expired."""
        return sum(
            lot.micros for s in self.shards for lot in s.lots.values() if lot.expires_at > now
        )

    def spendable_micros(self, now: datetime) -> int:
        """What of that this month's limit leaves."""
        limit = self.account.limits.monthly_micros
        left = self.available_micros(now)
        if limit is None:
            return left
        return min(left, limit - sum(s.in_month(now) for s in self.shards))

    def balance_micros(self) -> int:
        """The sum of the ledger: credit left, expired but not yet posted, or held."""
        return sum(s.held + sum(lot.micros for lot in s.lots.values()) for s in self.shards)


@dataclass(frozen=True)
class Expired:
    """Credit that ran out unused: to be written as an `expiry` entry."""

    grant_id: str
    micros: int


@dataclass(frozen=True)
class Reservation:
    """What admitting a request changes: the hold, the shards to guard, as they were `seen` and as
    they will be, and credit found to have expired in them. Writing a guarded shard must give it a
    new version even where it stays as it was, or two holds that guard the same shards would not
    notice each other."""

    hold: Hold
    seen: tuple[Shard, ...]
    shards: tuple[Shard, ...]
    expired: tuple[Expired, ...] = ()


@dataclass(frozen=True)
class Posting:
    """What ending a hold changes: the charge, and the parts of the hold that return to their lots.
    Applied as increments, without reading."""

    charged_micros: int
    freed: tuple[Part, ...]


def minute_of(at: datetime) -> str:
    """The UTC minute, as shards name it."""
    return at.isoformat()[:16]


def day_of(at: datetime) -> str:
    """The UTC day, as shards name it."""
    return at.isoformat()[:10]


def month_of(at: datetime) -> str:
    """The UTC month, as shards name it."""
    return at.isoformat()[:7]


@functools.lru_cache(maxsize=8)
def _windows(now: datetime) -> tuple[str, str, str, str]:
    # One decision asks for those of the same moment dozens of times.
    ahead = now + CLOCK_SKEW
    return minute_of(now), minute_of(ahead), day_of(now), day_of(ahead)


def split(total: int, shards: int) -> tuple[int, ...]:
    """A whole amount in equal parts, the first ones a unit larger where it does not divide."""
    share, rest = divmod(total, shards)
    return tuple(share + (1 if i < rest else 0) for i in range(shards))


def reserve(
    standing: Standing,
    micros: int,
    now: datetime,
    random: Random,
    *,
    runs: bool = True,
    near: frozenset[int] = frozenset(),
) -> Reservation:
    """Take `micros` and one place in every quota; a batch, which takes a day, is not one that
    `runs` and takes none among the concurrent ones. Where there is a choice, from the shards that
    are `near`, written anyway. Raises RateLimited, QuotaExceeded or InsufficientCredit when the
    account as a whole cannot; never because one shard alone cannot."""
    _check_quotas(standing, now, runs=runs)
    _check_month(standing, micros, now)
    primary = _place(standing, micros, now, random, near)
    parts = _take(standing, micros, now, random, near | {primary.index})
    hold = Hold(micros=micros, parts=parts, shard=primary.index, month=month_of(now))
    here = touched(hold)
    after = tuple(
        _taken(s, hold, now, runs=runs) if s.index in here else s for s in standing.shards
    )
    alone = all(_within_its_share(s, standing.account, now) for s in after)
    guarded = [n for n, s in enumerate(after) if s.index in here or not alone]
    expired = tuple(
        Expired(grant, lot.micros)
        for s in standing.shards
        if s.index in here
        for grant, lot in s.lots.items()
        if lot.expires_at <= now and lot.micros
    )
    seen, changed = (tuple(shards[n] for n in guarded) for shards in (standing.shards, after))
    return Reservation(hold, seen, changed, expired)


def post(hold: Hold, charged_micros: int) -> Posting:
    """End a hold: charge at most what it holds, and free the rest, newest credit first, so that
    what is spent is the oldest."""
    if not 0 <= charged_micros <= hold.micros:
        raise ValueError(f"a hold of {hold.micros} cannot be charged {charged_micros}")
    free, freed = hold.micros - charged_micros, []
    for part in sorted(hold.parts, key=lambda p: (p.expires_at, p.grant_id), reverse=True):
        back = min(free, part.micros)
        if back:
            freed.append(replace(part, micros=back))
            free -= back
    return Posting(charged_micros, tuple(freed))


def draw(hold: Hold, charged_micros: int, freed_micros: int) -> tuple[Hold, Hold]:
    """A piece of a hold of which so much is to be charged and so much freed, and what is left of
    it: the piece has the oldest credit for the charge and the newest for the rest."""
    if charged_micros < 0 or freed_micros < 0 or charged_micros + freed_micros > hold.micros:
        raise ValueError(f"{charged_micros} + {freed_micros} cannot be drawn from {hold.micros}")
    oldest = sorted(hold.parts, key=lambda p: (p.expires_at, p.grant_id))
    left = {id(part): part.micros for part in oldest}
    drawn = {id(part): 0 for part in oldest}
    for parts, micros in ((oldest, charged_micros), (oldest[::-1], freed_micros)):
        need = micros
        for part in parts:
            took = min(need, left[id(part)])
            left[id(part)] -= took
            drawn[id(part)] += took
            need -= took
    piece = tuple(replace(p, micros=drawn[id(p)]) for p in hold.parts if drawn[id(p)])
    rest = tuple(replace(p, micros=left[id(p)]) for p in hold.parts if left[id(p)])
    micros = charged_micros + freed_micros
    return (
        replace(hold, micros=micros, parts=piece),
        replace(hold, micros=hold.micros - micros, parts=rest),
    )


def returned(shard: Shard, hold: Hold, posting: Posting, *, ran: bool = True) -> Shard:
    """The shard once a posting has given back its part of a hold, and the place of what `ran`. A
    lot that was cleared away as expired in the meantime comes back, to be found expired again."""
    lots, spent = dict(shard.lots), dict(shard.spent)
    for part in posting.freed:
        if part.shard == shard.index:
            left = lots[part.grant_id].micros if part.grant_id in lots else 0
            lots[part.grant_id] = Lot(left + part.micros, part.expires_at)
            spent[hold.month] = spent.get(hold.month, 0) - part.micros
    return replace(
        shard,
        lots=lots,
        spent=spent,
        running=shard.running - (ran and shard.index == hold.shard),
        held=shard.held - held_in(hold, shard.index),
    )


def touched(hold: Hold) -> frozenset[int]:
    """The shards a hold took anything from, which its end gives back to."""
    return frozenset({hold.shard, *(part.shard for part in hold.parts)})


def held_in(hold: Hold, shard: int) -> int:
    """What a hold took from one shard's lots."""
    return sum(part.micros for part in hold.parts if part.shard == shard)


def _check_quotas(standing: Standing, now: datetime, *, runs: bool) -> None:
    limits, shards = standing.account.limits, standing.shards
    if limits.rpm is not None and sum(s.in_minute(now) for s in shards) >= limits.rpm:
        raise RateLimited(
            f"This account may start {limits.rpm} requests a minute.",
            retry_after_s=float(60 - now.second),
            details={"limit": limits.rpm, "window": "minute"},
        )
    if limits.rpd is not None and sum(s.in_day(now) for s in shards) >= limits.rpd:
        raise QuotaExceeded(
            f"This account may start {limits.rpd} requests a day.",
            retry_after_s=_until_midnight_s(now),
            details={"limit": limits.rpd, "window": "day"},
        )
    running = sum(s.running for s in shards)
    if runs and limits.concurrency is not None and running >= limits.concurrency:
        raise RateLimited(
            f"This account may run {limits.concurrency} requests at once.",
            retry_after_s=1.0,
            details={"limit": limits.concurrency, "window": "concurrent"},
        )


def _place(
    standing: Standing, micros: int, now: datetime, random: Random, near: frozenset[int]
) -> Shard:
    """A shard with room in its share of every quota, a near one first; where none has any though
    the whole does, the least used."""

    def has_room(shard: Shard) -> bool:
        tried = _counted(_spending(shard, micros, month_of(now)), now, runs=True)
        return _within_its_share(tried, standing.account, now)

    free = standing.account.limits == _NO_LIMITS
    room = [s for s in standing.shards if free or has_room(s)]
    close = [s for s in room if s.index in near]
    return random.choice(close or room or [min(standing.shards, key=lambda s: s.running)])


def _within_its_share(shard: Shard, account: Account, now: datetime) -> bool:
    limits = account.limits
    if limits == _NO_LIMITS:
        return True
    counted = (
        (shard.in_minute(now), limits.rpm),
        (shard.in_day(now), limits.rpd),
        (shard.running, limits.concurrency),
        (shard.in_month(now), limits.monthly_micros),
    )
    return all(
        limit is None or used <= split(limit, account.shards)[shard.index]
        for used, limit in counted
    )


def _check_month(standing: Standing, micros: int, now: datetime) -> None:
    limit = standing.account.limits.monthly_micros
    if limit is None or micros == 0:
        return
    spent = sum(s.in_month(now) for s in standing.shards)
    if spent + micros > limit:
        next_month = (now.replace(day=1) + timedelta(days=32)).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        )
        raise QuotaExceeded(
            f"This request may cost ${usd(micros)}; of the ${usd(limit)} this account may spend "
            f"a month, ${usd(spent)} are spent or held.",
            retry_after_s=math.ceil((next_month - now).total_seconds()),
            details={"limit_usd": usd(limit), "spent_usd": usd(spent), "window": "month"},
        )


def _take(
    standing: Standing, micros: int, now: datetime, random: Random, near: frozenset[int]
) -> tuple[Part, ...]:
    """Credit for a hold, from the oldest grant first; within one, from a single shard where one
    has enough, a near one before others. Raises InsufficientCredit."""
    available = standing.available_micros(now)
    if available < micros:
        raise InsufficientCredit(
            f"This request may cost ${usd(micros)}, and the account has ${usd(available)}.",
            details={"needed_usd": usd(micros), "available_usd": usd(available)},
        )
    lots = [
        (lot.expires_at, grant, shard.index, lot.micros)
        for shard in standing.shards
        for grant, lot in shard.lots.items()
        if lot.expires_at > now and lot.micros > 0
    ]
    random.shuffle(lots)
    need = micros
    parts: list[Part] = []
    while need:
        oldest = min(lot[:2] for lot in lots)
        candidates = [lot for lot in lots if lot[:2] == oldest]
        enough = [lot for lot in candidates if lot[3] >= need]
        close = [lot for lot in enough if lot[2] in near]
        best = (close or enough or sorted(candidates, key=lambda lot: -lot[3]))[0]
        lots.remove(best)
        expires_at, grant, index, left = best
        parts.append(Part(index, grant, min(need, left), expires_at))
        need -= parts[-1].micros
    return tuple(parts)


def _taken(shard: Shard, hold: Hold, now: datetime, *, runs: bool) -> Shard:
    """The shard once a hold has taken its part: expired lots and past months gone."""
    lots = {g: lot for g, lot in shard.lots.items() if lot.expires_at > now}
    for part in hold.parts:
        if part.shard == shard.index:
            lot = lots[part.grant_id]
            lots[part.grant_id] = replace(lot, micros=lot.micros - part.micros)
    micros = held_in(hold, shard.index)
    taken = _spending(replace(shard, lots=lots, held=shard.held + micros), micros, hold.month)
    return _counted(taken, now, runs=runs) if shard.index == hold.shard else taken


def _spending(shard: Shard, micros: int, month: str) -> Shard:
    spent = {m: used for m, used in shard.spent.items() if m >= month}
    return replace(shard, spent={**spent, month: spent.get(month, 0) + micros})


def _counted(shard: Shard, now: datetime, *, runs: bool) -> Shard:
    """The shard with one more request in its windows, and among those running if it `runs`."""
    return replace(
        shard,
        minute=shard.minute if shard.in_minute(now) else minute_of(now),
        minute_count=shard.in_minute(now) + 1,
        day=shard.day if shard.in_day(now) else day_of(now),
        day_count=shard.in_day(now) + 1,
        running=shard.running + runs,
    )


def _until_midnight_s(now: datetime) -> float:
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return float(math.ceil((midnight - now).total_seconds()))

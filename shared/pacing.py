"""Pacing one provider account, pure: when its next call may go, whether that is free, and whether
the day's cap covers it. Amounts are integer micro-dollars, times aware UTC.

A call counts in the windows of the moment it goes, not of the one it was taken. Moments are given
in order, so windows only move forward while the clocks of two instances differ by less than
CLOCK_SKEW.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from shared.catalogue.rows import Allowance, Provider
from shared.errors import QuotaExceeded, RateLimited
from shared.ledger import CLOCK_SKEW, day_of, minute_of
from shared.pricing import usd

_MINUTE = timedelta(minutes=1)
_FARTHEST = timedelta(hours=1)
"""No moment further ahead is given, so one that lies there came from a clock that was wrong."""


@dataclass(frozen=True)
class Meter:
    """What one provider account has been asked for, by all instances together.

    `calls` are the moments of the last `rpm` calls, oldest first; those ahead are reserved. The
    windows are named as in "2026-11-21T10:05" and "2026-11-21": `free_day` in the allowance's zone,
    the others in UTC. `version` is the backend's token for the stored state, "" for none yet."""

    calls: tuple[datetime, ...] = ()
    free_day: str = ""
    free_day_count: int = 0
    free_minute: str = ""
    free_minute_count: int = 0
    spent_day: str = ""
    spent_micros: int = 0
    version: str = ""

    def today(self, account: Provider, now: datetime) -> Today:
        """What is used of the account's allowance and cap."""
        free = _free_in_day(self, account.free, now) if account.free else 0
        return Today(free, _spent(self, now))


@dataclass(frozen=True)
class Today:
    """The free calls and the micro-dollars of the current day."""

    free_calls: int
    spent_micros: int


@dataclass(frozen=True)
class Taken:
    """Leave to make one call: the meter with it counted, how long to wait first, whether it is
    part of the free allowance, and what was counted against the day's cap."""

    meter: Meter
    wait_s: float
    free: bool
    micros: int


def take(meter: Meter, account: Provider, micros: int, now: datetime, patience_s: float) -> Taken:
    """Count one call that may cost `micros`. Raises RateLimited when it could not go within
    `patience_s` or the free minute is used up, QuotaExceeded when the free day or the day's cap
    is; both say how long that lasts, in whole seconds, unless waiting would not help."""
    at = _next(meter, account, now)
    free = account.free is not None and _is_free(meter, account, account.free, at, now)
    counted = 0 if free or account.daily_usd is None else micros
    _check_cap(meter, account, counted, at, now)
    if at > now + min(timedelta(seconds=patience_s), _FARTHEST):
        raise RateLimited(
            f"{account.name} is called at most {account.rpm} times a minute, and no call is free "
            "in time.",
            retry_after_s=_seconds(at - now),
            provider=account.id,
            details={"limit": account.rpm, "window": "minute"},
        )
    after = meter if account.rpm is None else _called(meter, account.rpm, at, now)
    if free and account.free is not None:
        after = _freed(after, account.free, at)
    if account.daily_usd is not None:
        spent = _spent(after, at)
        day = after.spent_day if spent else day_of(at)
        after = replace(after, spent_day=day, spent_micros=spent + counted)
    return Taken(after, (at - now).total_seconds(), free, counted)


def give_back(
    meter: Meter, taken: Taken, account: Provider, spent_micros: int, used: bool
) -> Meter:
    """The meter once a call has ended: what it cost stands for what was counted, and a free call
    that the provider did not count is free again. A window that is over stays as it is, and the
    call's place in the minute stays taken."""
    before = taken.meter
    if account.daily_usd is not None and meter.spent_day == before.spent_day:
        spent = max(0, meter.spent_micros - taken.micros + spent_micros)
        meter = replace(meter, spent_micros=spent)
    if not taken.free or used or spent_micros:
        return meter
    if meter.free_day == before.free_day:
        meter = replace(meter, free_day_count=max(0, meter.free_day_count - 1))
    if meter.free_minute == before.free_minute:
        meter = replace(meter, free_minute_count=max(0, meter.free_minute_count - 1))
    return meter


def _next(meter: Meter, account: Provider, now: datetime) -> datetime:
    """The first moment from now on at which a call keeps to the account's calls a minute."""
    if account.rpm is None:
        return now
    calls = _believed(meter, now)
    full = [calls[-account.rpm] + _MINUTE] if len(calls) >= account.rpm else []
    return max([now, *calls[-1:], *full])


def _called(meter: Meter, rpm: int, at: datetime, now: datetime) -> Meter:
    return replace(meter, calls=(*_believed(meter, now), at)[-rpm:])


def _believed(meter: Meter, now: datetime) -> tuple[datetime, ...]:
    return tuple(call for call in meter.calls if call <= now + _FARTHEST + CLOCK_SKEW)


def _is_free(
    meter: Meter, account: Provider, allowance: Allowance, at: datetime, now: datetime
) -> bool:
    """Whether the allowance covers a call at that moment. Raises when it does not and nothing may
    be paid."""
    full_day = _free_in_day(meter, allowance, at) >= allowance.rpd
    full_minute = allowance.rpm is not None and _free_in_minute(meter, at) >= allowance.rpm
    if allowance.then == "paid" or not (full_day or full_minute):
        return not (full_day or full_minute)
    if full_day:
        raise QuotaExceeded(
            f"The free calls of {account.name} are used up for today.",
            retry_after_s=_seconds(_midnight(at, ZoneInfo(allowance.zone)) - now),
            provider=account.id,
            details={"limit": allowance.rpd, "window": "day"},
        )
    raise RateLimited(
        f"The free calls of {account.name} are used up for this minute.",
        retry_after_s=_seconds(at.replace(second=0, microsecond=0) + _MINUTE - now),
        provider=account.id,
        details={"limit": allowance.rpm, "window": "minute"},
    )


def _freed(meter: Meter, allowance: Allowance, at: datetime) -> Meter:
    """The meter with one more free call."""
    in_day, in_minute = _free_in_day(meter, allowance, at), _free_in_minute(meter, at)
    return replace(
        meter,
        free_day=meter.free_day if in_day else _day_in(allowance)(at),
        free_day_count=in_day + 1,
        free_minute=meter.free_minute if in_minute else minute_of(at),
        free_minute_count=in_minute + 1,
    )


def _check_cap(meter: Meter, account: Provider, micros: int, at: datetime, now: datetime) -> None:
    cap, spent = account.daily_usd, _spent(meter, at)
    if cap is None or micros == 0 or spent + micros <= cap:
        return
    # The sums are the operator's business and not the caller's.
    raise QuotaExceeded(
        f"The operator's daily cap for {account.name} is reached.",
        retry_after_s=_seconds(_midnight(at, UTC) - now) if micros <= cap else None,
        provider=account.id,
        details={"window": "day"},
        private=f"${usd(spent)} of ${usd(cap)} are spent, and a call may cost ${usd(micros)}",
    )


def _spent(meter: Meter, at: datetime) -> int:
    return meter.spent_micros if _is_now(meter.spent_day, day_of, at) else 0


def _free_in_day(meter: Meter, allowance: Allowance, at: datetime) -> int:
    return meter.free_day_count if _is_now(meter.free_day, _day_in(allowance), at) else 0


def _free_in_minute(meter: Meter, at: datetime) -> int:
    return meter.free_minute_count if _is_now(meter.free_minute, minute_of, at) else 0


def _is_now(window: str, name: Callable[[datetime], str], at: datetime) -> bool:
    """Whether it is the window of that moment, or one that another's clock has just begun."""
    return name(at) <= window <= name(at + CLOCK_SKEW)


def _day_in(allowance: Allowance) -> Callable[[datetime], str]:
    zone = ZoneInfo(allowance.zone)
    return lambda at: day_of(at.astimezone(zone))


def _midnight(at: datetime, zone: tzinfo) -> datetime:
    """When the next day begins in a zone. Where the clocks jump over midnight, that is the jump."""
    tomorrow = at.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), zone).astimezone(UTC)


def _seconds(span: timedelta) -> float:
    return float(math.ceil(span.total_seconds()))

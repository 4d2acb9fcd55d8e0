"""The arithmetic of pacing a provider account: by example, and for any run of calls."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import pacing
from shared.catalogue.rows import Allowance, Provider
from shared.errors import QuotaExceeded, RateLimited
from shared.pacing import Meter, Taken

NOW = datetime(2026, 11, 21, 10, 5, 30, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ACME = Provider(
    id="acme",
    name="Acme",
    base_url="https://acme.test",
    env="ACME",
    sandbox="acme",
    timeout_s=60.0,
)
UTC_DAY = Allowance(rpd=2, zone="UTC", then="refused")


def account(
    rpm: int | None = None, free: Allowance | None = None, daily_micros: int | None = None
) -> Provider:
    return ACME.model_copy(update={"rpm": rpm, "free": free, "daily_usd": daily_micros})


def by_minute(allowance: Allowance, rpm: int) -> Allowance:
    return allowance.model_copy(update={"rpm": rpm})


def take(
    meter: Meter, by: Provider, micros: int = 0, now: datetime = NOW, patience_s: float = 0
) -> Taken:
    return pacing.take(meter, by, micros, now, patience_s)


def taken(times: int, by: Provider, micros: int = 0, now: datetime = NOW) -> Taken:
    """The last of several calls taken at once."""
    last = take(Meter(), by, micros, now, 3600)
    for _ in range(times - 1):
        last = take(last.meter, by, micros, now, 3600)
    return last


def after_s(seconds: float, start: datetime = NOW) -> datetime:
    return start + timedelta(seconds=seconds)


def test_a_burst_of_a_minutes_calls_goes_at_once_and_the_next_a_minute_later() -> None:
    by = account(rpm=3)
    assert [taken(n, by).wait_s for n in range(1, 8)] == [0, 0, 0, 60, 60, 60, 120]
    assert taken(7, by).meter.calls == (NOW + MINUTE, NOW + MINUTE, NOW + 2 * MINUTE)


def test_a_call_goes_as_soon_as_the_minute_before_it_has_room() -> None:
    by = account(rpm=2)
    meter = Meter(calls=(after_s(-45), after_s(-10)))
    assert take(meter, by, patience_s=15).wait_s == 15
    assert take(meter, by, now=after_s(14), patience_s=1).wait_s == 1
    assert take(meter, by, now=after_s(15)).wait_s == 0


def test_a_call_that_cannot_go_in_time_is_refused_and_says_when_one_could() -> None:
    by = account(rpm=1)
    meter = taken(1, by).meter
    now = after_s(0.25)
    with pytest.raises(RateLimited, match="Acme is called at most 1 times a minute") as refused:
        take(meter, by, now=now, patience_s=59.7)
    assert refused.value.retry_after_s == 60
    assert refused.value.details == {"limit": 1, "window": "minute"}
    assert refused.value.provider == "acme"
    assert take(meter, by, now=now, patience_s=59.75).wait_s == 59.75
    with pytest.raises(RateLimited) as refused:
        take(meter, by, now=after_s(59.25))
    assert refused.value.retry_after_s == 1


def test_no_call_is_given_a_moment_more_than_an_hour_ahead() -> None:
    by = account(rpm=1)
    meter = taken(61, by).meter
    assert meter.calls == (NOW + timedelta(hours=1),)
    with pytest.raises(RateLimited) as refused:
        take(meter, by, patience_s=10**6)
    assert refused.value.retry_after_s == 61 * 60


def test_fewer_calls_a_minute_count_from_the_calls_there_were() -> None:
    meter = Meter(calls=tuple(after_s(-10 * n) for n in (5, 4, 3, 2, 1)))
    found = take(meter, account(rpm=2), patience_s=60)
    assert (found.wait_s, len(found.meter.calls)) == (40, 2)
    assert take(meter, account(rpm=9)).wait_s == 0


def test_a_clock_a_little_behind_gives_no_moment_before_the_last() -> None:
    by = account(rpm=3)
    meter = taken(2, by).meter
    assert take(meter, by, now=after_s(-2), patience_s=2).wait_s == 2


def test_calls_counted_by_a_clock_far_ahead_are_not_believed() -> None:
    ahead = NOW + timedelta(days=200)
    by = account(rpm=1, free=UTC_DAY, daily_micros=5)
    meter = taken(1, by, now=ahead).meter
    wrong = replace(meter, spent_day=meter.free_day, spent_micros=5, free_day_count=9)
    found = take(wrong, by, 5)
    assert (found.wait_s, found.free, found.meter.free_day_count) == (0, True, 1)
    assert found.meter.calls == (NOW,)
    paid = account(daily_micros=5)
    assert take(wrong, paid, 5).meter.spent_micros == 5


@given(
    rpm=st.integers(1, 5),
    asked=st.lists(
        st.tuples(st.floats(0, 90), st.sampled_from([0.0, 10.0, 70.0, 900.0])), max_size=40
    ),
)
def test_no_minute_has_more_calls_than_the_row_says_and_none_goes_later_than_it_must(
    rpm: int, asked: list[tuple[float, float]]
) -> None:
    by, meter, now = account(rpm=rpm), Meter(), NOW
    slots: list[datetime] = []
    for gap_s, patience_s in asked:
        now += timedelta(seconds=gap_s)
        full = slots[-rpm] + MINUTE if len(slots) >= rpm else now
        try:
            found = take(meter, by, now=now, patience_s=patience_s)
        except RateLimited as refused:
            assert full > now + timedelta(seconds=patience_s)
            wait_s = refused.retry_after_s or 0
            assert take(meter, by, now=after_s(wait_s, now)).wait_s == 0
            with pytest.raises(RateLimited):
                take(meter, by, now=after_s(wait_s - 1, now) - timedelta(microseconds=1))
        else:
            assert 0 <= found.wait_s <= patience_s
            slots.append(now + timedelta(seconds=found.wait_s))
            assert slots[-1] == max(now, full)
            meter = found.meter
            assert len(meter.calls) <= rpm
    assert slots == sorted(slots)
    assert all(later - first >= MINUTE for first, later in zip(slots, slots[rpm:], strict=False))


def test_the_free_calls_of_a_day_go_first_and_cost_nothing() -> None:
    by = account(free=Allowance(rpd=2, zone="UTC"), daily_micros=100)
    calls = [taken(n, by, 40) for n in range(1, 5)]
    assert [(call.free, call.micros) for call in calls] == [(True, 0)] * 2 + [(False, 40)] * 2
    assert (calls[-1].meter.free_day_count, calls[-1].meter.spent_micros) == (2, 80)
    assert take(calls[-1].meter, by, 40, MIDNIGHT).free


def test_a_full_free_minute_is_paid_for_and_the_next_is_free_again() -> None:
    by = account(free=Allowance(rpd=9, rpm=1, zone="UTC"))
    second = taken(2, by)
    assert (second.free, second.meter.free_day_count) == (False, 1)
    third = take(second.meter, by, now=after_s(30))
    assert (third.free, third.meter.free_minute) == (True, "2026-11-21T10:06")
    assert (third.meter.free_day_count, third.meter.free_minute_count) == (2, 1)


def test_where_nothing_may_be_paid_a_full_free_minute_waits_for_the_next() -> None:
    by = account(free=Allowance(rpd=9, rpm=1, zone="UTC", then="refused"))
    meter = taken(1, by).meter
    with pytest.raises(RateLimited, match="free calls of Acme") as refused:
        take(meter, by, patience_s=300)
    assert refused.value.retry_after_s == 30
    assert refused.value.details == {"limit": 1, "window": "minute"}
    assert take(meter, by, now=after_s(30)).free


def test_where_nothing_may_be_paid_a_full_free_day_waits_for_the_next() -> None:
    by = account(free=by_minute(UTC_DAY, 2))
    meter = taken(2, by).meter
    with pytest.raises(QuotaExceeded, match="free calls of Acme") as refused:
        take(meter, by, patience_s=300)
    assert refused.value.retry_after_s == (MIDNIGHT - NOW).total_seconds()
    assert refused.value.details == {"limit": 2, "window": "day"}
    assert take(meter, by, now=MIDNIGHT).free


@pytest.mark.parametrize(
    ("zone", "at", "hours"),
    [
        ("America/Los_Angeles", "2026-11-21T08:00:00", 24),
        ("America/Los_Angeles", "2026-11-21T07:59:59", 1 / 3600),
        ("America/Los_Angeles", "2026-03-08T08:00:00", 23),
        ("America/Los_Angeles", "2026-11-01T07:00:00", 25),
        ("Asia/Shanghai", "2026-11-21T16:00:00", 24),
        # Midnight itself does not exist: the day begins at one o'clock.
        ("Africa/Cairo", "2026-04-23T21:00:00", 1),
        ("Africa/Cairo", "2026-04-23T22:00:00", 23),
        # The last hour of the day comes twice.
        ("Africa/Cairo", "2026-10-29T20:30:00", 1.5),
    ],
)
def test_the_free_day_begins_anew_at_midnight_in_its_zone(zone: str, at: str, hours: float) -> None:
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    by = account(free=Allowance(rpd=1, zone=zone, then="refused"))
    meter = taken(1, by, now=now).meter
    with pytest.raises(QuotaExceeded) as refused:
        take(meter, by, now=now)
    assert refused.value.retry_after_s == round(hours * 3600)


@given(
    zone=st.sampled_from(["America/Los_Angeles", "Africa/Cairo", "Asia/Kathmandu", "UTC"]),
    second=st.integers(0, 2 * 366 * 86_400),
)
def test_a_refused_free_call_is_free_after_exactly_what_was_said(zone: str, second: int) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    by = account(free=Allowance(rpd=1, zone=zone, then="refused"))
    meter = taken(1, by, now=now).meter
    assert meter.free_day == now.astimezone(ZoneInfo(zone)).date().isoformat()
    with pytest.raises(QuotaExceeded) as refused:
        take(meter, by, now=now)
    wait_s = refused.value.retry_after_s or 0
    with pytest.raises(QuotaExceeded):
        take(meter, by, now=after_s(wait_s - 1, now))
    assert take(meter, by, now=after_s(wait_s, now)).free


def test_a_call_that_would_go_past_the_days_cap_is_refused_until_the_next_day() -> None:
    by = account(daily_micros=100)
    meter = taken(2, by, 40).meter
    with pytest.raises(QuotaExceeded, match="operator's daily cap for Acme is reached") as refused:
        take(meter, by, 21)
    assert refused.value.retry_after_s == (MIDNIGHT - NOW).total_seconds()
    assert refused.value.details == {"window": "day"}
    assert "0.0001" not in refused.value.message
    assert take(meter, by, 20).meter.spent_micros == 100
    assert take(meter, by, 0).meter.spent_micros == 80
    assert take(meter, by, 100, MIDNIGHT).meter.spent_micros == 100


def test_a_call_dearer_than_the_whole_cap_is_not_told_to_wait() -> None:
    with pytest.raises(QuotaExceeded) as refused:
        take(Meter(), account(daily_micros=100), 101)
    assert refused.value.retry_after_s is None


def test_money_is_not_counted_where_there_is_no_cap() -> None:
    found = take(Meter(), account(rpm=1), 40)
    assert (found.micros, found.meter) == (0, Meter(calls=(NOW,)))
    assert pacing.give_back(found.meter, found, account(rpm=1), 40, True) == found.meter


def test_a_call_counts_in_the_day_it_goes() -> None:
    by = account(rpm=1, free=Allowance(rpd=1, zone="UTC"), daily_micros=100)
    late = MIDNIGHT - timedelta(seconds=10)
    first = take(Meter(), by, 100, late)
    tomorrow = take(first.meter, by, 100, late, patience_s=60)
    assert (tomorrow.free, tomorrow.meter.free_day) == (True, "2026-11-22")
    paid = take(tomorrow.meter, by, 100, late, patience_s=120)
    assert (paid.free, paid.meter.spent_day, paid.wait_s) == (False, "2026-11-22", 120)
    with pytest.raises(QuotaExceeded) as refused:
        take(paid.meter, by, 100, late, patience_s=180)
    assert refused.value.retry_after_s == 10 + 86_400


def test_windows_never_go_back_with_a_slow_clock() -> None:
    by = account(free=by_minute(UTC_DAY, 2))
    ahead = take(Meter(), by, now=MIDNIGHT).meter
    behind = take(ahead, by, now=MIDNIGHT - timedelta(milliseconds=20)).meter
    assert (behind.free_day, behind.free_day_count) == ("2026-11-22", 2)
    assert (behind.free_minute, behind.free_minute_count) == ("2026-11-22T00:00", 2)
    capped = account(daily_micros=9)
    ahead = take(Meter(), capped, 4, MIDNIGHT).meter
    behind = take(ahead, capped, 4, MIDNIGHT - timedelta(milliseconds=20)).meter
    assert (behind.spent_day, behind.spent_micros) == ("2026-11-22", 8)


def test_what_a_call_really_cost_stands_for_what_was_counted() -> None:
    by = account(daily_micros=100)
    first, second = taken(1, by, 40), taken(2, by, 40)
    for cost, spent in ((0, 40), (25, 65), (40, 80), (90, 130)):
        back = pacing.give_back(second.meter, first, by, cost, True)
        assert back.spent_micros == spent
        assert take(back, by, 0).meter.spent_micros == spent


def test_a_free_call_comes_back_only_if_the_provider_did_not_count_it() -> None:
    by = account(free=by_minute(UTC_DAY, 2), daily_micros=100)
    first, second = taken(1, by, 40), taken(2, by, 40)
    back = pacing.give_back(second.meter, first, by, 0, False)
    assert (back.free_day_count, back.free_minute_count, back.spent_micros) == (1, 1, 0)
    assert pacing.give_back(second.meter, first, by, 0, True) == second.meter
    charged = pacing.give_back(second.meter, first, by, 7, False)
    assert (charged.free_day_count, charged.spent_micros) == (2, 7)


def test_a_paid_call_gives_no_free_one_back() -> None:
    by = account(free=Allowance(rpd=1, zone="UTC"), daily_micros=100)
    paid = taken(2, by, 40)
    back = pacing.give_back(paid.meter, paid, by, 0, False)
    assert (back.free_day_count, back.spent_micros) == (1, 0)


def test_nothing_comes_back_to_a_later_day_and_no_place_in_the_minute_ever() -> None:
    by = account(rpm=5, free=Allowance(rpd=1, rpm=5, zone="UTC"), daily_micros=100)
    free, paid = taken(1, by, 40), taken(2, by, 40)
    next_free = take(paid.meter, by, 30, MIDNIGHT)
    today = take(next_free.meter, by, 30, MIDNIGHT).meter
    assert pacing.give_back(today, free, by, 0, False) == today
    assert pacing.give_back(today, paid, by, 0, False) == today
    assert pacing.give_back(paid.meter, paid, by, 0, False).calls == paid.meter.calls


def test_only_the_day_comes_back_once_the_minute_is_over() -> None:
    by = account(free=Allowance(rpd=9, rpm=5, zone="UTC"))
    first = taken(1, by)
    later = take(first.meter, by, now=NOW + MINUTE).meter
    back = pacing.give_back(later, first, by, 0, False)
    assert (back.free_day_count, back.free_minute_count) == (1, 1)


@pytest.mark.thorough
@given(
    rpm=st.none() | st.integers(1, 20),
    rpd=st.none() | st.integers(1, 4),
    cap=st.integers(1, 200),
    steps=st.lists(
        st.tuples(
            st.sampled_from([0, 20, 3600, 40_000]),
            st.integers(0, 90),
            st.none() | st.tuples(st.integers(0, 3), st.booleans()),
        ),
        max_size=40,
    ),
)
def test_no_day_has_more_free_calls_or_spends_more_than_the_row_says(
    rpm: int | None,
    rpd: int | None,
    cap: int,
    steps: list[tuple[int, int, tuple[int, bool] | None]],
) -> None:
    free = Allowance(rpd=rpd, zone="Asia/Kathmandu") if rpd else None
    by, meter, now = account(rpm, free, cap), Meter(), NOW
    spent: dict[str, int] = {}
    frees: dict[str, int] = {}
    for gap_s, micros, end in steps:
        now += timedelta(seconds=gap_s)
        try:
            found = take(meter, by, micros, now, 900)
        except RateLimited:
            continue
        except QuotaExceeded:
            assert spent.get(meter.spent_day, 0) + micros > cap
            continue
        goes = now + timedelta(seconds=found.wait_s)
        day = goes.date().isoformat()
        free_day = goes.astimezone(ZoneInfo("Asia/Kathmandu")).date().isoformat()
        assert found.free == (frees.get(free_day, 0) < (rpd or 0))
        used = end is None or end[1]
        cost = found.micros if end is None else found.micros * end[0] // 3
        meter = found.meter
        spent[day] = spent.get(day, 0) + found.micros
        frees[free_day] = frees.get(free_day, 0) + found.free
        assert spent[day] <= cap
        assert meter.spent_micros == spent[day]
        meter = pacing.give_back(meter, found, by, cost, used)
        spent[day] -= found.micros - cost
        frees[free_day] -= found.free and not used
        assert meter.spent_micros == spent[day]
    assert all(count <= (rpd or 0) for count in frees.values())
    assert all(a <= b for a, b in pairwise(meter.calls))

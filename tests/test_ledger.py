"""The ledger's arithmetic: by example, and by a machine that lets admissions race each other on
every interleaving of reading, deciding and writing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from shared import ledger
from shared.domain import Account, Hold, Limits, Part
from shared.errors import InsufficientCredit, QuotaExceeded, RateLimited
from shared.ledger import Expired, Lot, Posting, Reservation, Shard, Standing

NOW = datetime(2026, 11, 21, 10, 5, 30, tzinfo=UTC)
LATER = NOW + timedelta(days=100)
LATEST = NOW + timedelta(days=300)


def standing(*shards: Shard, limits: Limits | None = None) -> Standing:
    return Standing(Account("acc", "Acme", NOW, limits or Limits(), len(shards)), shards)


def wallet(*micros: int, expires_at: datetime = LATER, grant: str = "g") -> tuple[Shard, ...]:
    return tuple(Shard(i, {grant: Lot(part, expires_at)}) for i, part in enumerate(micros))


def reserve(of: Standing, micros: int, now: datetime = NOW, seed: int = 0) -> Reservation:
    return ledger.reserve(of, micros, now, Random(seed))


def part(shard: int, grant: str, micros: int, expires_at: datetime = LATER) -> Part:
    return Part(shard, grant, micros, expires_at)


def test_a_whole_is_split_without_losing_a_unit() -> None:
    assert ledger.split(10, 4) == (3, 3, 2, 2)
    assert ledger.split(2, 4) == (1, 1, 0, 0)


def test_a_hold_takes_credit_and_one_place_in_every_quota() -> None:
    reservation = reserve(standing(*wallet(100)), 30)
    (shard,) = reservation.shards
    assert reservation.hold == Hold(30, (part(0, "g", 30),), 0, "2026-11")
    assert shard.lots == {"g": Lot(70, LATER)}
    assert (shard.in_minute(NOW), shard.in_day(NOW), shard.running, shard.held) == (1, 1, 1, 30)
    assert shard.in_month(NOW) == 30


def test_a_hold_of_nothing_needs_no_credit() -> None:
    assert reserve(standing(Shard(0)), 0).hold.parts == ()


def test_the_oldest_credit_of_the_whole_wallet_goes_first() -> None:
    shards = (
        Shard(0, {"new": Lot(50, LATEST)}),
        Shard(1, {"old": Lot(20, LATER), "new": Lot(50, LATEST)}),
    )
    for seed in range(10):
        parts = reserve(standing(*shards), 30, seed=seed).hold.parts
        assert [(p.grant_id, p.micros) for p in parts] == [("old", 20), ("new", 10)]


def test_credit_of_one_grant_comes_from_one_shard_where_one_has_enough() -> None:
    for seed in range(10):
        reservation = reserve(standing(*wallet(40, 40, 40)), 40, seed=seed)
        (only,) = reservation.hold.parts
        assert only.shard == reservation.hold.shard


def test_no_hold_is_refused_while_the_shards_together_have_enough() -> None:
    reservation = reserve(standing(*wallet(40, 40, 40)), 115)
    assert sum(p.micros for p in reservation.hold.parts) == 115
    assert {s.index for s in reservation.shards} == {0, 1, 2}


def test_one_micro_dollar_too_little_is_refused_and_says_what_is_there() -> None:
    with pytest.raises(InsufficientCredit) as refused:
        reserve(standing(*wallet(40, 40)), 81)
    assert refused.value.details == {"needed_usd": "0.000081", "available_usd": "0.000080"}


def test_expired_credit_cannot_be_held_and_is_reported_once_found() -> None:
    shards = wallet(40, expires_at=NOW)
    with pytest.raises(InsufficientCredit):
        reserve(standing(*shards), 1)
    (found,) = shards
    found = replace(found, lots={**found.lots, "h": Lot(5, LATER)})
    reservation = reserve(standing(found), 5)
    assert reservation.expired == (Expired("g", 40),)
    assert reservation.shards[0].lots == {"h": Lot(0, LATER)}


def test_credit_that_expired_in_an_untouched_shard_stays_to_be_found() -> None:
    busy = Shard(1, {"g": Lot(7, NOW)}, minute=ledger.minute_of(NOW), minute_count=1)
    limits = Limits(rpm=2)
    reservation = reserve(standing(Shard(0, {"h": Lot(5, LATER)}), busy, limits=limits), 5)
    assert reservation.expired == ()
    assert [s.index for s in reservation.shards] == [0]


@pytest.mark.parametrize(
    ("limits", "used", "error", "window", "retry_after_s"),
    [
        (Limits(rpm=1), "minute", RateLimited, "minute", 30.0),
        (Limits(rpd=1), "day", QuotaExceeded, "day", 13 * 3600 + 54 * 60 + 30.0),
        (Limits(concurrency=1), "running", RateLimited, "concurrent", 1.0),
    ],
)
def test_a_full_quota_refuses_and_says_for_how_long(
    limits: Limits, used: str, error: type[RateLimited], window: str, retry_after_s: float
) -> None:
    (full,) = reserve(standing(*wallet(100), limits=limits), 1).shards
    with pytest.raises(error) as refused:
        reserve(standing(full, limits=limits), 1)
    assert refused.value.details == {"limit": 1, "window": window}
    assert refused.value.retry_after_s == retry_after_s


@pytest.mark.parametrize(
    ("limits", "later"),
    [
        (Limits(rpm=1), NOW + timedelta(seconds=30)),
        (Limits(rpd=1), datetime(2026, 11, 22, tzinfo=UTC)),
        (Limits(monthly_micros=1), datetime(2026, 12, 1, tzinfo=UTC)),
    ],
)
def test_a_quota_opens_again_in_the_next_window(limits: Limits, later: datetime) -> None:
    (full,) = reserve(standing(*wallet(100), limits=limits), 1).shards
    with pytest.raises((RateLimited, QuotaExceeded)):
        reserve(standing(full, limits=limits), 1, later - timedelta(seconds=1))
    reserve(standing(full, limits=limits), 1, later)


def test_the_months_limit_is_exact_and_names_the_next_month() -> None:
    limits = Limits(monthly_micros=100)
    (used,) = reserve(standing(*wallet(500), limits=limits), 60).shards
    (full,) = reserve(standing(used, limits=limits), 40).shards
    with pytest.raises(QuotaExceeded) as refused:
        reserve(standing(full, limits=limits), 1)
    wait = datetime(2026, 12, 1, tzinfo=UTC) - NOW
    assert refused.value.retry_after_s == wait.total_seconds()
    assert refused.value.details == {
        "limit_usd": "0.000100",
        "spent_usd": "0.000100",
        "window": "month",
    }
    reserve(standing(full, limits=limits), 0)


def test_what_a_posting_frees_no_longer_counts_in_the_month() -> None:
    limits = Limits(monthly_micros=100)
    reservation = reserve(standing(*wallet(500), limits=limits), 100)
    posting = ledger.post(reservation.hold, 30)
    freed = ledger.returned(reservation.shards[0], reservation.hold, posting)
    assert freed.in_month(NOW) == 30
    reserve(standing(freed, limits=limits), 70)


def test_windows_never_go_back_with_a_slow_clock() -> None:
    midnight = datetime(2026, 11, 22, tzinfo=UTC)
    limits = Limits(rpm=2, rpd=2)
    (ahead,) = reserve(standing(*wallet(9), limits=limits), 1, midnight).shards
    slow = midnight - timedelta(milliseconds=20)
    (behind,) = reserve(standing(ahead, limits=limits), 1, slow).shards
    assert (behind.in_minute(midnight), behind.in_day(midnight)) == (2, 2)


def test_a_wallet_all_within_its_shares_is_guarded_only_where_it_is_touched() -> None:
    limits = Limits(rpm=6, rpd=6, concurrency=6, monthly_micros=90)
    assert len(reserve(standing(*wallet(30, 30, 30), limits=limits), 30).shards) == 1


def test_a_shard_beyond_its_share_has_the_whole_wallet_guarded() -> None:
    limits = Limits(concurrency=4)
    first, second = wallet(50, 50)
    over = replace(first, running=3)
    reservation = reserve(standing(over, second, limits=limits), 1)
    assert reservation.hold.shard == 1
    assert len(reservation.shards) == 2


def test_a_settled_hold_keeps_the_oldest_and_frees_the_newest() -> None:
    parts = (part(0, "old", 20), part(1, "new", 10, LATEST), part(0, "newer", 10, LATEST))
    posting = ledger.post(Hold(40, parts, 0, "2026-11"), 25)
    assert posting == Posting(25, (parts[2], replace(parts[1], micros=5)))


@pytest.mark.parametrize("charged", [-1, 41])
def test_a_hold_cannot_be_charged_what_it_does_not_hold(charged: int) -> None:
    with pytest.raises(ValueError, match="cannot be charged"):
        ledger.post(Hold(40, (part(0, "g", 40),), 0, "2026-11"), charged)


def test_what_does_not_run_takes_no_concurrent_place_and_gives_none_back() -> None:
    limits = Limits(concurrency=1)
    (full,) = reserve(standing(*wallet(100), limits=limits), 1).shards
    batch = ledger.reserve(standing(full, limits=limits), 30, NOW, Random(0), runs=False)
    (held,) = batch.shards
    assert (held.running, held.held, held.in_minute(NOW), held.in_day(NOW)) == (1, 31, 2, 2)
    assert held.in_month(NOW) == 31
    posting = ledger.post(batch.hold, 20)
    after = ledger.returned(held, batch.hold, posting, ran=False)
    assert (after.running, after.held, after.in_month(NOW)) == (1, 1, 21)
    assert ledger.returned(held, batch.hold, posting).running == 0
    with pytest.raises(RateLimited):
        reserve(standing(after, limits=limits), 1)


@pytest.mark.parametrize("limits", [Limits(rpm=1), Limits(rpd=1), Limits(monthly_micros=1)])
def test_what_does_not_run_is_bound_by_every_other_quota(limits: Limits) -> None:
    (full,) = reserve(standing(*wallet(100), limits=limits), 1).shards
    with pytest.raises((RateLimited, QuotaExceeded)):
        ledger.reserve(standing(full, limits=limits), 1, NOW, Random(0), runs=False)


def test_a_piece_has_the_oldest_credit_for_its_charge_and_the_newest_for_the_rest() -> None:
    parts = (part(0, "new", 10, LATEST), part(1, "old", 20), part(0, "newer", 10, LATEST))
    piece, rest = ledger.draw(Hold(40, parts, 2, "2026-11"), 5, 15)
    taken = (replace(parts[0], micros=5), replace(parts[1], micros=5), parts[2])
    assert piece == Hold(20, taken, 2, "2026-11")
    left = (replace(parts[0], micros=5), replace(parts[1], micros=15))
    assert rest == Hold(20, left, 2, "2026-11")


@pytest.mark.parametrize(("charged", "freed"), [(-1, 0), (0, -1), (30, 11), (41, 0)])
def test_no_more_can_be_drawn_than_is_held(charged: int, freed: int) -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        ledger.draw(Hold(40, (part(0, "g", 40),), 0, "2026-11"), charged, freed)


@given(
    parts=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 50), st.integers(0, 5)), max_size=6),
    shares=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=4),
)
def test_a_hold_drawn_to_its_end_is_charged_its_oldest_credit_and_freed_the_rest(
    parts: list[tuple[int, int, int]], shares: list[tuple[float, float]]
) -> None:
    held = tuple(
        part(shard, f"g{n}", micros, LATER + timedelta(days=days))
        for n, (shard, micros, days) in enumerate(parts)
    )
    whole = Hold(sum(p.micros for p in held), held, 0, "2026-11")
    rest, charged, drawn, freed = whole, 0, Counter[Part](), Counter[Part]()
    for share, of_the_rest in [*shares, (0.0, 1.0)]:
        charge = int(rest.micros * share)
        before, (piece, rest) = (
            rest,
            ledger.draw(rest, charge, int((rest.micros - charge) * of_the_rest)),
        )
        assert piece.micros + rest.micros == before.micros
        assert _in_lots(piece.parts) + _in_lots(rest.parts) == _in_lots(before.parts)
        assert all(sum(p.micros for p in h.parts) == h.micros for h in (piece, rest))
        charged += charge
        drawn += _in_lots(piece.parts)
        freed += _in_lots(ledger.post(piece, charge).freed)
    assert (rest.micros, rest.parts) == (0, ())
    assert drawn == _in_lots(held)
    # In pieces or at once, the same credit is spent.
    assert freed == _in_lots(ledger.post(whole, charged).freed)


def _in_lots(parts: tuple[Part, ...]) -> Counter[Part]:
    """The micro-dollars of each lot."""
    return sum((Counter({replace(p, micros=0): p.micros}) for p in parts), Counter[Part]())


def test_credit_freed_after_its_lot_was_cleared_comes_back_to_be_found_expired() -> None:
    hold = reserve(standing(*wallet(40)), 40).hold
    back = ledger.returned(Shard(0, running=1, held=40), hold, ledger.post(hold, 0))
    assert back == Shard(0, {"g": Lot(40, LATER)}, spent={"2026-11": -40})


@given(
    parts=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 50), st.integers(0, 5)), max_size=6),
    share=st.floats(0, 1),
)
def test_charged_and_freed_are_together_what_was_held(
    parts: list[tuple[int, int, int]], share: float
) -> None:
    held = tuple(
        part(shard, f"g{n}", micros, LATER + timedelta(days=days))
        for n, (shard, micros, days) in enumerate(parts)
    )
    hold = Hold(sum(p.micros for p in held), held, 0, "2026-11")
    posting = ledger.post(hold, int(hold.micros * share))
    assert posting.charged_micros + sum(p.micros for p in posting.freed) == hold.micros
    assert len({p.grant_id for p in posting.freed}) == len(posting.freed)


def limit(most: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(1, most)


Decision = tuple[datetime, Reservation, bool]
"""When it was taken, and whether what it admits runs."""


class Races(RuleBasedStateMachine):
    """An account under many instances: each has looked at some moment, decides at a later one and
    writes at a later one still, which succeeds only if no guarded shard has changed since."""

    looked = Bundle("looked")
    decided = Bundle("decided")
    held = Bundle("held")

    @initialize(
        shards=st.integers(1, 4),
        rpm=limit(6),
        rpd=limit(12),
        concurrency=limit(6),
        monthly=limit(120),
    )
    def start(
        self,
        shards: int,
        rpm: int | None,
        rpd: int | None,
        concurrency: int | None,
        monthly: int | None,
    ) -> None:
        self.limits = Limits(rpm, rpd, concurrency, monthly)
        self.account = Account("acc", "Acme", NOW, self.limits, shards)
        self.shards = [Shard(i, version="0") for i in range(shards)]
        self.now = NOW
        self.admitted: Counter[str] = Counter()
        self.spent: Counter[str] = Counter()
        self.open: list[tuple[Hold, bool]] = []
        self.balance = 0
        self.grants = 0
        self.grant(1000, 365)

    @rule(micros=st.integers(1, 200), days=st.integers(1, 60))
    def grant(self, micros: int, days: int) -> None:
        self.grants += 1
        name, expires_at = f"g{self.grants}", self.now + timedelta(days=days)
        for shard, share in zip(
            list(self.shards), ledger.split(micros, len(self.shards)), strict=True
        ):
            self._store(replace(shard, lots={**shard.lots, name: Lot(share, expires_at)}))
        self.balance += micros

    @rule(step=st.sampled_from([timedelta(seconds=20), timedelta(hours=9), timedelta(days=12)]))
    def wait(self, step: timedelta) -> None:
        self.now += step

    @rule(target=looked)
    def look(self) -> Standing:
        return Standing(self.account, tuple(self.shards))

    @rule(
        target=decided,
        seen=looked,
        micros=st.integers(0, 60),
        seed=st.integers(0, 99),
        runs=st.booleans(),
    )
    def decide(self, seen: Standing, micros: int, seed: int, runs: bool = True) -> Decision | None:
        credit = seen.available_micros(self.now)
        minute = sum(s.in_minute(self.now) for s in seen.shards)
        day = sum(s.in_day(self.now) for s in seen.shards)
        running = sum(s.running for s in seen.shards)
        month = sum(s.in_month(self.now) for s in seen.shards) + micros
        limits = self.limits
        over = {
            RateLimited: _beyond(minute + 1, limits.rpm)
            or (runs and _beyond(running + 1, limits.concurrency)),
            QuotaExceeded: _beyond(day + 1, limits.rpd)
            or (micros > 0 and _beyond(month, limits.monthly_micros)),
            InsufficientCredit: credit < micros,
        }
        try:
            reservation = ledger.reserve(seen, micros, self.now, Random(seed), runs=runs)
        except (RateLimited, QuotaExceeded, InsufficientCredit) as refused:
            assert over[type(refused)]
            return None
        assert not any(over.values())
        _oldest_first(seen, reservation.hold, self.now)
        return self.now, reservation, runs

    @rule(target=held, choice=decided)
    def write(self, choice: Decision | None) -> Hold | None:
        if choice is None:
            return None
        at, reservation, runs = choice
        if any(self.shards[s.index].version != s.version for s in reservation.shards):
            return None
        for shard in reservation.shards:
            self._store(shard)
        self.balance -= sum(expired.micros for expired in reservation.expired)
        self.open.append((reservation.hold, runs))
        self.admitted[ledger.minute_of(at)] += 1
        self.admitted[ledger.day_of(at)] += 1
        self.spent[reservation.hold.month] += reservation.hold.micros
        return reservation.hold

    @rule(asked=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 99)), min_size=2, max_size=4))
    def race(self, asked: list[tuple[int, int]]) -> None:
        seen = self.look()
        for choice in [self.decide(seen, micros, seed) for micros, seed in asked]:
            self.write(choice)

    @rule(share=st.integers(0, 4))
    def finish_the_oldest(self, share: int) -> None:
        if self.open:
            self.finish(self.open[0][0], share)

    @rule(hold=held, share=st.integers(0, 4))
    def finish(self, hold: Hold | None, share: int) -> None:
        ran = [runs for one, runs in self.open if one is hold]
        if hold is None or not ran:
            return
        self.open = [one for one in self.open if one[0] is not hold]
        self._give_back(hold, hold.micros * share // 4, ran=ran[0])

    @rule(charged=st.integers(0, 40), freed=st.integers(0, 40))
    def deliver_a_piece(self, charged: int, freed: int) -> None:
        for place, (hold, runs) in enumerate(self.open):
            if not runs and charged + freed <= hold.micros:
                piece, rest = ledger.draw(hold, charged, freed)
                self.open[place] = (rest, runs)
                self._give_back(piece, charged, ran=False)
                return

    @invariant()
    def nothing_is_overdrawn(self) -> None:
        for shard in self.shards:
            assert shard.running >= 0
            assert shard.held == sum(ledger.held_in(hold, shard.index) for hold, _ in self.open)
            assert all(lot.micros >= 0 for lot in shard.lots.values())

    @invariant()
    def the_balance_is_what_lies_in_the_lots_and_in_open_holds(self) -> None:
        lots = sum(lot.micros for shard in self.shards for lot in shard.lots.values())
        assert self.balance == lots + sum(hold.micros for hold, _ in self.open)
        assert self.balance == Standing(self.account, tuple(self.shards)).balance_micros()

    @invariant()
    def no_quota_is_exceeded(self) -> None:
        limits = self.limits
        for window, count in self.admitted.items():
            assert not _beyond(count, limits.rpm if "T" in window else limits.rpd)
        running = sum(runs for _, runs in self.open)
        assert running == sum(shard.running for shard in self.shards)
        assert not _beyond(running, limits.concurrency)
        for spent in self.spent.values():
            assert not _beyond(spent, limits.monthly_micros)

    def _give_back(self, hold: Hold, charged: int, *, ran: bool) -> None:
        posting = ledger.post(hold, charged)
        for shard in list(self.shards):
            if shard.index in ledger.touched(hold):
                self._store(ledger.returned(shard, hold, posting, ran=ran))
        self.balance -= charged
        self.spent[hold.month] -= hold.micros - charged

    def _store(self, shard: Shard) -> None:
        version = str(int(self.shards[shard.index].version) + 1)
        self.shards[shard.index] = replace(shard, version=version)


def _beyond(used: int, limit: int | None) -> bool:
    return limit is not None and used > limit


def _oldest_first(seen: Standing, hold: Hold, now: datetime) -> None:
    assert sum(p.micros for p in hold.parts) == hold.micros
    taken = {(p.shard, p.grant_id): p.micros for p in hold.parts}
    newest = max(((p.expires_at, p.grant_id) for p in hold.parts), default=(now, ""))
    for shard in seen.shards:
        for grant, lot in shard.lots.items():
            if lot.expires_at > now and (lot.expires_at, grant) < newest:
                assert taken.get((shard.index, grant), 0) == lot.micros


Races.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    suppress_health_check=list(HealthCheck),
)
TestRaces = pytest.mark.thorough(Races.TestCase)


def test_a_window_counted_by_a_clock_far_ahead_is_not_believed() -> None:
    ahead = NOW + timedelta(days=200)
    shard = Shard(
        0, minute=ledger.minute_of(ahead), minute_count=9, day=ledger.day_of(ahead), day_count=9
    )
    assert (shard.in_minute(NOW), shard.in_day(NOW)) == (0, 0)
    near = Shard(0, minute=ledger.minute_of(NOW + timedelta(minutes=1)), minute_count=9)
    assert near.in_minute(NOW) == 9

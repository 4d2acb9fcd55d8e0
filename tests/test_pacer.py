"""Leave for provider calls, taken by several instances at once: on a loop whose clock jumps instead
of waiting, and on both backends."""

from __future__ import annotations

import asyncio
import logging
import selectors
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from shared.catalogue.rows import Allowance, Provider
from shared.errors import ProviderUnavailable, QuotaExceeded, RateLimited
from shared.pacer import Pacer
from shared.pacing import Meter, Taken
from shared.records import Records, Stale
from tests.records.scene import KINDS, Run, runner

NOW = datetime(2026, 11, 21, 10, 5, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CALL_S = 0.02
ACME = Provider(
    id="acme",
    name="Acme",
    base_url="https://acme.test",
    env="ACME",
    sandbox="acme",
    timeout_s=60.0,
)
FREE = Allowance(rpd=1, zone="UTC")


class Jumping(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        self.jumped_s = 0.0
        selector = selectors.DefaultSelector()
        select = selector.select

        def at_once(timeout: float | None = None) -> Any:
            self.jumped_s += max(timeout or 0.0, 0.0)
            return select(0)

        selector.select = at_once  # type: ignore[method-assign]
        super().__init__(selector)

    def time(self) -> float:
        return self.jumped_s


class Shelf:
    """The meters of `Records` in memory, each call as long as one to a database. `loses` and
    `broken` have every write come too late, or every call fail."""

    def __init__(self) -> None:
        self.meters: dict[str, Meter] = {}
        self.calls: list[str] = []
        self.loses = False
        self.broken = False

    async def meter(self, provider_id: str) -> Meter:
        await self._call("meter")
        return self.meters.get(provider_id, Meter())

    async def put_meter(self, provider_id: str, meter: Meter) -> None:
        await self._call("put_meter")
        stored = self.meters.get(provider_id, Meter())
        if self.loses or stored.version != meter.version:
            raise Stale
        self.meters[provider_id] = replace(meter, version=f"{int(stored.version or 0) + 1}")

    async def _call(self, name: str) -> None:
        self.calls.append(name)
        await asyncio.sleep(CALL_S)
        if self.broken:
            raise ConnectionError("the database is down")


def clock() -> datetime:
    return NOW + timedelta(seconds=asyncio.get_running_loop().time())


def pacer(shelf: Shelf, seed: int = 0) -> Pacer:
    return Pacer(cast(Records, shelf), clock, Random(seed), asyncio.sleep)


def play(story: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=Jumping) as loop:
        loop.run(story)


def limited(**limits: object) -> Provider:
    return ACME.model_copy(update=limits)


async def leave(by: Pacer, account: Provider, micros: int = 0, patience_s: float = 0.0) -> Taken:
    taken = await by.take(account, micros, patience_s)
    assert taken is not None
    return taken


def test_fifty_calls_by_two_instances_never_go_more_than_three_a_minute() -> None:
    shelf, account = Shelf(), limited(rpm=3)

    async def story() -> None:
        both = pacer(shelf, 1), pacer(shelf, 2)
        results = await asyncio.gather(
            *(leave(both[n % 2], account, patience_s=901.0) for n in range(50)),
            return_exceptions=True,
        )
        goes = sorted(r.meter.calls[-1] for r in results if isinstance(r, Taken))
        refused = [r for r in results if isinstance(r, RateLimited)]
        # The minutes from the first to the fifteenth after it.
        assert (len(goes), len(refused)) == (48, 2)
        assert all(b - a >= MINUTE for a, b in zip(goes, goes[3:], strict=False))
        assert goes[-1] - goes[0] < 16 * MINUTE
        wait_s = refused[-1].retry_after_s
        assert wait_s is not None
        assert wait_s > 901
        await asyncio.sleep(wait_s)
        assert (await leave(both[0], account)).wait_s == 0

    play(story())


def test_a_days_cap_holds_whoever_comes_first() -> None:
    shelf, account = Shelf(), limited(daily_usd=1000)

    async def story() -> None:
        both = pacer(shelf, 1), pacer(shelf, 2)

        async def round_of_thirty() -> list[Taken]:
            tries = (leave(both[n % 2], account, 100) for n in range(30))
            results = await asyncio.gather(*tries, return_exceptions=True)
            assert sum(isinstance(r, QuotaExceeded) for r in results) == 20
            return [r for r in results if isinstance(r, Taken)]

        held = await round_of_thirty()
        assert shelf.meters["acme"].spent_micros == 1000
        await asyncio.gather(
            *(both[n % 2].give_back(one, account, 0, False) for n, one in enumerate(held))
        )
        assert shelf.meters["acme"].spent_micros == 0
        await round_of_thirty()

    play(story())


def test_an_account_without_limits_costs_nothing() -> None:
    shelf = Shelf()

    async def story() -> None:
        assert await pacer(shelf).take(ACME, 100, 0) is None
        assert shelf.calls == []

    play(story())


@pytest.mark.parametrize(
    ("limits", "counted"),
    [
        ({"rpm": 1}, Meter(calls=(NOW + timedelta(seconds=CALL_S),), version="1")),
        ({"daily_usd": 9}, Meter(spent_day="2026-11-21", spent_micros=5, version="1")),
        (
            {"free": FREE},
            Meter(
                free_day="2026-11-21",
                free_day_count=1,
                free_minute="2026-11-21T10:05",
                free_minute_count=1,
                version="1",
            ),
        ),
    ],
)
def test_leave_takes_two_calls_and_a_refusal_one(limits: dict[str, object], counted: Meter) -> None:
    shelf, account = Shelf(), limited(**limits)

    async def story() -> None:
        await leave(pacer(shelf), account, 5)
        assert shelf.calls == ["meter", "put_meter"]
        assert shelf.meters["acme"] == counted
        strict = limited(**limits)
        if account.free:
            strict = limited(free=FREE.model_copy(update={"then": "refused"}))
        shelf.calls.clear()
        with pytest.raises((RateLimited, QuotaExceeded)):
            await pacer(shelf).take(strict, 5, 0)
        assert shelf.calls == ["meter"]
        assert shelf.meters["acme"] == counted

    play(story())


def test_what_is_still_to_wait_counts_from_when_leave_was_given() -> None:
    shelf, account = Shelf(), limited(rpm=1)

    async def story() -> None:
        first = await leave(pacer(shelf), account)
        second = await leave(pacer(shelf), account, patience_s=60)
        await asyncio.sleep(second.wait_s)
        assert clock() == second.meter.calls[-1] == first.meter.calls[-1] + MINUTE

    play(story())


def test_patience_counts_from_the_asking_however_often_others_come_first() -> None:
    shelf, account = Shelf(), limited(rpm=1)

    async def story() -> None:
        shelf.loses = True
        asking = asyncio.create_task(leave(pacer(shelf), account, patience_s=60.0))
        await asyncio.sleep(2)
        shelf.meters["acme"] = Meter(calls=(NOW + timedelta(seconds=1),), version="7")
        shelf.loses = False
        with pytest.raises(RateLimited):
            await asking

    play(story())


def test_one_who_always_comes_second_gives_up() -> None:
    shelf, account = Shelf(), limited(rpm=1)
    shelf.loses = True

    async def story() -> None:
        with pytest.raises(ProviderUnavailable, match="Acme is in great demand") as refused:
            await leave(pacer(shelf), account, patience_s=900)
        assert (refused.value.retry_after_s, refused.value.provider) == (1.0, "acme")
        assert len(shelf.calls) == 80
        assert asyncio.get_running_loop().time() < 20

    play(story())


def test_a_call_that_cost_what_was_counted_gives_nothing_back_and_asks_nobody() -> None:
    shelf = Shelf()

    async def story() -> None:
        by = pacer(shelf)
        capped, free, paced = limited(daily_usd=9), limited(free=FREE), limited(rpm=3)
        calls = [
            (await leave(by, capped, 5), capped, 5, True),
            (await leave(by, free, 5), free, 0, True),
            (await leave(by, paced, 5), paced, 0, False),
        ]
        shelf.calls.clear()
        for taken, account, spent, used in calls:
            await by.give_back(taken, account, spent, used)
        assert shelf.calls == []

    play(story())


def test_what_is_given_back_can_be_taken_again() -> None:
    shelf, account = Shelf(), limited(free=FREE, daily_usd=9)

    async def story() -> None:
        by = pacer(shelf)
        free, paid = await leave(by, account, 9), await leave(by, account, 9)
        assert (free.free, paid.free) == (True, False)
        with pytest.raises(QuotaExceeded):
            await leave(by, account, 1)
        await by.give_back(paid, account, 4, True)
        await by.give_back(free, account, 0, False)
        again, more = await leave(by, account, 9), await leave(by, account, 5)
        assert (again.free, more.free) == (True, False)

    play(story())


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("broken", "ConnectionError"), ("loses", "others always came first")],
)
def test_what_cannot_be_given_back_is_logged_and_nothing_else(
    fault: str, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    shelf, account = Shelf(), limited(daily_usd=9)

    async def story() -> None:
        by = pacer(shelf)
        taken = await leave(by, account, 5)
        setattr(shelf, fault, True)
        with caplog.at_level(logging.WARNING, "darkroom"):
            await by.give_back(taken, account, 0, False)
        (line,) = caplog.records
        assert line.getMessage() == "pacing.not_given_back"
        fields = vars(line)["fields"]
        assert fields["provider"] == "acme"
        assert cause in fields["cause"]

    play(story())


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    return runner(request, tmp_path)


def test_two_instances_share_one_meter_in_records(run: Run) -> None:
    account = limited(rpm=3, free=Allowance(rpd=3, zone="UTC"), daily_usd=300)

    async def scenario(records: Records) -> None:
        both = [Pacer(records, lambda: NOW, Random(n), _turn) for n in range(2)]
        tries = (leave(both[n % 2], account, 100, 900.0) for n in range(8))
        results = await asyncio.gather(*tries, return_exceptions=True)
        held = [r for r in results if isinstance(r, Taken)]
        assert sum(isinstance(r, QuotaExceeded) for r in results) == 2
        assert sorted(r.wait_s for r in held) == [0, 0, 0, 60, 60, 60]
        assert sum(r.free for r in held) == 3
        await asyncio.gather(
            *(both[n % 2].give_back(r, account, r.micros // 2, True) for n, r in enumerate(held))
        )
        meter = await records.meter("acme")
        assert (meter.free_day_count, meter.spent_micros) == (3, 150)
        assert meter.calls == (NOW + MINUTE,) * 3

    run(scenario)


async def _turn(_: float) -> None:
    await asyncio.sleep(0)

"""Admitting many at once: who is let in, who is refused, and what it costs the records."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.admission import MOST_TOGETHER, Admission, Taken
from shared.domain import Limits, Record
from shared.errors import InsufficientCredit, ProviderUnavailable, RateLimited
from shared.ledger import CREDIT_LIFE, Lot, Reservation, Shard, Standing
from shared.records import Stale
from tests.records.scene import NOW, account, draft


@dataclass
class Book:
    """One account's records in memory, for looking and beginning alone. What is `between` is done
    before the next begins, as by others; a request named "bad" cannot be stored."""

    standing: Standing
    stored: dict[str, Record] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    between: list[Callable[[], None]] = field(default_factory=list)

    def look(self, request_id: str | None) -> Standing:
        return replace(self.standing, request=self.stored.get(request_id or ""))

    async def look_for(self, account_id: str, ids: Sequence[str | None]) -> Sequence[Standing]:
        assert account_id == self.standing.account.id
        self.calls.append(f"look {len(ids)}")
        await asyncio.sleep(0)
        return [self.look(name) for name in ids]

    async def begin(self, held: Sequence[tuple[Record, Reservation]]) -> Sequence[Record]:
        self.calls.append(f"begin {len(held)}")
        await asyncio.sleep(0)
        if self.between:
            self.between.pop(0)()
        if any(record.id == "bad" for record, _ in held):
            raise ValueError("too large")
        shards = {shard.index: shard for shard in self.standing.shards}
        after = {shard.index: shard for _, taken in held for shard in taken.shards}
        stale = any(shards[n].version != shard.version for n, shard in after.items())
        if stale or any(record.id in self.stored for record, _ in held):
            raise Stale
        self.write(*after.values())
        begun = [replace(record, version="1") for record, _ in held]
        self.stored |= {record.id: record for record in begun}
        return begun

    def write(self, *changed: Shard) -> None:
        """Store shards, in new versions."""
        after = {s.index: replace(s, version=str(int(s.version) + 1)) for s in changed}
        shards = tuple(after.get(s.index, s) for s in self.standing.shards)
        self.standing = replace(self.standing, shards=shards)

    def grant(self, micros: int) -> None:
        """More credit, in the first shard."""
        first = self.standing.shards[0]
        left = first.lots["g"].micros
        self.write(replace(first, lots={"g": Lot(left + micros, NOW + CREDIT_LIFE)}))


def book(micros: int, shards: int = 1, limits: Limits | None = None) -> Book:
    lots = {"g": Lot(micros // shards, NOW + CREDIT_LIFE)}
    wallet = tuple(Shard(n, lots, version="1") for n in range(shards))
    return Book(Standing(account(shards=shards, limits=limits), wallet))


@dataclass
class Door:
    """An Admission to a book, and what it would have waited."""

    book: Book
    waits: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        async def sleep(seconds: float) -> None:
            self.waits.append(seconds)

        self.admission = Admission(self.book, lambda: NOW, Random(0), sleep)  # type: ignore[arg-type] # what it needs of Records

    def ask(self, name: str, micros: int = 100) -> Awaitable[Record]:
        return self.admission.reserve(self.book.look(name), draft(name, micros))

    async def outcomes(self, *asked: tuple[str, int]) -> list[Record | BaseException]:
        every = (self.ask(*one) for one in asked)
        return await asyncio.gather(*every, return_exceptions=True)


def test_one_alone_is_written_with_what_was_read_for_it() -> None:
    door = Door(book(1_000))
    record = asyncio.run(_awaited(door.ask("a")))
    assert record == door.book.stored["a"]
    assert record.hold.micros == 100
    assert door.book.calls == ["begin 1"]


def test_those_that_come_at_once_are_written_together_first_come_first_served() -> None:
    door = Door(book(400, shards=4))
    outcomes = asyncio.run(door.outcomes(*((f"r{n}", 100) for n in range(6))))
    assert [isinstance(one, InsufficientCredit) for one in outcomes] == [False] * 4 + [True] * 2
    assert list(door.book.stored) == ["r0", "r1", "r2", "r3"]
    assert door.book.calls == ["look 6", "begin 4"]
    assert door.book.standing.available_micros(NOW) == 0


def test_one_that_is_refused_keeps_nobody_out() -> None:
    door = Door(book(500, limits=Limits(rpm=3)))
    asked = [("a", 100), ("big", 900), ("b", 100), ("c", 100), ("d", 100)]
    a, big, b, c, d = asyncio.run(door.outcomes(*asked))
    assert isinstance(big, InsufficientCredit)
    assert isinstance(d, RateLimited)
    assert [one.id for one in (a, b, c) if isinstance(one, Record)] == ["a", "b", "c"]


def test_who_comes_meanwhile_is_in_the_next_write_and_at_most_so_many_are_in_one() -> None:
    async def scenario(door: Door) -> None:
        first = asyncio.create_task(_awaited(door.ask("first")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await door.outcomes(*((f"r{n}", 1) for n in range(MOST_TOGETHER + 2)))
        await first

    door = Door(book(10_000, shards=8))
    asyncio.run(scenario(door))
    most = MOST_TOGETHER
    assert door.book.calls == ["begin 1", f"look {most}", f"begin {most}", "look 2", "begin 2"]
    assert list(door.book.stored) == ["first", *(f"r{n}" for n in range(most + 2))]


def test_those_written_together_take_from_as_few_shards_as_they_can() -> None:
    door = Door(book(8_000, shards=8))
    asyncio.run(door.outcomes(*((f"r{n}", 10) for n in range(9))))
    assert sorted(s.version for s in door.book.standing.shards) == ["1"] * 7 + ["2"]


def test_of_two_with_one_id_the_second_finds_the_first() -> None:
    door = Door(book(1_000))
    first, second, other = asyncio.run(door.outcomes(("a", 100), ("a", 100), ("b", 100)))
    assert first == door.book.stored["a"]
    assert isinstance(second, Taken)
    assert second.record == first
    assert other == door.book.stored["b"]
    again = asyncio.run(door.outcomes(("c", 100), ("a", 100)))
    assert again[0] == door.book.stored["c"]
    assert isinstance(again[1], Taken)
    assert door.book.standing.available_micros(NOW) == 700


def test_after_anothers_write_all_are_decided_again_and_none_is_refused_for_what_was() -> None:
    door = Door(book(100))
    door.book.between += [lambda: door.book.grant(100), lambda: door.book.grant(100)]
    outcomes = asyncio.run(door.outcomes(("a", 100), ("b", 100), ("c", 100)))
    assert [one.id for one in outcomes if isinstance(one, Record)] == ["a", "b", "c"]
    assert door.book.calls == ["look 3", "begin 1", "look 3", "begin 2", "look 3", "begin 3"]
    assert len(door.waits) == 2


def test_an_id_that_another_instance_took_meanwhile_is_found_and_the_others_go_on() -> None:
    door = Door(book(1_000))
    theirs = draft("a")
    door.book.between.append(lambda: door.book.stored.update(a=theirs))
    first, second = asyncio.run(door.outcomes(("a", 100), ("b", 100)))
    assert isinstance(first, Taken)
    assert first.record == theirs
    assert second == door.book.stored["b"]


def test_where_others_always_come_first_all_are_told_so() -> None:
    door = Door(book(1_000))
    door.book.between += [lambda: door.book.grant(1)] * 99
    outcomes = asyncio.run(door.outcomes(("a", 100), ("b", 100)))
    assert [type(one) for one in outcomes] == [ProviderUnavailable] * 2
    assert not door.book.stored


def test_one_that_cannot_be_stored_keeps_nobody_out() -> None:
    door = Door(book(1_000))
    a, bad, b = asyncio.run(door.outcomes(("a", 100), ("bad", 100), ("b", 100)))
    assert isinstance(bad, ValueError)
    assert [one.id for one in (a, b) if isinstance(one, Record)] == ["a", "b"]
    with pytest.raises(ValueError, match="too large"):
        asyncio.run(_awaited(door.ask("bad")))


def test_who_went_away_before_their_hold_was_written_has_none() -> None:
    async def scenario(door: Door) -> None:
        first = asyncio.create_task(_awaited(door.ask("first")))
        await asyncio.sleep(0)
        gone, stays = (asyncio.create_task(_awaited(door.ask(name))) for name in ("gone", "stays"))
        await asyncio.sleep(0)
        gone.cancel()
        assert [one.id for one in await asyncio.gather(first, stays)] == ["first", "stays"]

    door = Door(book(1_000))
    asyncio.run(scenario(door))
    assert list(door.book.stored) == ["first", "stays"]


@given(
    asked=st.lists(st.integers(0, 60), min_size=1, max_size=8),
    credit=st.integers(0, 200),
    shards=st.integers(1, 4),
    rpm=st.none() | st.integers(1, 6),
    others=st.integers(0, 2),
)
def test_together_is_as_one_after_the_other(
    asked: list[int], credit: int, shards: int, rpm: int | None, others: int
) -> None:
    credit -= credit % shards
    together, alone = (Door(book(credit, shards, Limits(rpm=rpm))) for _ in range(2))
    for door in (together, alone):
        door.book.between += [lambda door=door: door.book.grant(5)] * others  # type: ignore[misc] # mypy cannot infer a default's type
    named = [(f"r{n}", micros) for n, micros in enumerate(asked)]
    outcomes = asyncio.run(together.outcomes(*named))
    single = [asyncio.run(alone.outcomes(one))[0] for one in named]
    if not others:
        assert [type(one) for one in outcomes] == [type(one) for one in single]
    held = sum(one.hold.micros for one in outcomes if isinstance(one, Record))
    granted = credit + 5 * (others - len(together.book.between))
    assert together.book.standing.available_micros(NOW) == granted - held >= 0
    assert sum(s.held for s in together.book.standing.shards) == held
    assert sum(s.in_minute(NOW) for s in together.book.standing.shards) == len(together.book.stored)


async def _awaited(asked: Awaitable[Record]) -> Record:
    return await asked

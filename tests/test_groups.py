"""Calls made together: who waits for whom, in which order, and what one's trouble is to others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from shared.groups import Groups


@dataclass
class Calls:
    """Answers each question with itself, once `open` is set; a negative one with an error of its
    own, and a call that has a 0 in it not at all."""

    made: list[tuple[tuple[int, ...], bool]] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def make(self, questions: Sequence[int], late: bool) -> Sequence[int | Exception]:
        self.made.append((tuple(questions), late))
        await self.open.wait()
        if 0 in questions:
            raise ConnectionError
        return [ValueError(str(one)) if one < 0 else one for one in questions]


async def turns(count: int = 5) -> None:
    """Let others go on."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_who_comes_while_a_call_is_under_way_is_in_the_next_in_the_order_they_came() -> None:
    async def scenario() -> None:
        calls = Calls()
        groups = Groups(calls.make, most=3)
        first = asyncio.create_task(groups.ask("a", 1))
        await turns()
        others = [asyncio.create_task(groups.ask("a", n)) for n in (5, 4, 3, 2)]
        elsewhere = asyncio.create_task(groups.ask("b", 9))
        await turns()
        assert calls.made == [((1,), False), ((9,), False)]
        calls.open.set()
        assert await asyncio.gather(first, *others, elsewhere) == [1, 5, 4, 3, 2, 9]
        assert calls.made[2:] == [((5, 4, 3), True), ((2,), True)]
        assert await groups.ask("a", 7) == 7
        assert calls.made[-1] == ((7,), False)
        assert not groups._waiting

    asyncio.run(scenario())


def test_an_error_of_ones_own_is_nobody_elses_and_the_calls_is_everybodys() -> None:
    async def scenario() -> None:
        calls = Calls()
        calls.open.set()
        groups = Groups(calls.make, most=9)
        asked = [groups.ask("a", n) for n in (1, -2, 3)]
        one, two, three = await asyncio.gather(*asked, return_exceptions=True)
        assert (one, three) == (1, 3)
        assert isinstance(two, ValueError)
        both = await asyncio.gather(groups.ask("a", 0), groups.ask("a", 1), return_exceptions=True)
        assert [type(error) for error in both] == [ConnectionError] * 2
        assert await groups.ask("a", 1) == 1

    asyncio.run(scenario())


def test_who_goes_away_is_left_out_of_a_call_that_has_not_begun_and_stops_none_that_has() -> None:
    async def scenario() -> None:
        calls = Calls()
        groups = Groups(calls.make, most=9)
        first, second = (asyncio.create_task(groups.ask("a", n)) for n in (1, 2))
        await turns()
        third, fourth = (asyncio.create_task(groups.ask("a", n)) for n in (3, 4))
        await turns()
        first.cancel()
        third.cancel()
        await turns()
        calls.open.set()
        assert [*await asyncio.gather(second, fourth)] == [2, 4]
        assert calls.made == [((1, 2), False), ((4,), True)]
        for gone in (first, third):
            with pytest.raises(asyncio.CancelledError):
                await gone

    asyncio.run(scenario())


def test_who_waits_when_the_loop_ends_is_told_so() -> None:
    async def scenario() -> None:
        groups = Groups(Calls().make, most=1)
        asked = [asyncio.create_task(groups.ask("a", n)) for n in (1, 2)]
        await turns()
        (call,) = groups._calls
        call.cancel()
        ends = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(end) for end in ends] == [asyncio.CancelledError] * 2
        assert not groups._waiting

    asyncio.run(scenario())

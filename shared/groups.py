"""Calls that are dear to make and cheap to make together: while one of a key is under way, those
that come meanwhile wait, and all that wait are made together as the next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Sequence
from contextvars import Context
from typing import Generic, Protocol, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")
_Q = TypeVar("_Q", contravariant=True)
_A = TypeVar("_A", covariant=True)


class Make(Protocol[_Q, _A]):
    """Makes one call of several questions and gives an answer to each, or its own error. What it
    raises is every one's. `late` is whether they had to wait for another call."""

    def __call__(
        self, questions: Sequence[_Q], late: bool, /
    ) -> Awaitable[Sequence[_A | Exception]]: ...


class Groups(Generic[Q, A]):
    """Who asks under one key, in the order they came, at most `most` in a call."""

    def __init__(self, make: Make[Q, A], most: int) -> None:
        self._make = make
        self._most = most
        self._waiting: dict[str, deque[tuple[Q, asyncio.Future[A]]]] = {}
        self._calls: set[asyncio.Task[None]] = set()

    async def ask(self, key: str, question: Q) -> A:
        """The answer to one question. Who goes away before its call has begun is left out of it;
        after that, the call is made for them too."""
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = deque()
            # In a task and a context of its own: it is nobody's to cancel, nor to log about.
            call = asyncio.create_task(self._answer(key), context=Context())
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
        waiting.append((question, future))
        return await future

    async def _answer(self, key: str) -> None:
        """Make calls until nobody waits any more."""
        waiting, late = self._waiting[key], False
        try:
            while group := self._next(waiting):
                await self._call(group, late)
                late = True
        finally:
            del self._waiting[key]
            for _, future in waiting:
                future.cancel()

    def _next(
        self, waiting: deque[tuple[Q, asyncio.Future[A]]]
    ) -> list[tuple[Q, asyncio.Future[A]]]:
        group: list[tuple[Q, asyncio.Future[A]]] = []
        while waiting and len(group) < self._most:
            question, future = waiting.popleft()
            if not future.done():
                group.append((question, future))
        return group

    async def _call(self, group: Sequence[tuple[Q, asyncio.Future[A]]], late: bool) -> None:
        try:
            answers = await self._make([question for question, _ in group], late)
        except Exception as error:
            answers = [error] * len(group)
        except BaseException:
            # The loop is ending.
            for _, future in group:
                future.cancel()
            raise
        for (_, future), answer in zip(group, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

"""How a request is served: routes in order, each call paced, tried again where that is safe, and
the next route taken where that helps. Every loop is bounded, by a count and by the caller's
deadline, and nothing is sent again once its outcome is unknown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random

from shared import log, pricing, routing
from shared.breaker import Breaker
from shared.catalogue import Catalogue
from shared.catalogue.rows import Provider as Account
from shared.catalogue.rows import Route
from shared.domain import Attempt, ImageRequest, Picture, Usage
from shared.endpoints import Endpoints
from shared.errors import (
    HTTP_STATUS,
    ContentBlocked,
    DarkroomError,
    Internal,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from shared.exchange import Answer, Call, Errand, Exchange
from shared.pacer import Pacer
from shared.providers.registry import WALLETS

TRIES = 4
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0
_PATIENCE_S = 10.0
"""Who can go elsewhere does not wait longer than this for a provider that is busy."""


@dataclass(frozen=True)
class Result:
    """What came of a request: pictures by one route, or an error, or both where only some came.
    `cost_micros` is what the pictures cost, `free` whether any of them was in a free allowance and
    `reply` the first picture's answer, for a later turn."""

    route: Route
    pictures: tuple[Picture, ...]
    attempts: tuple[Attempt, ...]
    usage: Usage = Usage()
    cost_micros: int = 0
    free: bool = False
    text: str | None = None
    reply: str | None = None
    error: DarkroomError | None = None


@dataclass(frozen=True)
class _Good:
    """An answer with pictures to a call for `asked` of them, and what it cost."""

    answer: Answer
    asked: int
    usage: Usage
    cost_micros: int
    free: bool


@dataclass
class _Trip:
    """One request by one route: `unit` is the route's price of a picture, `attempts` what was
    tried so far by all routes, `last` whether there is no other route after it."""

    route: Route
    account: Account
    unit: int
    errand: Errand
    attempts: list[Attempt]
    last: bool


class Transport:
    """Serves requests by the catalogue's routes."""

    def __init__(
        self,
        catalogue: Catalogue,
        endpoints: Endpoints,
        exchange: Exchange,
        pacer: Pacer,
        breaker: Breaker,
        sleep: Callable[[float], Awaitable[None]],
        random: Random,
    ) -> None:
        self._catalogue = catalogue
        self._endpoints = endpoints
        self._exchange = exchange
        self._pacer = pacer
        self._breaker = breaker
        self._sleep = sleep
        self._random = random
        self._places: dict[str, asyncio.Semaphore] = {}

    def open_to(self, *, test: bool) -> frozenset[str]:
        """The providers that can be reached."""
        return self._endpoints.open_to(test=test)

    async def run(self, request: ImageRequest, routes: tuple[Route, ...], errand: Errand) -> Result:
        """Try the routes in order. The next is taken only after an error that leaves nothing
        done and that another provider can cure."""
        attempts: list[Attempt] = []
        for route in routes:
            trip = _Trip(
                route=route,
                account=self._catalogue.providers[route.provider],
                unit=pricing.unit_micros(request, route, self._catalogue),
                errand=errand,
                attempts=attempts,
                last=route is routes[-1],
            )
            result = await self._by_route(request, trip)
            if result.pictures or result.error is None or not result.error.elsewhere:
                break
            if asyncio.get_running_loop().time() >= errand.deadline:
                break
        return result

    async def balance(self, provider: str) -> Decimal | None:
        """What a provider says is left of the account's credits; None where it has no way to.
        Raises DarkroomError."""
        for model in self._catalogue.models.values():
            for route in model.routes:
                if route.provider == provider and route.wire in WALLETS:
                    endpoint = await self._endpoints.of(route, test=False)
                    account = self._catalogue.providers[provider]
                    return await self._exchange.balance(WALLETS[route.wire], account, endpoint)
        return None

    async def close(self) -> None:
        """Close every connection."""
        await self._exchange.close()

    async def _by_route(self, request: ImageRequest, trip: _Trip) -> Result:
        """All the calls one route needs, at once."""
        route = trip.route
        rest_s = 0.0 if trip.errand.test else self._breaker.rest_s(route.provider)
        if rest_s:
            resting = ProviderUnavailable(
                f"{trip.account.name} keeps failing and is left alone for a moment.",
                retry_after_s=rest_s,
                provider=route.provider,
            )
            return Result(route, (), tuple(trip.attempts), error=resting)
        calls = routing.calls(request, route, self._catalogue.offer(route))
        answers = await asyncio.gather(*(self._persist(call, trip) for call in calls))
        good = [a for a in answers if isinstance(a, _Good)]
        errors = [a for a in answers if isinstance(a, DarkroomError)]
        dones = [a.answer.done for a in good]
        return Result(
            route=route,
            pictures=tuple(p for a in good for p in a.answer.pictures),
            attempts=tuple(trip.attempts),
            usage=_sum([a.usage for a in good]),
            cost_micros=sum(a.cost_micros for a in good),
            free=any(a.free for a in good),
            text="\n\n".join(done.text for done in dones if done.text) or None,
            reply=dones[0].reply if dones else None,
            error=max(errors, key=_gravity) if errors else _withheld(good),
        )

    async def _persist(self, request: ImageRequest, trip: _Trip) -> _Good | DarkroomError:
        """One call, retried while that is safe, useful and in time."""
        for tried in range(1, TRIES + 1):
            try:
                async with self._place(trip):
                    return await self._paced(request, trip)
            except Exception as fault:
                error = _known(fault)
                error.provider = trip.route.provider
                wait_s = self._wait_s(error, tried, trip)
                if wait_s is None or _now() + wait_s >= trip.errand.deadline:
                    return error
                await self._sleep(wait_s)
        raise AssertionError("the last try always returns")

    async def _paced(self, request: ImageRequest, trip: _Trip) -> _Good:
        """One try, once the provider's limits have room for it."""
        if trip.errand.test:
            return await self._tried(request, trip, free=False)
        expected = trip.unit * request.n
        patience_s = trip.errand.deadline - _now()
        taken = await self._pacer.take(trip.account, expected, patience_s)
        if taken is None:
            return await self._tried(request, trip, free=False)
        # Until it is known better, all of it was spent.
        spent, used = expected, True
        try:
            await self._sleep(taken.wait_s)
            good = await self._tried(request, trip, free=taken.free)
            spent = good.cost_micros
            return good
        except DarkroomError as error:
            spent = self._lost_micros(error, request, trip)
            used = spent > 0 or not error.elsewhere
            raise
        finally:
            paid = 0 if taken.free else spent
            await self._pacer.give_back(taken, trip.account, spent_micros=paid, used=used)

    @asynccontextmanager
    async def _place(self, trip: _Trip) -> AsyncIterator[None]:
        """One of the calls this process may make to a provider at once. Raises RateLimited when
        none is free in time."""
        account = trip.account
        if trip.errand.test:
            yield
            return
        places = self._places.setdefault(account.id, asyncio.Semaphore(account.in_flight))
        try:
            async with asyncio.timeout_at(trip.errand.deadline):
                await places.acquire()
        except TimeoutError as error:
            raise RateLimited(
                f"Too many requests are waiting for {account.name}.", retry_after_s=1.0
            ) from error
        try:
            yield
        finally:
            places.release()

    async def _tried(self, request: ImageRequest, trip: _Trip, *, free: bool) -> _Good:
        """One call, noted with its outcome and what it cost us. Raises DarkroomError."""
        started = time.monotonic()
        try:
            endpoint = await self._endpoints.of(trip.route, test=trip.errand.test)
            call = Call(request, trip.route, trip.account, endpoint)
            answer = await self._exchange.run(call, trip.errand)
        except Exception as fault:
            error = _known(fault)
            lost = 0 if free else self._lost_micros(error, request, trip)
            self._note(trip, error.code, error.details.get(HTTP_STATUS), started, lost)
            self._judge(trip, error)
            raise error from fault
        made = max(len(answer.pictures), len(answer.done.images))
        usage = replace(answer.done.usage, images=made)
        cost = 0 if free or trip.errand.test else pricing.cost_micros(usage, trip.route, trip.unit)
        self._note(trip, "succeeded", 200, started, cost)
        self._judge(trip, None)
        return _Good(answer, request.n, usage, cost, free)

    def _lost_micros(self, error: DarkroomError, request: ImageRequest, trip: _Trip) -> int:
        """What a failed call may have cost: what was counted, or all of it where nobody knows."""
        if trip.errand.test:
            return 0
        if error.usage is not None:
            return pricing.cost_micros(error.usage, trip.route, trip.unit)
        return trip.unit * request.n if isinstance(error, OutcomeUnknown) else 0

    def _judge(self, trip: _Trip, error: DarkroomError | None) -> None:
        """Tell the circuit breaker, and the log when that changes something."""
        if trip.errand.test:
            return
        provider = trip.route.provider
        if error is not None and _sick(error):
            if self._breaker.failed(provider):
                log.event("provider.down", severity="ERROR", provider=provider, code=error.code)
        elif self._breaker.succeeded(provider):
            log.event("provider.up", provider=provider)

    def _note(
        self, trip: _Trip, outcome: str, status: object, started: float, cost_micros: int
    ) -> None:
        latency_ms = round((time.monotonic() - started) * 1000)
        code = status if isinstance(status, int) else None
        provider = trip.route.provider
        trip.attempts.append(Attempt(provider, outcome, code, latency_ms, cost_micros))
        log.event(
            "provider.answered",
            severity="INFO" if outcome == "succeeded" else "WARNING",
            provider=provider,
            model=trip.route.model,
            outcome=outcome,
            latency_ms=latency_ms,
            cost_micros=cost_micros,
        )

    def _wait_s(self, error: DarkroomError, tried: int, trip: _Trip) -> float | None:
        """How long to wait before the next try; None when there must be none."""
        again = type(error) in (RateLimited, ProviderUnavailable) or (
            isinstance(error, ProviderError) and error.details.get(HTTP_STATUS) == 500
        )
        if not again or tried == TRIES:
            return None
        asked_s = error.retry_after_s or 0.0
        if asked_s > _PATIENCE_S and not trip.last:
            return None
        longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (tried - 1))
        return asked_s + self._random.uniform(0, longest)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _known(fault: Exception) -> DarkroomError:
    """An error of ours for whatever went wrong in a call."""
    if isinstance(fault, DarkroomError):
        return fault
    log.crash("provider.call_crashed", fault)
    return Internal("Something broke here. Nothing was charged.")


def _sick(error: DarkroomError) -> bool:
    """Whether an error speaks against the provider's health, whoever asks it whatever."""
    if isinstance(error, ProviderError):
        status = error.details.get(HTTP_STATUS)
        return isinstance(status, int) and status >= 500
    return isinstance(error, OutcomeUnknown) or type(error) is ProviderUnavailable


def _withheld(answers: list[_Good]) -> ContentBlocked | None:
    """What a filter kept back of answers that still brought pictures, whether it says so or there
    are only fewer than were asked for."""
    fewer = [
        a.answer.done
        for a in answers
        if a.answer.done.withheld or len(a.answer.done.images) < a.asked
    ]
    return ContentBlocked(fewer[0].reason or "No reason was given.") if fewer else None


def _gravity(error: DarkroomError) -> int:
    """Which of several calls' errors speaks for all: one that forbids another try first."""
    if isinstance(error, OutcomeUnknown):
        return 2
    return 0 if error.elsewhere else 1


def _sum(usages: list[Usage]) -> Usage:
    costs = [u.cost_micros for u in usages if u.cost_micros is not None]
    return Usage(
        input_tokens=sum(u.input_tokens for u in usages),
        output_tokens=sum(u.output_tokens for u in usages),
        source_tokens=sum(u.source_tokens for u in usages),
        thought_tokens=sum(u.thought_tokens for u in usages),
        image_tokens=sum(u.image_tokens for u in usages),
        images=sum(u.images for u in usages),
        cost_micros=sum(costs) if costs else None,
    )

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
    NoImage,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from shared.exchange import Answer, Call, Errand, Exchange
from shared.pacer import Pacer
from shared.providers.registry import WALLETS

TRIES = 4
TRIES_BEFORE_ANOTHER = 2
"""Where there is another route, it is soon the better bet."""
MAX_TEXT = 50_000
"""Characters: what is kept of a request is one document of 1 MiB."""
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0
_PATIENCE_S = 10.0
"""Who can go elsewhere does not wait longer than this for a provider that is busy."""


@dataclass(frozen=True)
class Result:
    """What came of a request: pictures by one route, or an error, or both where only some came.
    `charge_micros` is what the pictures are charged at, `free` whether any of them was in a free
    allowance and `reply` the first picture's answer, for a later turn."""

    route: Route
    pictures: tuple[Picture, ...]
    attempts: tuple[Attempt, ...]
    usage: Usage = Usage()
    charge_micros: int = 0
    free: bool = False
    text: str | None = None
    reply: str | None = None
    error: DarkroomError | None = None


@dataclass(frozen=True)
class _Good:
    """An answer with pictures to a call for `asked` of them: what they are charged at, and what
    they cost us."""

    answer: Answer
    asked: int
    usage: Usage
    charge_micros: int
    cost_micros: int
    free: bool


@dataclass
class _Trip:
    """One request by one route: `unit` is the route's price of a picture and `most` the most it may
    come to, `attempts` what was tried so far by all routes, `last` whether there is no other route
    after it, `called` whether the provider was."""

    route: Route
    account: Account
    unit: int
    most: int
    errand: Errand
    attempts: list[Attempt]
    last: bool
    called: bool = False


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
                most=pricing.most_micros(request, route, self._catalogue),
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
        answers: list[_Good | DarkroomError] = []
        try:
            answers += await asyncio.gather(*(self._persist(call, trip) for call in calls))
        finally:
            self._judge(trip, answers)
        good = [a for a in answers if isinstance(a, _Good)]
        errors = [a for a in answers if isinstance(a, DarkroomError)]
        dones = [a.answer.done for a in good]
        return Result(
            route=route,
            pictures=tuple(p for a in good for p in a.answer.pictures),
            attempts=tuple(trip.attempts),
            usage=_sum([a.usage for a in good]),
            charge_micros=sum(a.charge_micros for a in good),
            free=any(a.free for a in good),
            text="\n\n".join(done.text for done in dones if done.text)[:MAX_TEXT] or None,
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
        expected = trip.most * request.n
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
        none is free in time, which is less for who can go elsewhere."""
        account = trip.account
        if trip.errand.test:
            yield
            return
        places = self._places.setdefault(account.id, asyncio.Semaphore(account.in_flight))
        try:
            patient = trip.errand.deadline if trip.last else _now() + _PATIENCE_S
            async with asyncio.timeout_at(min(patient, trip.errand.deadline)):
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
            trip.called = True
            answer = await self._exchange.run(call, trip.errand)
        except Exception as fault:
            error = _known(fault)
            lost = 0 if free else self._lost_micros(error, request, trip)
            self._note(trip, error.code, error.details.get(HTTP_STATUS), started, lost)
            raise error from fault
        done, gratis = answer.done, free or trip.errand.test
        made = max(len(answer.pictures), len(done.images), done.usage.images)
        usage = replace(done.usage, images=made)
        charge = 0 if gratis else pricing.charge_micros(usage, trip.route, trip.unit)
        cost = 0 if gratis else pricing.cost_micros(usage, trip.route, trip.unit)
        self._note(trip, "succeeded", 200, started, cost)
        return _Good(answer, request.n, usage, charge, cost, free)

    def _lost_micros(self, error: DarkroomError, request: ImageRequest, trip: _Trip) -> int:
        """What a failed call may have cost: what was counted, or all of it where nobody knows, and
        where the provider charges for refusals."""
        if trip.errand.test:
            return 0
        if error.usage is not None and (error.usage.output_tokens or error.usage.images):
            counted = pricing.cost_micros(error.usage, trip.route, trip.unit)
        else:
            counted = 0
        refused = isinstance(error, ContentBlocked | NoImage) and trip.route.bills_refusals
        paid = error.paid or isinstance(error, OutcomeUnknown) or refused
        return max(counted, trip.unit * request.n) if paid else counted

    def _judge(self, trip: _Trip, answers: list[_Good | DarkroomError]) -> None:
        """Tell the circuit breaker how one request fared, and the log when that changes anything.
        However often it tried, it is one voice."""
        provider = trip.route.provider
        if trip.errand.test:
            return
        if not trip.called or not answers:
            self._breaker.abandoned(provider)
        elif all(isinstance(a, DarkroomError) and _sick(a) for a in answers):
            if self._breaker.failed(provider):
                log.event("provider.down", severity="ERROR", provider=provider)
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
        leaves = error.elsewhere and not trip.last
        if not again or tried >= (TRIES_BEFORE_ANOTHER if leaves else TRIES):
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

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
from shared.domain import Attempt, ImageRequest, Task
from shared.endpoints import Endpoints
from shared.errors import (
    HTTP_STATUS,
    ContentBlocked,
    DarkroomError,
    NoImage,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from shared.exchange import BLIND_POLLS, Answer, Call, Errand, Exchange, Parked, of_task
from shared.pacer import Pacer
from shared.providers import Pending
from shared.providers.registry import WALLETS
from shared.results import Good, Result, combined, counted, known, sick

TRIES = 4
TRIES_BEFORE_ANOTHER = 2
"""Where there is another route, it is soon the better bet."""
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0
_PATIENCE_S = 10.0
"""Who can go elsewhere does not wait longer than this for a provider that is busy."""


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
    last: bool = True
    called: bool = False

    def tell(self) -> None:
        """Say what was tried, to whoever wants to know, before more is."""
        if self.attempts and self.errand.tried is not None:
            self.errand.tried.put_nowait(tuple(self.attempts))


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
        done and that another provider can cure. Raises Parked, where the errand parks."""
        attempts: list[Attempt] = []
        for route in routes:
            trip = self._trip(request, route, errand, attempts)
            trip.last = route is routes[-1]
            trip.tell()
            result = await self._by_route(request, trip)
            if result.pictures or result.error is None or not result.error.elsewhere:
                break
            if asyncio.get_running_loop().time() >= errand.deadline:
                break
        return result

    async def look(
        self, request: ImageRequest, task: Task, errand: Errand, waited_s: float
    ) -> Result | Task:
        """What became of a parked task; the task again while it is not finished. A look that fails
        says nothing of it, until too many have."""
        route = self._catalogue.route(task.route)
        trip = self._trip(request, route, errand, [])
        started = time.monotonic() - waited_s
        [fitted] = routing.calls(request, route, self._catalogue.offer(route))
        try:
            endpoint = await self._endpoints.of(route, test=errand.test)
            call = Call(fitted, route, trip.account, endpoint)
            found = await self._exchange.look(task.token, call, errand)
        except Exception as fault:
            error = known(fault)
            if not of_task(error) and task.blind + 1 < BLIND_POLLS:
                return replace(task, blind=task.blind + 1)
            if not of_task(error):
                error = OutcomeUnknown(
                    f"{trip.account.name} took the request and does not say what became of it.",
                    private=error.private or error.message,
                )
            error.provider = route.provider
            self._note_error(error, fitted, trip, started, free=False)
            return combined(route, [error], trip.attempts)
        if isinstance(found, Pending):
            return replace(task, token=found.token, blind=0)
        good = self._good(found, fitted, trip, started, free=False)
        return combined(route, [good], trip.attempts)

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

    def _trip(
        self, request: ImageRequest, route: Route, errand: Errand, attempts: list[Attempt]
    ) -> _Trip:
        return _Trip(
            route=route,
            account=self._catalogue.providers[route.provider],
            unit=pricing.unit_micros(request, route, self._catalogue),
            most=pricing.most_micros(request, route, self._catalogue),
            errand=errand,
            attempts=attempts,
        )

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
        calls = tuple(routing.calls(request, route, self._catalogue.offer(route)))
        if len(calls) > 1:
            # Several tasks have no one token.
            trip.errand = replace(trip.errand, parks=False)
        answers: list[Good | DarkroomError] = []
        try:
            answers += await asyncio.gather(*(self._persist(call, trip) for call in calls))
        except Parked as parked:
            parked.route, parked.attempts = route.key, tuple(trip.attempts)
            raise
        finally:
            self._judge(trip, answers)
        return combined(route, answers, trip.attempts)

    async def _persist(self, request: ImageRequest, trip: _Trip) -> Good | DarkroomError:
        """One call, retried while that is safe, useful and in time."""
        for tried in range(1, TRIES + 1):
            try:
                async with self._place(trip):
                    return await self._paced(request, trip)
            except Parked:
                raise
            except Exception as fault:
                error = known(fault)
                error.provider = trip.route.provider
                wait_s = self._wait_s(error, tried, trip)
                if wait_s is None or _now() + wait_s >= trip.errand.deadline:
                    return error
                trip.tell()
                await self._sleep(wait_s)
        raise AssertionError("the last try always returns")

    async def _paced(self, request: ImageRequest, trip: _Trip) -> Good:
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

    async def _tried(self, request: ImageRequest, trip: _Trip, *, free: bool) -> Good:
        """One call, noted with its outcome and what it cost us. Raises DarkroomError."""
        started = time.monotonic()
        try:
            endpoint = await self._endpoints.of(trip.route, test=trip.errand.test)
            call = Call(request, trip.route, trip.account, endpoint)
            trip.called = True
            answer = await self._exchange.run(call, trip.errand)
        except Parked:
            raise
        except Exception as fault:
            error = known(fault)
            self._note_error(error, request, trip, started, free=free)
            raise error from fault
        return self._good(answer, request, trip, started, free=free)

    def _good(
        self, answer: Answer, request: ImageRequest, trip: _Trip, started: float, *, free: bool
    ) -> Good:
        """A call that brought pictures, noted."""
        usage, gratis = counted(answer), free or trip.errand.test
        charge = 0 if gratis else pricing.charge_micros(usage, trip.route, trip.unit)
        cost = 0 if gratis else pricing.cost_micros(usage, trip.route, trip.unit)
        self._note(trip, "succeeded", 200, started, cost)
        return Good(answer, request.n, usage, charge, cost, free)

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

    def _judge(self, trip: _Trip, answers: list[Good | DarkroomError]) -> None:
        """Tell the circuit breaker how one request fared, and the log when that changes anything.
        However often it tried, it is one voice."""
        provider = trip.route.provider
        if trip.errand.test:
            return
        if not trip.called or not answers:
            self._breaker.abandoned(provider)
        elif all(isinstance(a, DarkroomError) and sick(a) for a in answers):
            if self._breaker.failed(provider):
                log.event("provider.down", severity="ERROR", provider=provider)
        elif self._breaker.succeeded(provider):
            log.event("provider.up", provider=provider)

    def _note_error(
        self,
        error: DarkroomError,
        request: ImageRequest,
        trip: _Trip,
        started: float,
        *,
        free: bool,
    ) -> None:
        lost = 0 if free else self._lost_micros(error, request, trip)
        self._note(trip, error.code, error.details.get(HTTP_STATUS), started, lost)

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
            sandbox=trip.errand.test,
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

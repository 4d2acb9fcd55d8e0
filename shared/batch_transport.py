"""A provider's own batches: handed over, found again, looked at, called back, and their results
read line by line. What may have been handed over is never handed over again unseen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx

from shared import jsonl, pricing, routing
from shared.catalogue import Catalogue
from shared.catalogue.rows import Provider as Account
from shared.catalogue.rows import Route
from shared.domain import Endpoint, ImageRequest
from shared.endpoints import Endpoints
from shared.errors import OutcomeUnknown, ProviderError, ProviderUnavailable
from shared.exchange import Call, Errand, Exchange
from shared.pacer import Pacer
from shared.providers import Batches, Done, Order, Outcome, Progress
from shared.providers.registry import BATCHES
from shared.results import Good, Result, combined, counted

MAX_STEPS = 4
MAX_PAGES = 20
MAX_LINE_BYTES = 128 * 2**20
"""Of a line of results: a few of the largest pictures, and what was thought on the way."""


@dataclass(frozen=True)
class Door:
    """Where batches of one route go, for a test key's errand or a live one's."""

    route: Route
    account: Account
    endpoint: Endpoint
    errand: Errand

    @property
    def adapter(self) -> Batches:
        """Who speaks its batch API."""
        return BATCHES[self.route.wire]


class BatchTransport:
    """Reaches providers' batches over the same exchange as single calls."""

    def __init__(
        self, catalogue: Catalogue, endpoints: Endpoints, exchange: Exchange, pacer: Pacer
    ) -> None:
        self._catalogue = catalogue
        self._endpoints = endpoints
        self._exchange = exchange
        self._pacer = pacer

    async def door(self, route_key: str, errand: Errand) -> Door:
        """Raises DarkroomError."""
        route = self._catalogue.route(route_key)
        endpoint = await self._endpoints.of(route, test=errand.test)
        return Door(route, self._catalogue.providers[route.provider], endpoint, errand)

    async def line(self, key: str, request: ImageRequest, door: Door) -> bytes:
        """A loaded request as a line of a batch."""
        offer = self._catalogue.offer(door.route)
        [fitted] = routing.calls(request, door.route, offer)
        return await asyncio.to_thread(door.adapter.line, key, fitted, door.endpoint)

    async def send(self, order: Order, most_micros: int, door: Door) -> str:
        """Hand a batch over, which may cost so much; its token. OutcomeUnknown says that it may
        have been taken: `find` tells. Raises DarkroomError."""
        account, adapter = door.account, door.adapter
        taken = None
        if not door.errand.test:
            taken = await self._pacer.take(account, most_micros, 0.0)
        spent = 0
        try:
            request = await asyncio.to_thread(adapter.begin, order, door.endpoint)
            for _ in range(MAX_STEPS):
                spent = most_micros
                response = await self._exchange.call(request, account, door.errand)
                found = adapter.read_begun(response, order, door.endpoint)
                if isinstance(found, str):
                    return found
                request = found
            raise OutcomeUnknown(f"{account.name} did not take the batch.")
        except (OutcomeUnknown, ProviderError):
            raise
        except Exception:
            spent = 0
            raise
        finally:
            if taken is not None:
                used = spent > 0
                await self._pacer.give_back(taken, account, spent_micros=spent, used=used)

    async def find(self, name: str, door: Door) -> str | None:
        """The token of the batch of that name, if the provider has it. Raises DarkroomError."""
        page: str | None = None
        for _ in range(MAX_PAGES):
            request = door.adapter.find(name, door.endpoint, page)
            response = await self._exchange.call(request, door.account, door.errand)
            token, page = door.adapter.read_found(response, name)
            if token is not None or page is None:
                return token
        return None

    async def look(self, token: str, door: Door) -> Progress:
        """How a batch stands. Raises DarkroomError."""
        request = door.adapter.poll(token, door.endpoint)
        response = await self._exchange.call(request, door.account, door.errand)
        return await asyncio.to_thread(door.adapter.read_progress, response)

    async def cancel(self, token: str, door: Door) -> None:
        """Call a batch back, as far as that goes: `look` tells. Raises DarkroomError."""
        request = door.adapter.cancel(token, door.endpoint)
        await self._exchange.call(request, door.account, door.errand)

    async def lines(self, file: str, offset: int, door: Door) -> AsyncIterator[tuple[bytes, int]]:
        """The lines of a file of results from that byte on, each with the byte after it. Raises
        ProviderUnavailable where it stops short; ProviderError for what is no file."""
        request = door.adapter.download(file, offset, door.endpoint)
        async with self._exchange.stream(request, door.account, door.errand) as response:
            if response.status_code == 416 and offset:
                # It was read to its end before.
                return
            if response.status_code not in (200, 206):
                raise _no_file(response, door)
            # Who knows nothing of ranges sends all of it.
            ahead = offset if response.status_code == 200 else 0
            whole = jsonl.lines(_after(response.aiter_bytes(), ahead), MAX_LINE_BYTES)
            async for line, end in whole:
                yield line, offset + end

    async def result(self, outcome: Outcome, request: ImageRequest, door: Door) -> Result:
        """What a line brought, its pictures seen to be some, at the batch's price."""
        if not isinstance(outcome.done, Done):
            outcome.done.provider = door.route.provider
            return combined(door.route, [outcome.done], ())
        cheap, test = pricing.discounted(door.route), door.errand.test
        call = Call(request, door.route, door.account, door.endpoint)
        answer = await self._exchange.collect(outcome.done, call, door.errand)
        unit = pricing.unit_micros(request, cheap, self._catalogue)
        usage = counted(answer)
        charge = 0 if test else pricing.charge_micros(usage, cheap, unit)
        good = Good(answer, request.n, usage, charge, charge, False)
        return combined(door.route, [good], ())


async def _after(pieces: AsyncIterator[bytes], ahead: int) -> AsyncIterator[bytes]:
    """A stream without its first bytes."""
    async for piece in pieces:
        skipped = min(ahead, len(piece))
        ahead -= skipped
        if skipped < len(piece):
            yield piece[skipped:]


def _no_file(response: httpx.Response, door: Door) -> ProviderUnavailable | ProviderError:
    status = response.status_code
    if status in (408, 429) or status >= 500:
        return ProviderUnavailable(f"{door.account.name} does not give the results out now.")
    return ProviderError(f"{door.account.name} has no results any more.")

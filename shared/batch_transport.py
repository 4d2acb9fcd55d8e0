"""A provider's own batches: handed over, found again, looked at, called back, and their results
read line by line. What may have been handed over is never handed over again unseen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import httpx

from shared import apart, jsonl, pricing, routing
from shared.catalogue import Catalogue
from shared.catalogue.rows import Provider as Account
from shared.catalogue.rows import Route
from shared.domain import Endpoint, ImageRequest
from shared.endpoints import Endpoints
from shared.errors import (
    HTTP_STATUS,
    DarkroomError,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
)
from shared.exchange import Call, Errand, Exchange
from shared.pacer import Pacer
from shared.providers import Batches, Done, Order, Outcome, Progress
from shared.providers.registry import BATCHES
from shared.results import Good, Result, combined, counted

MAX_STEPS = 4
MAX_PAGES = 20
SEND_S = 240.0
"""What handing a batch over may take: less than its worker's lease by far."""
GONE = (404, 410)
"""Statuses of what is there no more."""
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
        bare = not (request.sources or request.mask or request.turns)
        line = await apart.run(bare, door.adapter.line, key, fitted, door.endpoint)
        # As it comes from orjson it keeps kilobytes to spare, and thousands wait together.
        return bytes(memoryview(line))

    async def send(self, order: Order, most_micros: int, door: Door) -> str:
        """Hand a batch over, which may cost so much; its token. Raises DarkroomError:
        `may_be_there` says whether it may have been taken, and `find` whether it was."""
        if door.errand.test:
            return await self._handed_over(order, door)
        taken = await self._pacer.take(door.account, most_micros, 0.0)
        spent = most_micros
        try:
            return await self._handed_over(order, door)
        except DarkroomError as error:
            spent = most_micros if may_be_there(error) else 0
            raise
        finally:
            if taken is not None:
                await self._pacer.give_back(taken, door.account, spent, used=spent > 0)

    async def _handed_over(self, order: Order, door: Door) -> str:
        account, adapter = door.account, door.adapter
        try:
            async with asyncio.timeout(SEND_S):
                request = await asyncio.to_thread(adapter.begin, order, door.endpoint)
                for _ in range(MAX_STEPS):
                    response = await self._exchange.call(request, account, door.errand)
                    found = adapter.read_begun(response, order, door.endpoint)
                    if isinstance(found, str):
                        return found
                    request = found
        except TimeoutError as error:
            raise OutcomeUnknown(f"{account.name} took too long to take the batch.") from error
        raise OutcomeUnknown(f"{account.name} did not take the batch.")

    async def find(self, name: str, door: Door) -> str | None:
        """The token of the batch of that name, if the provider has it. Raises DarkroomError."""
        page: str | None = None
        for _ in range(MAX_PAGES):
            request = door.adapter.find(name, door.endpoint, page)
            response = await self._exchange.call(request, door.account, door.errand)
            token, page = door.adapter.read_found(response, name)
            if token is not None or page is None:
                return token
        raise ProviderUnavailable(f"{door.account.name} has too many batches to find one.")

    async def look(self, token: str, door: Door) -> Progress:
        """How a batch stands. Raises DarkroomError."""
        request = door.adapter.poll(token, door.endpoint)
        response = await self._exchange.call(request, door.account, door.errand)
        return await asyncio.to_thread(door.adapter.read_progress, response)

    async def cancel(self, token: str, door: Door) -> None:
        """Call a batch back, as far as that goes: `look` tells. Raises DarkroomError."""
        request = door.adapter.cancel(token, door.endpoint)
        await self._exchange.call(request, door.account, door.errand)

    async def lines(self, file: str, offset: int, door: Door) -> AsyncGenerator[tuple[bytes, int]]:
        """The lines of a file of results from that byte on, each with the byte after it. Raises
        ProviderUnavailable where it stops short; ProviderError for what is no file."""
        request = door.adapter.download(file, offset, door.endpoint)
        async with self._exchange.stream(request, door.account, door.errand) as response:
            if response.status_code == 416 and offset:
                # It was read to its end before.
                return
            if response.status_code not in (200, 206):
                raise _no_file(response, door)
            if response.headers.get("content-type", "").startswith("text/html"):
                raise ProviderUnavailable(f"{door.account.name} sent a page for the results.")
            # Who knows nothing of ranges sends all of it.
            ahead = offset if response.status_code == 200 else 0
            pieces = _after(response.aiter_bytes(), ahead)
            async for line, end in jsonl.lines(pieces, MAX_LINE_BYTES, skip=True):
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

    def lost_micros(self, error: DarkroomError, request: ImageRequest, door: Door) -> int:
        """What a line without a picture cost at the batch's price, as far as that was counted."""
        usage = error.usage
        if door.errand.test or usage is None or not (usage.output_tokens or usage.images):
            return 0
        cheap = pricing.discounted(door.route)
        return pricing.cost_micros(
            usage, cheap, pricing.unit_micros(request, cheap, self._catalogue)
        )


async def _after(pieces: AsyncIterator[bytes], ahead: int) -> AsyncIterator[bytes]:
    """A stream without its first bytes."""
    async for piece in pieces:
        skipped = min(ahead, len(piece))
        ahead -= skipped
        if skipped < len(piece):
            yield piece[skipped:]


def _no_file(response: httpx.Response, door: Door) -> ProviderUnavailable | ProviderError:
    """Only what is not there is lost; all else may be better the next time."""
    if response.status_code in GONE:
        details = {HTTP_STATUS: response.status_code}
        return ProviderError(f"{door.account.name} has no results any more.", details=details)
    return ProviderUnavailable(f"{door.account.name} does not give the results out now.")


def may_be_there(error: DarkroomError) -> bool:
    """Whether a batch may have been taken, whatever the answer was."""
    status = error.details.get(HTTP_STATUS)
    return isinstance(error, OutcomeUnknown) or (
        isinstance(error, ProviderError) and (not isinstance(status, int) or status >= 500)
    )


def is_gone(error: DarkroomError) -> bool:
    """Whether a provider knows nothing any more of what it was asked for."""
    return error.details.get(HTTP_STATUS) in GONE

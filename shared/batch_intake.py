"""A batch on its way in: every line understood and priced, every bad one told of by its number,
and the good ones put into storage in chunks, in bounded memory. Nothing is spent here."""

from __future__ import annotations

import asyncio
import codecs
import hashlib
import secrets
from array import array
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace

from shared import fetch, json_size, jsonl, names, pixels, pricing, routing
from shared.app import App
from shared.batch_domain import Group, Mode
from shared.batch_items import BatchAsk, Item
from shared.batch_lines import Kept, alike, keep
from shared.catalogue.rows import Route
from shared.domain import ImageRequest, Json
from shared.errors import DarkroomError, InvalidRequest, PayloadTooLarge
from shared.providers.registry import BATCHES

MAX_ITEMS = 100_000
MAX_BYTES = 2 * 2**30
MAX_LINE_BYTES = 96 * 2**20
MAX_GROUPS = 64
CHUNK_ITEMS = 500
CHUNK_BYTES = 4 * 2**20
MAX_BLANK = 100_000
MAX_TOLD = 100
MAX_TOLD_LENGTH = 300
MAX_WAYS = 1_000
"""How many kinds of request are remembered with their price."""
_AT_ONCE = 100
_AT_ONCE_BYTES = 2**20


class BadItems(InvalidRequest):
    """Lines of a batch that cannot be done: `details["lines"]` has the first of them, each with its
    number, the field and why."""


@dataclass(frozen=True)
class Way:
    """How an item is made, at what price: `kind` is what of it has to be alike in one batch."""

    mode: Mode
    route: Route
    kind: str
    held_micros: int
    listed_micros: int

    @property
    def key(self) -> tuple[str, str, str]:
        """Items with the same go together."""
        return self.mode, self.route.key, self.kind


@dataclass
class _Group:
    """A group in the making: what of it is not in storage yet."""

    way: Way
    items: int = 0
    chunks: int = 0
    waiting: list[bytes] = field(default_factory=list)
    weight: int = 0


@dataclass(frozen=True)
class Intake:
    """What a batch comes to, and where its items lie."""

    name: str
    groups: tuple[Group, ...]
    total: int
    held_micros: int
    listed_micros: int


class _Names:
    """The names that have been there, in eight bytes each, whatever their length: they are told
    apart by a keyed hash, which takes one of a hundred thousand for another once in a billion
    batches."""

    _PLACES = 2**18

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)
        self._hashes = array("Q", [0]) * self._PLACES

    def add(self, name: str) -> bool:
        """Take a name; False if it has been there. There is room for twice MAX_ITEMS."""
        data = name.encode(errors="surrogatepass")
        digest = hashlib.blake2b(data, digest_size=8, key=self._key).digest()
        # An empty place holds 0.
        mark = int.from_bytes(digest) or 1
        at = mark % self._PLACES
        while self._hashes[at]:
            if self._hashes[at] == mark:
                return False
            at = (at + 1) % self._PLACES
        self._hashes[at] = mark
        return True


class Reader:
    """Reads one batch's lines into storage, under a prefix of its own."""

    def __init__(self, app: App, ask: BatchAsk, batch_id: str) -> None:
        self._app = app
        self._ask = ask
        self._batch_id = batch_id
        self.intake = app.new_id()
        self._open = app.transport.open_to(test=ask.caller.test)
        self._today = app.today()
        self._seen = _Names()
        self._ways: dict[bytes, Way] = {}
        self._groups: dict[tuple[str, str, str], _Group] = {}
        self._problems: list[Mapping[str, Json]] = []
        self._bad = 0
        self._total = 0
        self._bytes = 0
        self._held = 0
        self._listed = 0

    async def read(self) -> Intake:
        """All of it. Raises BadItems, PayloadTooLarge, InvalidRequest; nothing is left behind
        then."""
        try:
            await self._read()
            if self._bad or not self._total:
                raise self._refusal()
            for number, group in enumerate(self._groups.values()):
                await self._flush(number, group)
        except BaseException:
            await self.forget()
            raise
        return Intake(
            name=self.intake,
            groups=tuple(
                Group(g.way.mode, g.way.route.key, g.items, g.chunks) for g in self._groups.values()
            ),
            total=self._total,
            held_micros=self._held,
            listed_micros=self._listed,
        )

    async def _read(self) -> None:
        async for numbered in _together(jsonl.lines(self._ask.source, MAX_LINE_BYTES)):
            for number, understood in await asyncio.to_thread(self._understand, numbered):
                if isinstance(understood, DarkroomError):
                    self._tell(number, understood)
                else:
                    await self._take(number, *understood)

    def _understand(
        self, numbered: list[tuple[int, bytes]]
    ) -> list[tuple[int, tuple[Item, Way] | DarkroomError]]:
        """Some lines, on a thread: number, and what it is or why it is nothing."""
        return [(number, self._one(line)) for number, line in numbered]

    def _one(self, line: bytes) -> tuple[Item, Way] | DarkroomError:
        try:
            json_size.check_values(line)
            item = self._ask.parse(line)
            self._look_at_images(item.request)
            self._app.blocklist.check(item.request)
            return item, self._way(item.request)
        except DarkroomError as error:
            return error

    def _look_at_images(self, request: ImageRequest) -> None:
        """What can be said of its images before they are loaded. Raises DarkroomError."""
        named = [(f"images[{n}]", ref) for n, ref in enumerate(request.refs)]
        named += [("mask", request.mask_ref)] if request.mask_ref else []
        for param, ref in named:
            if ref.data is not None:
                pixels.inspect(ref.data, param)
            elif ref.url is not None and ref.url[:5].lower() != "data:":
                allowed = self._app.settings.allow_private_urls
                fetch.check_url(ref.url, f"{param}.url", allow_private=allowed)

    def _way(self, request: ImageRequest) -> Way:
        """How it is made; requests that are alike are looked at once. Raises DarkroomError."""
        if request.refs or request.mask_ref:
            return self._cheapest(request)
        kind = alike(request)
        way = self._ways.get(kind)
        if way is None:
            if len(self._ways) >= MAX_WAYS:
                self._ways.clear()
            way = self._ways[kind] = self._cheapest(request)
        return way

    def _cheapest(self, request: ImageRequest) -> Way:
        """The cheapest of those the batch's mode allows. Raises DarkroomError."""
        app, mode = self._app, self._ask.mode
        routes = routing.plan(request, app.catalogue, self._open, self._today).routes
        alone = pricing.unit_micros(request, routes[0], app.catalogue)
        together = [] if mode == "fanout" else list(self._together(request, routes))
        best = min(together, key=lambda way: way.listed_micros, default=None)
        if best is not None and (mode == "provider" or best.listed_micros <= alone * request.n):
            return self._free(best)
        if mode == "provider":
            raise InvalidRequest(
                "No provider takes this in a batch of its own: ask for one picture an item, of a "
                "model with a batch price, or send the batch with another mode.",
                param="mode",
            )
        held = max(pricing.most_micros(request, r, app.catalogue) for r in routes) * request.n
        return self._free(Way("fanout", routes[0], "", held, alone * request.n))

    def _together(self, request: ImageRequest, routes: tuple[Route, ...]) -> Iterator[Way]:
        """The ways by a provider's own batches: one call an item, for they are told apart by it."""
        catalogue = self._app.catalogue
        for route in routes:
            adapter = BATCHES.get(route.wire)
            # A dialect is another host's, whose batches are not these.
            if adapter is None or route.batch_price is None or route.dialect:
                continue
            if len(tuple(routing.calls(request, route, catalogue.offer(route)))) > 1:
                continue
            cheap = pricing.discounted(route)
            held = pricing.most_micros(request, cheap, catalogue) * request.n
            unit = pricing.unit_micros(request, cheap, catalogue)
            yield Way("provider", route, adapter.kind(request), held, unit * request.n)

    def _free(self, way: Way) -> Way:
        return replace(way, held_micros=0) if self._ask.caller.test else way

    async def _take(self, number: int, item: Item, way: Way) -> None:
        if way.key not in self._groups and len(self._groups) >= MAX_GROUPS:
            ways = f"A batch goes at most {MAX_GROUPS} ways: send fewer models in one."
            self._tell(number, InvalidRequest(ways, param="model"))
            return
        if not self._seen.add(item.custom_id):
            twice = f"The custom_id {item.custom_id[:100]!r} is there twice."
            again = InvalidRequest(twice, param="custom_id")
            self._tell(number, again)
            return
        index = self._total
        self._total += 1
        if self._bad:
            # Nothing of it will be made: the lines are only looked at.
            return
        group = self._groups.setdefault(way.key, _Group(way))
        self._held += way.held_micros
        self._listed += way.listed_micros
        kept = Kept(index, item.custom_id, way.held_micros, item.request)
        images = any(ref.data for ref in item.request.refs)
        line = await asyncio.to_thread(keep, kept) if images else keep(kept)
        # With what the batch's defaults add to every item.
        self._bytes += len(line)
        if self._bytes > MAX_BYTES:
            raise PayloadTooLarge(f"The items have more than {MAX_BYTES} bytes.", param="items")
        group.waiting.append(line)
        group.items += 1
        group.weight += len(line)
        if len(group.waiting) >= CHUNK_ITEMS or group.weight >= CHUNK_BYTES:
            await self._flush(list(self._groups).index(way.key), group)

    async def _flush(self, number: int, group: _Group) -> None:
        if not group.waiting:
            return
        name = names.batch_chunk(self._batch_id, self.intake, number, group.chunks)
        data = b"\n".join(group.waiting)
        await self._app.storage.put(name, data, "application/jsonl", {})
        group.chunks += 1
        group.waiting, group.weight = [], 0

    async def forget(self) -> None:
        """Delete what was stored of a batch that does not come to be."""
        written = names.batch_items(self._batch_id, self.intake)
        for name in await self._app.storage.list(written):
            await self._app.storage.delete(name)

    def _tell(self, number: int, error: DarkroomError) -> None:
        self._bad += 1
        if len(self._problems) < MAX_TOLD:
            param = error.param[:MAX_TOLD_LENGTH] if error.param else None
            message = error.message[:MAX_TOLD_LENGTH]
            told: Mapping[str, Json] = {"line": number, "param": param, "message": message}
            self._problems.append(told)

    def _refusal(self) -> BadItems:
        if not self._bad:
            return BadItems("A batch has at least one item.", param="items")
        first = self._problems[0]
        return BadItems(
            f"{self._bad} of the lines cannot be done. Line {first['line']}: {first['message']}",
            param="items",
            details={"lines": self._problems, "bad": self._bad},
        )


async def _together(
    lines: AsyncIterator[tuple[bytes, int]],
) -> AsyncIterator[list[tuple[int, bytes]]]:
    """Lines that are not empty, numbered from 1, some at once. Raises PayloadTooLarge."""
    number, items, blank, weight = 0, 0, 0, 0
    some: list[tuple[int, bytes]] = []
    async for line, end in lines:
        number += 1
        if number == 1:
            # Written by some editors before the first letter.
            line = line.removeprefix(codecs.BOM_UTF8)
        if end > MAX_BYTES:
            raise PayloadTooLarge(f"A batch has at most {MAX_BYTES} bytes.", param="items")
        if not line.strip():
            blank += 1
            if blank > MAX_BLANK:
                raise PayloadTooLarge("The batch is mostly empty lines.", param="items")
            if blank % _AT_ONCE == 0:
                await asyncio.sleep(0)
            continue
        items += 1
        if items > MAX_ITEMS:
            raise PayloadTooLarge(f"A batch has at most {MAX_ITEMS} items.", param="items")
        some.append((number, line))
        weight += len(line)
        if len(some) >= _AT_ONCE or weight >= _AT_ONCE_BYTES:
            yield some
            some, weight = [], 0
    if some:
        yield some

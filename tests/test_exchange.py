"""One call: tasks that are looked at until they end, and pictures that lie elsewhere."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from shared.catalogue import load
from shared.domain import Endpoint, ImageRequest, Source
from shared.errors import (
    HTTP_STATUS,
    ContentBlocked,
    DarkroomError,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from shared.exchange import BLIND_POLLS, DOWNLOADS, GIFTS, Answer, Call, Errand, Exchange
from shared.fetch import Fetcher
from shared.pricing import PARTIAL_TOKENS
from shared.providers import Done, Inline, Pending, Remote, Upload, no_sketch
from shared.sandbox import InProcess, Sandbox
from tests.upstream import png

CATALOGUE = load()
ROUTE = CATALOGUE.models["gemini-3-pro-image"].routes[0]
STREAMED = CATALOGUE.models["gpt-image-2"].routes[0]
BASE = "https://provider.test/api"
Handler = Callable[[httpx.Request], Awaitable[httpx.Response]]


class Tasks:
    """A wire format that takes tasks: a look's text is the addresses of its pictures, "wait", or
    an error's name."""

    def submit(self, request: ImageRequest, endpoint: Endpoint) -> httpx.Request:
        return httpx.Request("POST", endpoint.address("draw"), headers=endpoint.headers)

    said = False

    def read(self, response: httpx.Response) -> Done | Pending:
        status, text = response.status_code, response.text
        errors: dict[str, type[DarkroomError]] = {"blocked": ContentBlocked}
        if status == 404:
            raise OutcomeUnknown("gone", details={HTTP_STATUS: 404})
        if status == 429:
            raise RateLimited("busy", retry_after_s=30.0, details={HTTP_STATUS: 429})
        if status >= 400:
            raise ProviderError("broken", details={HTTP_STATUS: status})
        if text in errors:
            raise errors[text]("no", details={HTTP_STATUS: 200})
        if text == "wait":
            return Pending("ticket", 10.0)
        return Done(tuple(Remote(address, self.said) for address in text.split()))

    def poll(self, token: str, endpoint: Endpoint) -> httpx.Request:
        return httpx.Request("GET", endpoint.address(f"look/{token}"), headers=endpoint.headers)

    def uploads(self, request: ImageRequest, endpoint: Endpoint) -> tuple[Upload, ...]:
        return ()

    def sketch(self, event: bytes) -> Inline | None:
        return no_sketch(event)


class Net(httpx.AsyncBaseTransport):
    """Both the provider and the internet: answers by path, each path's last answer for ever."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        self.answers = answers
        self.calls: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request)
        script = self.answers[request.url.path]
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return httpx.Response(answer)
        if isinstance(answer, bytes):
            # As a transport gives it: not read yet.
            return httpx.Response(200, stream=httpx.ByteStream(answer))
        return httpx.Response(200, text=answer)

    def asked(self, path: str) -> int:
        return sum(call.url.path == path for call in self.calls)


class Run:
    """One call of tasks over a network."""

    def __init__(self, looks: list[Any], *, test: bool = False) -> None:
        pictures: dict[str, list[Any]] = {
            "/api/a.png": [png()],
            "/a.png": [png()],
            "/b.png": [404],
        }
        self.net = Net({"/api/draw": ["wait"], "/api/look/ticket": looks, **pictures})
        self.slept: list[float] = []
        self.test = test
        self.base = BASE

    def __call__(self, monkeypatch: pytest.MonkeyPatch) -> Answer:
        monkeypatch.setattr("shared.exchange.ADAPTERS", {ROUTE.wire: Tasks()})
        return asyncio.run(self._run())

    async def _run(self) -> Answer:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        async def resolve(host: str, port: int) -> Sequence[str]:
            known = {"inside.example": "10.0.0.1", "169.254.169.254": "169.254.169.254"}
            return [known.get(host, "93.184.215.14")]

        client = self.net
        exchange = Exchange(client, client, Fetcher(transport=self.net, resolve=resolve), sleep)
        endpoint = Endpoint(self.base, "", "m", "a-key")
        request = ImageRequest("generate", "m", "x")
        call = Call(request, ROUTE, CATALOGUE.providers["google"], endpoint)
        return await exchange.run(call, Errand("req_a", self.test, 1e12))


def test_a_task_is_looked_at_until_it_ends_and_its_picture_fetched_without_our_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(["wait", "https://pictures.example/a.png"])
    answer = run(monkeypatch)
    assert [p.data for p in answer.pictures] == [png()]
    assert run.slept == [10.0, 10.0]
    fetched = run.net.calls[-1]
    assert fetched.headers["host"] == "pictures.example"
    assert "authorization" not in fetched.headers
    assert run.net.asked("/api/draw") == 1


@pytest.mark.parametrize(
    "blind", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), 429, 500, 503, 401]
)
def test_a_look_that_fails_is_repeated_and_the_task_never_sent_again(
    blind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run([blind, blind, f"{BASE}/a.png"])
    assert run(monkeypatch).pictures
    assert run.net.asked("/api/draw") == 1
    assert run.slept[1] == (30.0 if blind == 429 else 10.0)


@pytest.mark.parametrize("blind", [httpx.ConnectError("refused"), 429, 500])
def test_a_task_nobody_can_see_any_more_is_unknown(
    blind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run([blind])
    with pytest.raises(OutcomeUnknown):
        run(monkeypatch)
    assert run.net.asked("/api/look/ticket") == BLIND_POLLS
    assert run.net.asked("/api/draw") == 1


def test_what_became_of_a_task_ends_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for end, error in (("blocked", ContentBlocked), (404, OutcomeUnknown)):
        run = Run([end])
        with pytest.raises(error):
            run(monkeypatch)
        assert run.net.asked("/api/look/ticket") == 1


def test_one_picture_that_cannot_be_fetched_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(["https://x.example/b.png https://x.example/a.png"])
    assert len(run(monkeypatch).pictures) == 1


@pytest.mark.parametrize(
    "address",
    [
        "http://pictures.example/a.png",
        "https://inside.example/a.png",
        "https://169.254.169.254/a.png",
        "https://pictures.example:22/a.png",
        "https://user:secret@pictures.example/a.png",
        "https://pictures.example/b.png",
        "file:///etc/passwd",
        "https:///a.png",
    ],
)
def test_a_paid_picture_that_cannot_be_fetched_is_not_asked_for_again(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run([address])
    with pytest.raises(ProviderError) as caught:
        run(monkeypatch)
    assert not isinstance(caught.value, ProviderUnavailable)
    assert not caught.value.elsewhere
    assert caught.value.usage is not None and caught.value.usage.images == 1
    assert run.net.asked("/api/draw") == 1
    if address.endswith("/b.png"):
        assert run.net.asked("/b.png") == DOWNLOADS
    else:
        assert run.net.asked("/a.png") == 0


def test_in_the_sandbox_no_address_leads_out_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProviderError):
        Run(["https://pictures.example/a.png"], test=True)(monkeypatch)
    assert Run([f"{BASE}/a.png"], test=True)(monkeypatch).pictures


def test_only_what_was_asked_for_and_a_few_gifts_are_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run([" ".join(f"{BASE}/a.png?{n}" for n in range(500))])
    assert len(run(monkeypatch).pictures) == 1 + GIFTS
    assert run.net.asked("/api/a.png") == 1 + GIFTS


@pytest.mark.parametrize(
    ("address", "fetched"),
    [
        (f"{BASE}/a.png", True),
        ("http://10.0.0.5:3000/a.png", False),
        ("http://10.0.0.5:3000/api/../a.png", False),
    ],
)
def test_what_a_model_says_leads_only_below_the_operators_own_address(
    address: str, fetched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tasks, "said", True)
    run = Run([address])
    run.base = BASE if fetched else "http://10.0.0.5:3000/api"
    if fetched:
        assert run(monkeypatch).pictures
        return
    with pytest.raises(ProviderError):
        run(monkeypatch)
    assert not [call for call in run.net.calls if call.url.path.endswith("a.png")]


def test_an_answer_compressed_twice_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = httpx.Response(200, headers={"content-encoding": "gzip, gzip"}, content=b"")
    run = Run([])

    async def answer(_: httpx.Request) -> httpx.Response:
        return twice

    monkeypatch.setattr(run.net, "handle_async_request", answer)
    with pytest.raises(ProviderError) as caught:
        run(monkeypatch)
    assert caught.value.paid


def test_a_slow_download_does_not_take_the_other_pictures_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.exchange._SHORT_S", 0.05)
    run = Run([f"{BASE}/a.png {BASE}/slow.png"])
    quick = run.net.handle_async_request

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("slow.png"):
            await asyncio.Event().wait()
        return await quick(request)

    monkeypatch.setattr(run.net, "handle_async_request", answer)
    assert len(run(monkeypatch).pictures) == 1


def shown(kind: str, data: bytes, **fields: object) -> bytes:
    """An event of a stream with a picture in it."""
    said = {"type": kind, "b64_json": base64.b64encode(data).decode(), **fields}
    return f"event: {kind}\ndata: {json.dumps(said)}\n\n".encode()


def rough(color: str) -> bytes:
    return shown("image_generation.partial_image", png(color), output_format="png")


FINAL = shown("image_generation.completed", png(), usage={"output_tokens": 296})


class Streamed(httpx.AsyncBaseTransport, httpx.AsyncByteStream):
    """A provider that answers in pieces, and waits where there is an event in place of one."""

    def __init__(self, *pieces: bytes | asyncio.Event, kind: str = "text/event-stream") -> None:
        self.pieces = pieces
        self.kind = kind

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": self.kind}, stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                await piece.wait()


async def streamed(
    transport: httpx.AsyncBaseTransport, sketches: asyncio.Queue[Inline] | None, **fields: Any
) -> Answer:
    """One picture with sketches on the way, of a provider that streams."""
    client = transport
    exchange = Exchange(client, client, Fetcher(transport=transport), asyncio.sleep)
    endpoint = Endpoint("https://provider.test/openai", "v1", "gpt-image-2", "a-key")
    asked = {"operation": "generate", "model": "m", "prompt": "x", "partial_images": 2, **fields}
    call = Call(ImageRequest(**asked), STREAMED, CATALOGUE.providers["openai"], endpoint)
    try:
        return await exchange.run(call, Errand("req_a", True, 1e12, sketches))
    finally:
        await exchange.close()


def drained(sketches: asyncio.Queue[Inline]) -> list[bytes]:
    return [sketches.get_nowait().data for _ in range(sketches.qsize())]


def test_a_sketch_is_seen_before_the_picture_is_made() -> None:
    async def story() -> None:
        seen, sketches = asyncio.Event(), asyncio.Queue[Inline]()
        first, second = rough("blue"), rough("green")
        provider = Streamed(first[:40], first[40:] + second[:-1], seen, second[-1:] + FINAL)
        work = asyncio.create_task(streamed(provider, sketches))
        assert await sketches.get() == Inline(png("blue"), "image/png")
        assert sketches.empty()
        assert not work.done()
        seen.set()
        answer = await work
        assert drained(sketches) == [png("green")]
        assert [picture.data for picture in answer.pictures] == [png()]
        assert answer.done.usage.output_tokens == 296

    asyncio.run(story())


@pytest.mark.parametrize("room", [None, 1, 2])
def test_nobody_is_waited_for_and_only_sketches_are_lost(room: int | None) -> None:
    async def story() -> None:
        sketches = None if room is None else asyncio.Queue[Inline](room)
        pieces = [rough("blue") + rough("green"), rough("yellow"), FINAL]
        answer = await streamed(Streamed(*pieces), sketches)
        assert [picture.data for picture in answer.pictures] == [png()]
        if sketches is not None:
            assert drained(sketches) == [png("blue"), png("green")][:room]

    asyncio.run(story())


def test_a_broken_sketch_is_passed_over() -> None:
    async def story() -> None:
        sketches = asyncio.Queue[Inline]()
        broken = rough("blue").replace(b'"b64_json": "', b'"b64_json": "*')
        pieces = [broken, b": wait\n\n", b"data: {\n\n", rough("green"), FINAL]
        answer = await streamed(Streamed(*pieces), sketches)
        assert drained(sketches) == [png("green")]
        assert len(answer.pictures) == 1

    asyncio.run(story())


def test_there_are_no_sketches_in_what_is_no_stream() -> None:
    async def story() -> None:
        sketches = asyncio.Queue[Inline]()
        answer = await streamed(Streamed(rough("blue"), FINAL, kind="application/json"), sketches)
        assert sketches.empty()
        assert len(answer.pictures) == 1

    asyncio.run(story())


@pytest.mark.pictures
@pytest.mark.parametrize("edit", [False, True])
def test_the_sandbox_shows_sketches_and_counts_them(edit: bool) -> None:
    source = Source(png(side=64), "image/png", 64, 64)
    fields = {"operation": "edit", "sources": (source,)} if edit else {}

    async def story(partial_images: int) -> tuple[list[bytes], int]:
        sketches = asyncio.Queue[Inline]()
        sandbox = InProcess(Sandbox(CATALOGUE, lambda: datetime(2026, 11, 21, tzinfo=UTC)))
        changes = {"partial_images": partial_images, "quality": "low", "size": (1024, 1024)}
        answer = await streamed(sandbox, sketches, **fields, **changes)
        assert len(answer.pictures) == 1
        found = drained(sketches)
        assert answer.pictures[0].data not in found
        return found, answer.done.usage.image_tokens

    (none, plain), (three, counted) = asyncio.run(story(0)), asyncio.run(story(3))
    assert (len(none), len(three)) == (0, 3)
    assert counted - plain == 3 * PARTIAL_TOKENS

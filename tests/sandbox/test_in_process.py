"""The sandbox as a client's transport."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from shared.catalogue import Catalogue
from shared.sandbox import InProcess, Sandbox, gemini
from tests.sandbox.conftest import Clock, Google
from tests.sandbox.test_google_batches import QUIET, Batches, drawings

URL = "http://sandbox/google/v1beta/models/gemini-3-pro-image:generateContent"
Ask = Callable[..., httpx.Response]


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def ask(rows: Catalogue, slept: list[float]) -> Ask:
    async def sleep(delay_s: float) -> None:
        slept.append(delay_s)

    transport = InProcess(Sandbox(rows, lambda: datetime(2026, 11, 21, tzinfo=UTC)), sleep)

    async def send(prompt: str, timeout_s: float | None) -> httpx.Response:
        body = {"contents": [{"parts": [{"text": prompt}]}]}
        async with httpx.AsyncClient(transport=transport, timeout=timeout_s) as client:
            return await client.post(URL, json=body, headers={"x-goog-api-key": "any"})

    def asked(prompt: str, timeout_s: float | None = 5.0) -> httpx.Response:
        return asyncio.run(send(prompt, timeout_s))

    return asked


def test_an_answer_arrives_whole(ask: Ask, slept: list[float]) -> None:
    answer = ask("A cat")
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.json()["candidates"]
    assert slept == []


def test_a_slow_answer_is_waited_for(ask: Ask, slept: list[float]) -> None:
    assert ask("A cat [sandbox:slow=2.5]", 5.0).status_code == 200
    assert ask("A cat [sandbox:slow=9]", None).status_code == 200
    assert slept == [2.5, 9.0]


def test_an_answer_slower_than_the_client_waits_is_a_timeout(ask: Ask, slept: list[float]) -> None:
    with pytest.raises(httpx.ReadTimeout):
        ask("A cat [sandbox:slow=60]", 5.0)
    assert slept == [5.0]


def test_a_timeout_is_raised_at_once(ask: Ask, slept: list[float]) -> None:
    with pytest.raises(httpx.ReadTimeout):
        ask("A cat [sandbox:timeout]")
    assert slept == []


def test_a_torn_answer_breaks_off_in_the_middle(rows: Catalogue) -> None:
    transport = InProcess(Sandbox(rows, lambda: datetime(2026, 11, 21, tzinfo=UTC)))
    body = {"contents": [{"parts": [{"text": "A cat [sandbox:truncated]"}]}]}

    async def received() -> tuple[int, int]:
        client = httpx.AsyncClient(transport=transport, headers={"x-goog-api-key": "any"})
        async with client, client.stream("POST", URL, json=body) as answer:
            announced, got = int(answer.headers["content-length"]), 0
            with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
                async for piece in answer.aiter_bytes():
                    got += len(piece)
            return announced, got

    announced, got = asyncio.run(received())
    assert got == announced // 2 > 0


def test_many_calls_run_side_by_side(rows: Catalogue) -> None:
    async def sleep(delay_s: float) -> None:
        await barrier.wait()

    barrier = asyncio.Barrier(8)
    transport = InProcess(Sandbox(rows, lambda: datetime(2026, 11, 21, tzinfo=UTC)), sleep)
    body = {"contents": [{"parts": [{"text": "A cat [sandbox:slow=1] [sandbox:no_image]"}]}]}

    async def all_at_once() -> set[int]:
        headers = {"x-goog-api-key": "any"}
        async with httpx.AsyncClient(transport=transport, headers=headers) as client:
            answers = await asyncio.gather(*(client.post(URL, json=body) for _ in range(8)))
        return {answer.status_code for answer in answers}

    assert asyncio.run(all_at_once()) == {200}


def test_results_are_made_while_they_are_read(
    rows: Catalogue, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = Sandbox(rows, clock)
    batches = Batches(Google(sandbox), clock)
    made = batches.create(*[QUIET] * 8)
    batches.wait()
    file = batches.get(made)["response"]["responsesFile"]
    threads = drawings(monkeypatch, gemini)

    async def read() -> list[int]:
        client = httpx.AsyncClient(
            transport=InProcess(sandbox), headers={"x-goog-api-key": "any"}, timeout=5
        )
        url = f"http://sandbox/google/v1beta/{file}:download?alt=media"
        async with client, client.stream("GET", url) as answer:
            assert answer.status_code == 200
            return [len(threads) async for _ in answer.aiter_raw()]

    assert asyncio.run(read()) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert threading.get_ident() not in threads

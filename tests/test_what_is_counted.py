"""Every way in which something ends is counted once, under its own id and in its own trace, and
test keys are told apart."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import log, sweep, trace
from shared.batch_domain import Batch, Delivered
from tests.darkroom import Darkroom, play
from tests.played import Played
from tests.upstream import Answer, picture, withheld

pytestmark = pytest.mark.pictures
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = PARENT.replace("0af", "ccc")
CUP = {"model": "nano-banana-2-lite", "prompt": "a cup"}
COUNTED = {"request.ended", "batch.charged", "provider.answered", "request.refused"}


class Told(logging.Handler):
    """What is counted, with whom it is about."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        fields = vars(record).get("fields", {})
        if fields.get("event") in COUNTED:
            about = {"id": log.request_id.get(), "trace": trace.current.get()}
            self.lines.append({**fields, **about})

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]


@pytest.fixture
def told() -> Any:
    """Everything that is counted meanwhile."""
    handler, logger = Told(), logging.getLogger("darkroom")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


async def ask(darkroom: Darkroom, key: str, path: str = "/generate", **body: Any) -> httpx.Response:
    prefer = {"prefer": "respond-async"} if body.pop("later", False) else {}
    return await darkroom.post(path, {**CUP, **body}, key, traceparent=PARENT, **prefer)


@pytest.mark.parametrize(
    ("script", "outcome", "images"),
    [
        ([picture()], "succeeded", 1),
        ([withheld()], "refused", 0),
        ([httpx.Response(500, json={})], "failed", 0),
    ],
)
def test_a_request_is_counted_once_and_so_is_each_call(
    tmp_path: Path, told: Told, script: list[Answer], outcome: str, images: int
) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        answer = await ask(darkroom, key, route={"fallback": False})
        (ended,) = told.of("request.ended")
        assert (ended["outcome"], ended["images"], ended["sandbox"]) == (outcome, images, False)
        assert (ended["id"], ended["trace"]) == (answer.headers["x-request-id"], PARENT)
        calls = told.of("provider.answered")
        assert len(calls) == len(darkroom.upstream.calls)
        assert sum(call["cost_micros"] for call in calls) == ended["cost_micros"]
        assert (ended["cost_micros"] > 0) == (images > 0)

    play(tmp_path, story, *script)


def test_cached_cancelled_and_test_keys_are_told_apart(tmp_path: Path, told: Told) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        for _ in range(2):
            assert (await ask(darkroom, key, cache=True)).status_code == 200
        later = (await ask(darkroom, key, later=True)).json()["id"]
        cancelled = await darkroom.post(
            f"/account/requests/{later}/cancel", {}, key, traceparent=OTHER
        )
        assert cancelled.status_code == 200, cancelled.text
        await ask(darkroom, await darkroom.test_key_of(key))
        ended = told.of("request.ended")
        assert [one["outcome"] for one in ended] == [
            "succeeded",
            "cached",
            "cancelled",
            "succeeded",
        ]
        assert [one["sandbox"] for one in ended] == [False, False, False, True]
        assert [one["sandbox"] for one in told.of("provider.answered")] == [False, True]
        # Whoever cancels, it is the request's own end.
        assert (ended[2]["id"], ended[2]["trace"]) == (later, PARENT)

    play(tmp_path, story, picture())


def test_what_a_sweep_ends_is_counted_as_the_requests_own(tmp_path: Path, told: Told) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        ids = [(await ask(darkroom, key, later=True)).json()["id"] for _ in range(2)]
        for one in ids:
            caller = await darkroom.app.accounts.authenticate(key)
            record = await darkroom.app.records.request(caller.account_id, one)
            assert record is not None
            # An instance took it and died.
            await darkroom.app.records.advance(
                type(record)(**{**vars(record), "status": "running"})
            )
        darkroom.pass_time(timedelta(hours=2))
        trace.current.set(OTHER)
        log.request_id.set(None)
        await sweep.sweep(darkroom.app, darkroom.now)
        ended = told.of("request.ended")
        assert {(one["id"], one["trace"], one["outcome"]) for one in ended} == {
            (one, PARENT, "failed") for one in ids
        }
        assert (log.request_id.get(), trace.current.get()) == (None, OTHER)

    play(tmp_path, story, picture())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/openai/v1/images/generations", {"model": "nobody", "prompt": "a cup"}),
        ("/gemini/v1beta/models/nobody:generateContent", {"contents": []}),
    ],
)
def test_an_sdk_is_told_the_id_under_which_the_log_has_its_refusal(
    tmp_path: Path, told: Told, path: str, body: dict[str, Any]
) -> None:
    async def story(darkroom: Darkroom) -> None:
        refused = await darkroom.post(path, body)
        assert refused.status_code in (400, 404)
        (line,) = told.of("request.refused")
        assert line["id"] == refused.headers["x-request-id"]

    play(tmp_path, story)


@pytest.mark.parametrize("mode", ["provider", "fanout"])
def test_a_batch_is_counted_by_its_items(tmp_path: Path, told: Told, mode: str) -> None:
    rooms: list[Darkroom] = []

    async def story(darkroom: Darkroom) -> None:
        rooms.append(darkroom)
        key = await darkroom.live_key()
        words = ["a cup", "[sandbox:blocked] b", "c", "d"]
        items = [{**CUP, "custom_id": str(n), "prompt": word} for n, word in enumerate(words)]
        answer = await darkroom.post(
            "/batch", {"items": items, "mode": mode}, key, traceparent=PARENT
        )
        batch = answer.json()["id"]
        for _ in range(10):
            await darkroom.deliver()
            darkroom.pass_time(timedelta(minutes=10))
            await sweep.sweep(darkroom.app, darkroom.now)
        shown = (await darkroom.get(f"/batch/{batch}", key)).json()
        assert shown["counts"]["succeeded"] == 3, shown
        pieces = told.of("batch.charged")
        sums = Counter[str]()
        for piece in pieces:
            assert (piece["id"], piece["trace"], piece["sandbox"]) == (batch, PARENT, False)
            assert piece["model"] == "gemini-3.1-flash-lite-image" and piece["provider"]
            sums.update({k: v for k, v in piece.items() if isinstance(v, int)})
        assert (sums["succeeded"], sums["failed"], sums["images"]) == (3, 1, 3)
        calls = sum(call["cost_micros"] for call in told.of("provider.answered"))
        assert sums["charged_micros"] > 0 and sums["output_tokens"] > 0
        # A call of its own tells its cost, a provider's batch has none.
        assert (sums["cost_micros"] > 0, calls > 0) == (mode == "provider", mode == "fanout")
        assert told.of("request.ended") == []
        await darkroom.check()

    play(tmp_path, story, Played(lambda: rooms[0].now))


def test_an_item_of_any_model_that_fails_is_counted(tmp_path: Path, told: Told) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        item = {"custom_id": "a", "prompt": "a cup"}
        body = {"items": [item], "mode": "fanout"}
        batch = (await darkroom.post("/batch", body, key)).json()
        await darkroom.deliver()
        ended = (await darkroom.get(f"/batch/{batch['id']}", key)).json()
        assert (ended["status"], ended["counts"]["failed"]) == ("succeeded", 1)
        (counted,) = told.of("batch.charged")
        assert (counted["failed"], counted["model"]) == (1, "auto")

    play(tmp_path, story, withheld())


def test_a_piece_whose_commit_lost_its_answer_is_counted_all_the_same(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(darkroom: Darkroom) -> None:
        key, records = await darkroom.live_key(), darkroom.app.records
        advance, lost = records.advance_batch, list[str]()

        async def cut_off(batch: Batch, delivered: Delivered | None = None, *rest: Any) -> Batch:
            after = await advance(batch, delivered, *rest)
            if delivered is not None and not lost:
                lost.append(delivered.key)
                raise ConnectionError("the answer never came")
            return after

        monkeypatch.setattr(records, "advance_batch", cut_off)
        items = [{**CUP, "custom_id": str(n)} for n in range(2)]
        body = {"items": items, "mode": "fanout"}
        batch = (await darkroom.post("/batch", body, key)).json()["id"]
        for _ in range(4):
            await darkroom.deliver()
            darkroom.pass_time(timedelta(minutes=30))
            await sweep.sweep(darkroom.app, darkroom.now)
        shown = (await darkroom.get(f"/batch/{batch}", key)).json()
        assert lost and shown["counts"]["succeeded"] == 2, shown
        assert sum(piece["succeeded"] for piece in told.of("batch.charged")) == 2
        await darkroom.check()

    play(tmp_path, story, picture())

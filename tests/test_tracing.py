"""One trace from the front end to the provider and the webhook, whatever comes between them."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import sweep
from shared.events.local import Local
from shared.fetch import Fetcher
from tests.darkroom import Darkroom, anywhere, play
from tests.upstream import Upstream, picture

pytestmark = pytest.mark.pictures
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CUP = {"model": "nano-banana-2-lite", "prompt": "a cup"}
HOOK = {"webhook_url": "https://shop.example/hook"}


def receiver(darkroom: Darkroom, *script: httpx.Response) -> Upstream:
    """Whoever gets the webhooks."""
    found = Upstream([*script, httpx.Response(204)])
    darkroom.app.fetcher = Fetcher(transport=found, resolve=anywhere)
    return found


def said(call: httpx.Request) -> tuple[str | None, str | None]:
    """The trace and the id that a call of ours is for."""
    return call.headers.get("traceparent"), call.headers.get("x-request-id")


async def sent(darkroom: Darkroom, path: str = "/generate", **fields: Any) -> str:
    """The id of what was accepted."""
    headers = {"prefer": "respond-async", "traceparent": PARENT}
    answer = await darkroom.post(path, fields, await darkroom.live_key(), **headers)
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["id"]
    return found


def test_a_request_that_is_waited_for_passes_its_trace_on(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        for header, parent in (
            ({"traceparent": PARENT}, PARENT),
            ({"x_cloud_trace_context": f"{'a' * 32}/7;o=1"}, f"00-{'a' * 32}-{7:016x}-01"),
        ):
            answer = await darkroom.post("/generate", CUP, key, **header)
            assert said(darkroom.upstream.calls[-1]) == (parent, answer.json()["id"])
        await darkroom.post("/generate", CUP, key)
        begun, _ = said(darkroom.upstream.calls[-1])
        assert begun is not None and begun[3:35] not in (PARENT[3:35], "a" * 32)

    play(tmp_path, story, picture())


def test_one_that_is_put_off_keeps_it_for_the_provider_and_the_webhook(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        hooks = receiver(darkroom)
        request_id = await sent(darkroom, **CUP, **HOOK)
        await darkroom.deliver()
        (call,), (hook,) = darkroom.upstream.calls, hooks.calls
        assert said(call) == said(hook) == (PARENT, request_id)
        assert json.loads(hook.content)["data"]["status"] == "succeeded"

    play(tmp_path, story, picture())


def test_it_is_kept_where_the_message_was_lost_and_the_webhook_came_late(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        hooks = receiver(darkroom, httpx.Response(500))
        request_id = await sent(darkroom, **CUP, **HOOK)
        await sent(darkroom, **CUP)
        darkroom.app.events = Local(tmp_path / "lost.db", lambda: darkroom.now)
        for _ in range(3):
            darkroom.pass_time(timedelta(minutes=5))
            await sweep.sweep(darkroom.app, darkroom.now)
            await darkroom.deliver()
        assert [said(hook) for hook in hooks.calls] == [(PARENT, request_id)] * 2
        assert {said(call)[0] for call in darkroom.upstream.calls} == {PARENT}

    play(tmp_path, story, picture())


def test_a_batch_keeps_it_too(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        hooks = receiver(darkroom)
        items = [{**CUP, "custom_id": str(n)} for n in range(2)]
        batch_id = await sent(darkroom, "/batch", items=items, mode="fanout", **HOOK)
        await darkroom.deliver()
        assert [said(call) for call in darkroom.upstream.calls] == [(PARENT, batch_id)] * 2
        assert [said(hook) for hook in hooks.calls] == [(PARENT, batch_id)]

    play(tmp_path, story, picture())

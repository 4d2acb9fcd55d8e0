"""`/provider_webhook`: who is believed, and what is published, once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from functions import http, provider_webhook
from shared import names, provider_events, signatures
from shared.app import App
from shared.catalogue import load
from shared.events import Event
from shared.fetch import Fetcher
from shared.jwks import Jwks
from shared.settings import Settings
from shared.storage.disk import Disk
from tests.test_fetch import Wire
from tests.test_jwks import public, token

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
CATALOGUE = load()
SECRET = "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cw=="
LOOK = Event("batch-callbacks", "acc_a", "bat_a")
OPENAI = json.dumps({"type": "batch.completed", "data": {"id": "batch_abc"}}).encode()
GOOGLE = json.dumps({"type": "batch.succeeded", "data": {"id": "batches/abc"}}).encode()


async def nearby(_host: str, _port: int) -> Sequence[str]:
    return ["127.0.0.1"]


class Office:
    """As much of an App as a provider's webhook needs; `published` is what was."""

    def __init__(self, data: Path, **env: str) -> None:
        self.settings = Settings.from_env(env)
        self.catalogue, self.storage = CATALOGUE, Disk(data)
        self.events, self.now = self, NOW
        self.wire = Wire()
        self.fetcher = Fetcher(transport=self.wire, resolve=nearby)
        self.published: list[Event] = []
        self.down = False

    def clock(self) -> datetime:
        return self.now

    async def publish(self, event: Event) -> None:
        if self.down:
            raise OSError("down")
        self.published.append(event)

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status that a provider is answered with."""
        transport = httpx.ASGITransport(provider_webhook.APP)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            answer = await client.post(f"/provider_webhook/{path}", content=body, headers=headers)
        assert bool(answer.content) == (answer.status_code != 204)
        return answer.status_code

    async def expect(self, provider_id: str, name: str) -> None:
        """Have a batch of that name at the provider."""
        app = cast(App, self)
        await provider_events.expect(app, provider_id, name, LOOK.account_id, LOOK.subject)


Story = Callable[[Office], Coroutine[Any, Any, None]]


def play(data: Path, story: Story, monkeypatch: pytest.MonkeyPatch, **env: str) -> None:
    """Run a story with keys nobody has asked for yet."""
    office = Office(data, **env)
    monkeypatch.setattr(provider_webhook, "_JWKS", Jwks())
    monkeypatch.setattr(http, "_APPS", [office])
    asyncio.run(story(office))


def signed(body: bytes = OPENAI, webhook_id: str = "wh_1", at: datetime = NOW) -> dict[str, str]:
    """The headers of a provider that has the secret."""
    stamp = int(at.timestamp())
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(stamp),
        "webhook-signature": signatures.sign(SECRET, webhook_id, stamp, body),
    }


def with_token(text: str, at: datetime = NOW, webhook_id: str = "wh_1") -> dict[str, str]:
    """The headers of a provider that signs with keys of its own."""
    stamp = str(int(at.timestamp()))
    return {"webhook-id": webhook_id, "webhook-timestamp": stamp, "webhook-signature": text}


def keys(*published: dict[str, Any]) -> httpx.Response:
    """Keys as they are published."""
    content = json.dumps({"keys": published}).encode()
    return httpx.Response(200, stream=httpx.ByteStream(content))


def test_a_batch_of_ours_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(office: Office) -> None:
        await office.expect("openai", "batch_abc")
        assert await office.post("openai", OPENAI, signed()) == 204
        assert office.published == [LOOK]
        office.now += timedelta(minutes=9)
        again = signed(at=office.now)
        assert await office.post("openai", OPENAI, again) == 204
        assert office.published == [LOOK]
        assert await office.post("openai", OPENAI, signed(webhook_id="wh_2", at=office.now)) == 204
        assert office.published == [LOOK, LOOK]

    play(tmp_path, story, monkeypatch, OPENAI_WEBHOOK_SECRET=SECRET)


def test_what_is_none_of_ours_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(office: Office) -> None:
        await office.expect("google", "batch_abc")
        for body in (OPENAI, b"", b"no JSON", b"[]", b'{"type": "ping"}', b'{"data": {"id": 1}}'):
            assert await office.post("openai", body, signed(body)) == 204
        assert office.published == []
        assert await office.storage.list("webhooks/") == ()

    play(tmp_path, story, monkeypatch, OPENAI_WEBHOOK_SECRET=SECRET)


def test_who_does_not_sign_as_agreed_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(office: Office) -> None:
        await office.expect("openai", "batch_abc")
        good = signed()
        for headers in (
            {},
            {**good, "webhook-signature": "v1,AAAA"},
            {**good, "webhook-signature": "Bearer x"},
            {**good, "webhook-id": "wh_2"},
            {k: v for k, v in good.items() if k != "webhook-id"},
            signed(at=NOW - timedelta(seconds=301)),
            signed(at=NOW + timedelta(seconds=301)),
        ):
            assert await office.post("openai", OPENAI, headers) == 401
        assert await office.post("openai", OPENAI + b" ", good) == 401
        assert office.published == []
        assert await office.storage.list("webhooks/") == ()

    play(tmp_path, story, monkeypatch, OPENAI_WEBHOOK_SECRET=SECRET)


def test_a_provider_that_sends_nothing_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(office: Office) -> None:
        for path in ("acme", "ark", "google", "openai"):
            assert await office.post(path, OPENAI, signed()) == 404
        for path in ("acme", "ark"):
            assert await office.post(path, OPENAI, with_token(token("a"))) == 404
        assert await office.post("", OPENAI, signed()) == 404
        assert office.wire.asked == []

    play(tmp_path, story, monkeypatch, ARK_WEBHOOK_SECRET=SECRET)


def test_a_body_has_at_most_a_megabyte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(office: Office) -> None:
        body = b" " * (2**20 + 1)
        assert await office.post("openai", body, signed(body)) == 413
        assert await office.post("openai", body[1:], signed(body[1:])) == 204

    play(tmp_path, story, monkeypatch, OPENAI_WEBHOOK_SECRET=SECRET)


def test_what_cannot_be_published_is_taken_when_it_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(office: Office) -> None:
        await office.expect("openai", "batch_abc")
        office.down = True
        assert await office.post("openai", OPENAI, signed()) == 500
        assert await office.storage.get(names.webhook("openai", "wh_1")) is None
        office.down = False
        assert await office.post("openai", OPENAI, signed()) == 204
        assert office.published == [LOOK]

    play(tmp_path, story, monkeypatch, OPENAI_WEBHOOK_SECRET=SECRET)


def test_a_token_is_verified_with_the_keys_at_the_providers_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(office: Office) -> None:
        await office.expect("google", "batches/abc")
        office.wire.answers = [keys(public("a"))]
        assert await office.post("google", GOOGLE, with_token(token("a"))) == 204
        assert office.published == [LOOK]
        assert await office.post("google", GOOGLE, with_token(token("b"), webhook_id="2")) == 401
        late = NOW - timedelta(seconds=301)
        assert await office.post("google", GOOGLE, with_token(token("a"), at=late)) == 401
        assert office.published == [LOOK]
        (asked,) = office.wire.asked
        assert str(asked.url) == "http://127.0.0.1:9000/google/.well-known/jwks.json"

    # A double on loopback, whose address is written with the version, as it may be.
    base_url = "http://localhost:9000/google/v1beta/"
    play(tmp_path, story, monkeypatch, GEMINI_BASE_URL=base_url)


def test_where_the_keys_cannot_be_had_the_provider_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(office: Office) -> None:
        await office.expect("google", "batches/abc")
        office.wire.answers = [httpx.ConnectError("down"), keys(public("a"))]
        assert await office.post("google", GOOGLE, with_token(token("a"))) == 503
        office.now += timedelta(seconds=30)
        assert await office.post("google", GOOGLE, with_token(token("a"))) == 204
        assert office.published == [LOOK]
        assert office.wire.asked[0].headers["host"] == "generativelanguage.googleapis.com"

    play(tmp_path, story, monkeypatch)


def test_a_provider_may_sign_either_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(office: Office) -> None:
        await office.expect("google", "batches/abc")
        assert await office.post("google", GOOGLE, signed(GOOGLE)) == 204
        assert office.published == [LOOK] and office.wire.asked == []

    play(tmp_path, story, monkeypatch, GEMINI_WEBHOOK_SECRET=SECRET)

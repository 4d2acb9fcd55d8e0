"""A whole Darkroom in this process, on SQLite and a folder, with nobody to wait for: what the
tests of the pipeline and of the functions talk to."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from functions import http
from functions.__main__ import push, server
from shared import accounts, audit, local
from shared.app import App, build
from shared.domain import Account, ApiKey, Entry, Limits
from shared.events import Event, Pumped
from shared.ledger import CREDIT_LIFE
from shared.settings import Settings
from tests.upstream import Answer, Upstream

START = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
TEST_KEY = "dk_test_of_the_tests"


def photo(
    side: tuple[int, int] = (64, 48), kind: str = "JPEG", orientation: int | None = None
) -> bytes:
    """A picture as a camera might write it."""
    out, exif = io.BytesIO(), Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.linear_gradient("L").resize(side).convert("RGB").save(out, kind, exif=exif)
    return out.getvalue()


def mask(side: tuple[int, int] = (64, 48)) -> bytes:
    """A mask whose left half may change."""
    out = io.BytesIO()
    image = Image.new("RGBA", side, "black")
    image.paste((0, 0, 0, 0), (0, 0, side[0] // 2, side[1]))
    image.save(out, "PNG")
    return out.getvalue()


@dataclass
class Darkroom:
    """The App, a client that knows the test key, and a clock that moves when told to."""

    upstream: Upstream
    app: App = field(init=False)
    client: httpx.AsyncClient = field(init=False)
    now: datetime = START
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        """Let others work, and note for how long it should have been."""
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def live_key(self, usd: int = 10, limits: Limits = Limits(), shards: int = 1) -> str:  # noqa: B008 # frozen
        """A new account with credit, and a key that spends it."""
        account = Account(f"acc_{self.app.new_id()}", "shop", self.now, limits, shards)
        await self.app.records.create_account(account)
        if usd:
            await self.grant(account.id, usd * 1_000_000)
        key = accounts.new_key(test=False)
        hashed = accounts.key_hash(key)
        await self.app.records.create_key(
            ApiKey(f"key_{self.app.new_id()}", hashed, account.id, False, self.now)
        )
        return key

    async def test_key_of(self, key: str) -> str:
        """A test key of the same account."""
        caller, test = await self.app.accounts.authenticate(key), accounts.new_key(test=True)
        stored = ApiKey("key_t", accounts.key_hash(test), caller.account_id, True, self.now)
        await self.app.records.create_key(stored)
        return test

    async def grant(self, account_id: str, micros: int) -> None:
        """Give credit."""
        await self.app.records.grant(
            Entry(
                id=f"led_{self.app.new_id()}",
                account_id=account_id,
                kind="grant",
                micros=micros,
                at=self.now,
                grant_id=f"grt_{self.app.new_id()}",
                expires_at=self.now + CREDIT_LIFE,
            )
        )

    async def post(
        self, path: str, body: Mapping[str, Any], key: str = TEST_KEY, **headers: str
    ) -> httpx.Response:
        """Send JSON with a key; header names are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(
            path, json=body, headers={"authorization": f"Bearer {key}", **named}
        )

    async def get(self, path: str, key: str = TEST_KEY, **query: str) -> httpx.Response:
        """Ask with a key."""
        headers = {"authorization": f"Bearer {key}"}
        return await self.client.get(path, params=query or None, headers=headers)

    async def balance_micros(self, key: str) -> int:
        """What the key's account has, and has not held."""
        caller = await self.app.accounts.authenticate(key)
        standing = await self.app.records.look(caller.account_id, None)
        return standing.available_micros(self.now)

    async def deliver(self, rounds: int = 50) -> int:
        """Deliver events until there are none; returns how many were. What fails is raised."""
        assert isinstance(self.app.events, Pumped)
        failures: list[Exception] = []

        async def pushed(event: Event) -> None:
            try:
                await push(event)
            except Exception as error:
                failures.append(error)
                raise

        count = 0
        for _ in range(rounds):
            tried = await self.app.events.deliver_due(pushed)
            count += tried
            if not tried:
                break
        assert not failures, failures
        return count

    async def check(self) -> None:
        """The ledger adds up."""
        findings = (await audit.check(self.app.records)).findings
        assert not findings, findings

    def pass_time(self, by: timedelta) -> None:
        """Move the clock."""
        self.now += by


async def anywhere(host: str, port: int) -> Sequence[str]:
    """A public address for every name."""
    return ["93.184.215.14"]


Story = Callable[[Darkroom], Awaitable[None]]


def play(data: Path, story: Story, *script: Answer, env: Mapping[str, str] | None = None) -> None:
    """Run a story in a new Darkroom; `script` is what the live provider answers."""
    asyncio.run(_play(data, story, list(script), env or {}))


async def _play(data: Path, story: Story, script: list[Answer], env: Mapping[str, str]) -> None:
    settings = local.completed(
        Settings.from_env(
            {
                "DARKROOM_DATA": str(data),
                "DARKROOM_TEST_KEY": TEST_KEY,
                "DARKROOM_PUBLIC_URL": "http://darkroom.test",
                "DARKROOM_SIGNING_SECRET": "of the tests",
                "GEMINI_API_KEY": "a-key",
                **env,
            }
        )
    )
    upstream = Upstream(script)
    darkroom = Darkroom(upstream)
    app = build(
        settings,
        clock=lambda: darkroom.now,
        sleep=darkroom.sleep,
        live=upstream if script else None,
        resolve=anywhere,
    )
    darkroom.app = app
    darkroom.client = httpx.AsyncClient(
        transport=httpx.ASGITransport(server(app)), base_url="http://darkroom.test"
    )
    http.use(app)
    await local.introduce(app)
    try:
        await story(darkroom)
    finally:
        await darkroom.client.aclose()
        await app.close()

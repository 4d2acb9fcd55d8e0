"""The Darkroom whose studio is looked at: a server process whose every provider is a sandbox, and
accounts made for the asking."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared import accounts
from shared.app import App, build
from shared.domain import Account, ApiKey, Entry, Limits
from shared.ledger import CREDIT_LIFE
from shared.settings import Settings
from tests.browser.chromium import asleep
from tests.functions.test_processes import server
from tests.sandbox.process import running
from tests.wire.targets import providers


@dataclass(frozen=True)
class House:
    """Its address and its data folder. It serves all tests of a worker, each of which should have
    an account of its own."""

    url: str
    data: Path

    def test_key(self) -> str:
        """Of a new account: the sandbox answers, and it costs nothing."""
        return self._key(test=True, usd=0, limits=Limits())

    def live_key(self, usd: int = 100, limits: Limits = Limits()) -> str:  # noqa: B008 # frozen
        """Of a new account with credit: it pays for what the sandbox makes. Only a test key may
        provoke faults: those of a live one make the server leave a provider alone for a while."""
        return self._key(test=False, usd=usd, limits=limits)

    def _key(self, *, test: bool, usd: int, limits: Limits) -> str:
        key = accounts.new_key(test=test)

        async def make(app: App) -> None:
            now = app.clock()
            account = Account(f"acc_{app.new_id()}", "studio", now, limits)
            await app.records.create_account(account)
            hashed = accounts.key_hash(key)
            stored = ApiKey(f"key_{app.new_id()}", hashed, account.id, test, now)
            await app.records.create_key(stored)
            if usd:
                await app.records.grant(
                    Entry(
                        id=f"led_{app.new_id()}",
                        account_id=account.id,
                        kind="grant",
                        micros=usd * 1_000_000,
                        at=now,
                        grant_id=f"grt_{app.new_id()}",
                        expires_at=now + CREDIT_LIFE,
                    )
                )

        self.within(make)
        return key

    def within(self, work: Callable[[App], Awaitable[None]]) -> None:
        """Do something to its records and files, from this process."""

        async def done() -> None:
            app = build(Settings.from_env({"DARKROOM_DATA": str(self.data)}), signs=False)
            try:
                await work(app)
            finally:
                await app.close()

        with asleep():
            asyncio.run(done())


@contextmanager
def served(data: Path) -> Iterator[House]:
    """A server for the length of a block."""
    with running() as address, server(["functions"], data, **providers(address)) as started:
        yield House(started.url, data)

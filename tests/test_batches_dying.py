"""Batches whose server is killed again and again: nothing is lost, made twice or charged twice."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from tests.functions.test_processes import Server, answers
from tests.proxy import Proxy, Trap, between
from tests.sandbox.process import running
from tests.wire.targets import Account, cli

pytestmark = pytest.mark.process
KILLS = 10
ITEMS = 300
IN_FLIGHT = 8
"""How many items of a fan-out may be on their way to a provider when a server dies."""
TOGETHER_USD, ALONE_USD = Decimal("0.011205"), Decimal("0.02241")
"""A picture of this model and size by the provider's batches, and alone."""
LONGEST_LIFE_S = 1.5
DEADLINE_S = 120.0
CREATE = ":batchGenerateContent"


@dataclass
class House:
    """A Darkroom whose only provider is a sandbox behind a proxy, and its one account."""

    data: Path
    proxy: Proxy
    sandbox: str
    account: Account
    server: Server | None = None

    def start(self) -> Server:
        """Begin a new life on the same data."""
        env = {"GEMINI_API_KEY": "any", "GEMINI_BASE_URL": f"{self.proxy.url}/google"}
        self.server = Server(["tests.hurried"], self.data, env)
        return self.server

    def awake(self) -> Server:
        """A new life, once it answers."""
        server, ends = self.start(), time.monotonic() + DEADLINE_S
        while not answers(server.url)():
            assert server.process.poll() is None, server.said()
            assert time.monotonic() < ends, server.said()
        return server

    def kill(self) -> None:
        """End this life, without a word."""
        if self.server is not None:
            self.server.kill()
            self.server.output.close()
            self.server = None

    @property
    def auth(self) -> dict[str, str]:
        """What the account's key is sent in."""
        return {"authorization": f"Bearer {self.account.key}"}

    def create(self, server: Server, name: str, mode: str, items: int) -> str | None:
        """Hand a batch in, under the same idempotency key each time; None if nobody answers."""
        listed = [{"custom_id": f"i{n}", "prompt": f"cup <{name}-{n}>"} for n in range(items)]
        defaults = {"model": "nano-banana-2-lite", "resolution": "512"}
        with suppress(httpx.TransportError):
            made = httpx.post(
                f"{server.url}/batch",
                json={"items": listed, "defaults": defaults, "mode": mode},
                headers={**self.auth, "idempotency-key": name},
                timeout=30,
            )
            assert made.status_code == 202, made.text
            return str(made.json()["id"])
        return None

    def ended(self, batch_id: str) -> dict[str, Any]:
        """A batch once it has ended."""
        assert self.server is not None
        url, ends = f"{self.server.url}/batch/{batch_id}", time.monotonic() + DEADLINE_S
        while True:
            batch: dict[str, Any] = httpx.get(url, headers=self.auth, timeout=30).json()
            if batch["completed_at"] is not None:
                return batch
            assert time.monotonic() < ends, f"{batch}\n{self.server.said()[-5000:]}"
            time.sleep(0.1)

    def results(self, batch: dict[str, Any]) -> list[dict[str, Any]]:
        """The lines of a batch's results, one an item."""
        assert self.server is not None
        url = f"{self.server.url}/batch/{batch['id']}/results"
        text = httpx.get(url, headers=self.auth, timeout=30).text
        lines = [json.loads(line) for line in text.splitlines()]
        names = Counter(line["custom_id"] for line in lines)
        assert names == Counter(f"i{n}" for n in range(batch["counts"]["total"]))
        return lines

    def charged(self, batch_id: str) -> Decimal:
        """What the ledger says a batch came to."""
        assert self.server is not None
        account = Account(self.account.id, self.server.url, self.account.key)
        entries = account.listed("/ledger")
        return -sum(
            (Decimal(entry["usd"]) for entry in entries if entry["request_id"] == batch_id),
            Decimal(),
        )

    def adds_up(self) -> None:
        """The ledger does, and nothing is held any more."""
        assert self.server is not None
        assert cli(self.data, "ledger", "check")["findings"] == []
        account = httpx.get(f"{self.server.url}/account", headers=self.auth).json()
        assert account["held_usd"] == "0.000000"

    def sent_alone(self) -> Counter[str]:
        """How often each prompt was sent in a call of its own."""
        bodies = [s.body for s in self.proxy.seen if s.path.endswith(":generateContent")]
        return Counter(json.loads(body)["contents"][-1]["parts"][-1]["text"] for body in bodies)

    def batches_there(self) -> list[dict[str, Any]]:
        """The batches that the provider has, as it says itself."""
        url = f"{self.sandbox}/google/v1beta/batches"
        listed = httpx.get(url, headers={"x-goog-api-key": "any"}, timeout=30).json()
        return [operation["metadata"] for operation in listed.get("operations", [])]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with (
        running("--data", str(tmp_path / "sandbox"), kill=True) as sandbox,
        between(sandbox) as proxy,
    ):
        data = tmp_path / "data"
        made = cli(data, "accounts", "create", "shop", "--credit-usd", "100")
        key = cli(data, "keys", "create", made["id"])["key"]
        house = House(data, proxy, sandbox, Account(made["id"], "", key))
        try:
            yield house
        finally:
            house.kill()


@contextmanager
def doomed(house: House, random: Random) -> Iterator[Server]:
    """A server that is killed at a random moment: mostly while it works, else while it starts."""
    server = house.start() if random.random() < 0.2 else house.awake()
    timer = threading.Timer(random.uniform(0, LONGEST_LIFE_S), server.kill)
    timer.start()
    try:
        yield server
    finally:
        timer.join()
        house.kill()


def test_killed_at_random_moments(house: House) -> None:
    seed = secrets.randbelow(2**32)
    print(f"seed {seed}")  # noqa: T201 # shown when it fails
    random, ids = Random(seed), dict[str, str | None]()
    house.proxy.pause_s = 0.01
    for _ in range(KILLS):
        with doomed(house, random) as server:
            while server.process.poll() is None and len(ids) < 2:
                for mode in ("provider", "fanout"):
                    if mode not in ids and answers(server.url)():
                        made = house.create(server, mode, mode, ITEMS)
                        ids |= {mode: made} if made else {}
    house.proxy.pause_s = 0.0
    server = house.awake()
    for mode in ("provider", "fanout"):
        ids[mode] = house.create(server, mode, mode, ITEMS)
    together, alone = (house.ended(ids[mode] or "") for mode in ("provider", "fanout"))

    assert {line["status"] for line in house.results(together)} == {"succeeded"}
    assert house.charged(together["id"]) == ITEMS * TOGETHER_USD == Decimal(together["cost"]["usd"])
    [there] = house.batches_there()
    assert there["batchStats"]["requestCount"] == str(ITEMS)

    lines = house.results(alone)
    failed = [line for line in lines if line["status"] != "succeeded"]
    print(f"{len(failed)} were in flight at a kill")  # noqa: T201
    assert {line["error"]["code"] for line in failed} <= {"outcome_unknown"}
    assert len(failed) <= KILLS * IN_FLIGHT
    made_usd = (ITEMS - len(failed)) * ALONE_USD
    assert house.charged(alone["id"]) == made_usd == Decimal(alone["cost"]["usd"])
    assert set(house.sent_alone().values()) == {1}
    house.adds_up()


def test_killed_at_the_worst_moments(house: House) -> None:
    """Once before the provider hears of the batch, once when it has the lines, once when it has
    taken the batch and nobody was told, and twice in the middle of its results."""
    house.proxy.traps = [
        Trap("/upload/", "before", house.kill),
        Trap("/upload/", 1, house.kill),
        Trap(CREATE, "before", house.kill),
        Trap(CREATE, "after", house.kill),
        Trap(":download", 3, house.kill),
        Trap(":download", 3, house.kill),
    ]
    ends, batch_id = time.monotonic() + DEADLINE_S, None
    while house.proxy.traps:
        server = house.start()
        while house.server is not None:
            assert time.monotonic() < ends, house.proxy.traps
            if batch_id is None and answers(server.url)():
                batch_id = house.create(server, "b", "provider", 60)
            time.sleep(0.05)
    house.awake()
    batch = house.ended(batch_id or "")
    assert {line["status"] for line in house.results(batch)} == {"succeeded"}
    assert house.charged(batch["id"]) == 60 * TOGETHER_USD
    [there] = house.batches_there()
    assert there["batchStats"]["requestCount"] == "60"
    ranges = [s.headers.get("range") for s in house.proxy.seen if ":download" in s.path]
    assert len(ranges) >= 3
    house.adds_up()

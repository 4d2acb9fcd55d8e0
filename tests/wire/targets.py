"""What the vendors' SDKs are pointed at: the sandbox on a port, which they take for the vendors,
and a Darkroom whose every provider is that sandbox, where each call spends an account's money."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from shared import catalogue
from tests.functions.test_processes import server
from tests.sandbox.process import running


@dataclass(frozen=True)
class Target:
    """Base URLs as a user gives them to an SDK, a key that pays, and one for what goes wrong: a
    test key's faults are no reason for a Darkroom to leave a provider alone. `chat` is where
    chat/completions draws pictures, by the model `chat_model`."""

    name: str
    openai: str
    chat: str
    chat_model: str
    gemini: str
    key: str = "any"
    test_key: str = "any"

    @contextmanager
    def paid(self, requests: int = 1, pictures: int | None = None) -> Iterator[None]:
        """Check that a block comes to that many charges, for that many pictures: the vendors do
        not tell."""
        yield


@dataclass(frozen=True)
class Account:
    """An account of a Darkroom, and a live key of it."""

    id: str
    url: str
    key: str

    def get(self, path: str) -> Any:
        """What `/account` answers to the live key."""
        auth = {"authorization": f"Bearer {self.key}"}
        answer = httpx.get(f"{self.url}/account{path}", headers=auth, timeout=30, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def listed(self, path: str) -> list[dict[str, Any]]:
        """A whole list, newest first."""
        page = self.get(f"{path}?limit=100")
        found = list(page["data"])
        while page["has_more"]:
            page = self.get(f"{path}?limit=100&cursor={page['next_cursor']}")
            found += page["data"]
        return found

    def requests(self) -> list[dict[str, Any]]:
        """Every request that it made with its live key, newest first."""
        return [request for request in self.listed("/requests") if not request["sandbox"]]

    def charges(self) -> dict[str, Decimal]:
        """What each request was charged, in dollars, by its id: a test key's nothing is left
        out, and so are batches, which are charged piece by piece."""
        entries = [
            entry
            for entry in self.listed("/ledger")
            if entry["kind"] == "charge" and entry["request_id"].startswith("req_")
        ]
        charged = {entry["request_id"]: -Decimal(entry["usd"]) for entry in entries}
        assert len(charged) == len(entries), "a request was charged twice"
        return {request_id: dollars for request_id, dollars in charged.items() if dollars}

    @contextmanager
    def paid(self, requests: int = 1, pictures: int | None = None) -> Iterator[None]:
        """Check that a block makes that many requests succeed, each charged once and what it says,
        and that nothing else is charged. Without `pictures`, one each."""
        known, before = {request["id"] for request in self.requests()}, self.charges()
        yield
        made = [r for r in self.requests() if r["id"] not in known and r["status"] == "succeeded"]
        after = self.charges()
        new = {request_id: after[request_id] for request_id in after.keys() - before.keys()}
        assert new == {request["id"]: Decimal(request["cost"]["usd"]) for request in made}
        assert len(made) == requests
        assert sum(len(r["images"]) for r in made) == (requests if pictures is None else pictures)


@dataclass(frozen=True)
class Darkroom(Target):
    """The surfaces of a Darkroom, and the account whose keys these are."""

    account: Account = field(kw_only=True)
    data: Path = field(kw_only=True)

    @contextmanager
    def paid(self, requests: int = 1, pictures: int | None = None) -> Iterator[None]:
        """As the account says."""
        with self.account.paid(requests, pictures):
            yield

    def open_account(self, *options: str) -> Account:
        """A new account, made as an operator makes one."""
        made = self.cli("accounts", "create", "wire", *options)
        key = self.cli("keys", "create", made["id"])["key"]
        return Account(made["id"], self.account.url, key)

    def cli(self, *words: str) -> Any:
        """What a command of the command line prints, which has to succeed."""
        return cli(self.data, *words)


def cli(data: Path, *words: str) -> Any:
    """The JSON that a command prints about a data folder."""
    ran = subprocess.run(
        [sys.executable, "-m", "shared.cli", *words, "--json"],
        env={**os.environ, "DARKROOM_DATA": str(data)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout)


@contextmanager
def sandbox() -> Iterator[Target]:
    """The sandbox alone. OpenAI has no chat that draws, so that is a relay's."""
    with running() as address:
        yield Target(
            name="sandbox",
            openai=f"{address}/openai/v1",
            chat=f"{address}/openrouter/api/v1",
            chat_model="google/gemini-3-pro-image",
            gemini=f"{address}/google",
        )


@contextmanager
def darkroom(data: Path) -> Iterator[Darkroom]:
    """A Darkroom of its own with the keys of every provider, which are a sandbox of its own. At the
    end its ledger has to add up."""
    with running() as address, server(["functions"], data, **providers(address)) as started:
        opening = Darkroom(
            name="darkroom",
            openai=f"{started.url}/openai/v1",
            chat=f"{started.url}/openai/v1",
            chat_model="gemini-3-pro-image",
            gemini=f"{started.url}/gemini",
            account=Account("", started.url, ""),
            data=data,
        )
        account = opening.open_account("--credit-usd", "100")
        test_key = opening.cli("keys", "create", account.id, "--test")["key"]
        yield replace(opening, key=account.key, test_key=test_key, account=account)
        assert opening.cli("ledger", "check")["findings"] == []


def providers(address: str) -> Mapping[str, str]:
    """The variables that make every provider with a key of its own one of a sandbox."""
    found: dict[str, str] = {}
    for provider in catalogue.load().providers.values():
        if provider.auth != "service-account":
            found[f"{provider.env}_API_KEY"] = "any"
            found[f"{provider.env}_BASE_URL"] = f"{address}/{provider.sandbox}"
    return found

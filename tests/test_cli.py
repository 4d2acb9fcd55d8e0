"""The operator's command line: every command on a fresh data folder, in text and as JSON."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from shared import catalogue
from shared.accounts import key_hash
from shared.app import build
from shared.domain import Problem, Quote, Record
from shared.ledger import CREDIT_LIFE, MAX_SHARDS
from shared.records import Records
from shared.settings import BadSettings, Settings
from tests import command_line
from tests.command_line import table, write
from tests.records.scene import admit, draft, release, settle

Line = Callable[..., Result]
Shown = Callable[..., Any]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return command_line.fresh(tmp_path, monkeypatch)


@pytest.fixture
def line(data: Path) -> Line:
    """Runs a command line that ends with the given exit code."""
    return command_line.ran


@pytest.fixture
def shown(data: Path) -> Shown:
    """Runs a command line with --json and reads what it printed."""
    return command_line.shown


@pytest.fixture
def account_id(shown: Shown) -> str:
    created = shown("accounts", "create", "Acme", "--credit-usd", "10")
    return str(created["id"])


def asked(account_id: str, request_id: str) -> Record:
    quote = Quote({"google:gemini-3.1-flash-image": 67_000}, 67_000, 67_000)
    return replace(draft(request_id), account_id=account_id, quote=quote)


async def spend(records: Records, account_id: str) -> None:
    """One request that succeeded, one that failed and one that runs."""
    for request_id in ("req_1", "req_2", "req_3"):
        record = await admit(records, asked(account_id, request_id))
        if request_id == "req_1":
            await settle(records, record, 67_000)
        if request_id == "req_2":
            await release(records, replace(record, error=Problem("content_blocked", "No.")))


def test_an_account_starts_with_its_credit_and_its_limits(shown: Shown, data: Path) -> None:
    limits = ("--rpm", "60", "--rpd", "1000", "--concurrency", "8", "--monthly-usd", "250.5")
    created = shown("accounts", "create", "Acme Ltd", "--credit-usd", "12.345678", *limits)
    assert created["id"].startswith("acc_")
    assert created["name"] == "Acme Ltd"
    assert created["balance_usd"] == created["available_usd"] == "12.345678"
    assert list(created["limits"].values()) == [60, 1000, 8, "250.500000"]
    assert shown("accounts", "show", created["id"]) == created

    async def one_shard(records: Records) -> None:
        assert len((await records.look(created["id"], None)).shards) == 1

    write(data, one_shard)


def test_an_account_needs_neither_credit_nor_limits(shown: Shown) -> None:
    created = shown("accounts", "create", "Acme")
    assert created["balance_usd"] == "0.000000"
    assert set(created["limits"].values()) == {None}
    assert shown("ledger", "list", created["id"])["data"] == []


BAD_AMOUNTS = ["0", "0.0", "-1", "1.1234567", "1e3", "nan", "Infinity", "1_000", ".5", "9999999999"]


@pytest.mark.parametrize("usd", ["", *BAD_AMOUNTS])
def test_an_amount_is_plain_positive_dollars(line: Line, usd: str) -> None:
    line("accounts", "create", "Acme", "--credit-usd", usd, code=2)
    line("credit", "grant", "acc_x", "--", usd, code=2)
    line("accounts", "limit", "acc_x", "--monthly-usd", usd, code=2)


def test_an_amount_is_never_rounded(shown: Shown, account_id: str) -> None:
    granted = shown("credit", "grant", account_id, "999999999.999999")
    assert granted["usd"] == "999999999.999999"


@pytest.mark.parametrize("number", ["-1", "1.5", "many", "٣"])
def test_a_limit_is_a_whole_number(line: Line, number: str) -> None:
    line("accounts", "create", "Acme", "--rpm", number, code=2)


def test_an_account_has_a_name(line: Line) -> None:
    line("accounts", "create", " ", code=2)


def test_accounts_are_listed_by_name(line: Line, shown: Shown, account_id: str) -> None:
    shown("accounts", "create", "Aardvark")
    assert [one["name"] for one in shown("accounts", "list")["data"]] == ["Aardvark", "Acme"]
    header, *rows = table(line("accounts", "list"))
    assert header[:3] == ["ID", "NAME", "BALANCE_USD"]
    assert rows[1][:3] == [account_id, "Acme", "10.000000"]


def test_limits_change_one_at_a_time_and_none_lifts_one(shown: Shown, line: Line) -> None:
    account_id = shown("accounts", "create", "Acme", "--rpm", "5", "--monthly-usd", "1")["id"]
    limits = shown("accounts", "limit", account_id, "--rpm", "none", "--rpd", "0")["limits"]
    assert list(limits.values()) == [None, 0, None, "1.000000"]
    limits = shown("accounts", "limit", account_id, "--monthly-usd", "none")["limits"]
    assert list(limits.values()) == [None, 0, None, None]
    line("accounts", "limit", account_id, code=2)


def test_a_key_is_shown_when_it_is_made_and_never_again(
    line: Line, shown: Shown, account_id: str, data: Path
) -> None:
    live = shown("keys", "create", account_id)
    test = shown("keys", "create", account_id, "--test")
    assert set(live) == {"id", "key", "account", "test"}
    assert live["key"].startswith("dk_live_")
    assert test["key"].startswith("dk_test_")
    assert (live["account"], live["test"], test["test"]) == (account_id, False, True)
    line("keys", "revoke", live["id"], "--yes")

    later = [
        line("keys", "list", account_id).output,
        line("keys", "list", account_id, "--json").output,
        line("accounts", "show", account_id).output,
        line("keys", "revoke", test["id"], "--yes").output,
    ]
    files = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    for key in (live["key"], test["key"]):
        assert not any(key in text or key_hash(key) in text for text in later)
        assert key.encode() not in files


def test_a_new_key_opens_its_account(shown: Shown, account_id: str, data: Path) -> None:
    created = shown("keys", "create", account_id)

    async def found(records: Records) -> None:
        key = await records.key(key_hash(created["key"]))
        assert key is not None
        assert (key.id, key.account_id, key.test) == (created["id"], account_id, False)

    write(data, found)


def test_credit_lasts_a_year_and_is_in_the_ledger(
    line: Line, shown: Shown, account_id: str
) -> None:
    granted = shown("credit", "grant", account_id, "2.5")
    assert (granted["kind"], granted["usd"]) == ("grant", "2.500000")
    life = datetime.fromisoformat(granted["expires_at"]) - datetime.fromisoformat(granted["at"])
    assert life == CREDIT_LIFE
    assert shown("accounts", "show", account_id)["balance_usd"] == "12.500000"
    entries = shown("ledger", "list", account_id)["data"]
    assert [one["usd"] for one in entries] == ["2.500000", "10.000000"]
    assert table(line("ledger", "list", account_id))[1][1:3] == [granted["id"], "grant"]


def test_lists_go_on_where_the_last_page_ended(
    line: Line, shown: Shown, account_id: str, data: Path
) -> None:
    write(data, lambda records: spend(records, account_id))
    for command, count in ((("requests", "list", "--account"), 3), (("ledger", "list"), 2)):
        listed = (*command, account_id)
        first = line(*listed, "--limit", "1")
        cursor = first.stderr.strip().removeprefix("There is more: --cursor ")
        assert len(table(first)) == 2
        rest = shown(*listed, "--cursor", cursor)
        assert (len(rest["data"]), rest["has_more"]) == (count - 1, False)
        assert line(*listed, "--cursor", "x", code=1).stdout == ""
    line("requests", "list", "--cursor", cursor, code=2)


def test_requests_are_listed_by_status_and_model(
    line: Line, shown: Shown, account_id: str, data: Path
) -> None:
    write(data, lambda records: spend(records, account_id))

    def ids(*options: str) -> list[str]:
        return [
            one["id"]
            for one in shown("requests", "list", "--account", account_id, *options)["data"]
        ]

    assert ids() == ["req_3", "req_2", "req_1"]
    assert ids("--status", "succeeded") == ["req_1"]
    assert ids("--model", "gemini-3.1-flash-image", "--status", "failed") == ["req_2"]
    assert ids("--model", "another") == []
    line("requests", "list", "--status", "lost", code=2)
    assert ids("--operation", "generate") == ids()
    assert ids("--operation", "edit") == []
    line("requests", "list", "--operation", "paint", code=2)
    failed = table(line("requests", "list"))[2]
    assert failed[1:4] == ["req_2", account_id, "failed"]
    assert failed[-2:] == ["0.000000", "content_blocked"]


def test_a_request_is_shown_with_links_to_its_pictures(
    shown: Shown, account_id: str, data: Path
) -> None:
    write(data, lambda records: spend(records, account_id))
    request = shown("requests", "show", "req_1")
    assert request["cost"]["usd"] == "0.067000"
    assert "/account/images/img_0?" in request["images"][0]["url"]


def test_a_ledger_that_adds_up_says_so(
    line: Line, shown: Shown, account_id: str, data: Path
) -> None:
    write(data, lambda records: spend(records, account_id))
    assert shown("ledger", "check") == {
        "accounts": 1,
        "requests": 3,
        "entries": 2,
        "balance_usd": "9.933000",
        "findings": [],
    }
    assert ["balance_usd", "9.933000"] in table(line("ledger", "check"))


def test_accounts_are_counted_while_they_are_looked_at(
    shown: Shown, account_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown("accounts", "create", "Aardvark")
    for command in (("ledger", "check"), ("accounts", "list")):
        seen = command_line.on_terminal(monkeypatch, *command)
        assert ("0/2" in seen.stderr, "2/2" in seen.stderr) == (True, True)
        assert "2/2" not in seen.stdout


def test_a_ledger_that_does_not_add_up_fails_the_check_with_a_line_each(
    line: Line, shown: Shown, account_id: str, data: Path
) -> None:
    write(data, lambda records: spend(records, account_id))
    db = sqlite3.connect(data / "darkroom.db")
    db.execute("UPDATE entries SET micros = micros + 1 WHERE kind = 'charge'")
    db.commit()
    db.close()
    lines = line("ledger", "check", code=1).stdout.splitlines()
    findings = shown("ledger", "check", code=1)["findings"]
    assert len(lines[1:]) == len(findings) == 3
    assert all(text.startswith(account_id) for text in lines[1:])
    assert findings[0]["subject"] == "req_1"
    assert findings[0]["message"] in lines[1]


@pytest.mark.parametrize(
    "command",
    [
        ("accounts", "show", "acc_x"),
        ("accounts", "limit", "acc_x", "--rpm", "1"),
        ("keys", "create", "acc_x"),
        ("keys", "list", "acc_x"),
        ("keys", "revoke", "key_x", "--yes"),
        ("credit", "grant", "acc_x", "1"),
        ("requests", "list", "--account", "acc_x"),
        ("requests", "show", "req_x"),
        ("ledger", "list", "acc_x"),
        ("batches", "list", "--account", "acc_x"),
        ("batches", "list", "--open", "--account", "acc_x"),
        ("batches", "show", "bat_x"),
        ("batches", "watch", "bat_x"),
        ("batches", "retry", "bat_x", "--account", "acc_x"),
        ("events", "dead", "replay", "77"),
        ("webhooks", "replay", "msg_x"),
        ("accounts", "usage", "acc_x"),
        ("models", "show", "no-such-model"),
        ("templates", "show", "no-such-template"),
    ],
)
def test_what_does_not_exist_is_one_line_on_stderr(line: Line, command: tuple[str, ...]) -> None:
    result = line(*command, "--json", code=1)
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert any(word in result.stderr for word in command[2:])


def test_unusable_settings_are_one_line(
    line: Line, data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DARKROOM_TEST_KEY", "dk_live_x")
    assert "DARKROOM_TEST_KEY" in line("accounts", "list", code=1).stderr
    assert "DARKROOM_TEST_KEY" in line("models", "list", code=1).stderr
    monkeypatch.delenv("DARKROOM_TEST_KEY")
    (tmp_path / "file").touch()
    monkeypatch.setenv("DARKROOM_DATA", str(tmp_path / "file"))
    assert len(line("accounts", "list", code=1).stderr.splitlines()) == 1


def test_models_are_listed_and_shown_by_id_or_alias(line: Line, shown: Shown) -> None:
    ids = [one["id"] for one in shown("models", "list")["data"]]
    assert "gemini-3-pro-image" in ids
    model = shown("models", "show", "nano-banana-pro")
    assert model == shown("models", "show", "gemini-3-pro-image")
    assert model["routes"][0]["price"]["unit"] == "image"
    assert dict(table(line("models", "show", "nano-banana-pro")))["id"] == "gemini-3-pro-image"
    assert [row[0] for row in table(line("models", "list"))] == ["ID", *ids]


def test_templates_are_listed_and_shown_with_what_goes_into_them(line: Line, shown: Shown) -> None:
    found = catalogue.load().templates
    assert [one["name"] for one in shown("templates", "list")["data"]] == list(found)
    assert [row[0] for row in table(line("templates", "list"))] == ["NAME", *found]
    name, template = next((n, t) for n, t in found.items() if t.variables)
    one = shown("templates", "show", name)
    assert (one["prompt"], one["version"]) == (template.prompt, template.version)
    about, variables = line("templates", "show", name).stdout.split("\n\n")
    assert template.prompt in about
    assert [row.split()[0] for row in variables.splitlines()] == ["NAME", *template.variables]


def test_a_sound_catalogue_passes_the_check(shown: Shown) -> None:
    found = shown("models", "check")
    assert found["models"] == len(shown("models", "list")["data"])


@pytest.mark.parametrize("text", ["[[model]]\nid = 'new'", "not toml", "[[models]]"])
def test_a_bad_catalogue_fails_the_check_and_names_the_row(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "overlay.toml").write_text(text)
    monkeypatch.setenv("DARKROOM_CATALOGUE", str(tmp_path / "overlay.toml"))
    result = line("models", "check", code=1)
    assert result.stdout == ""
    assert "overlay.toml" in result.stderr


def test_what_is_deployed_is_worked_on_without_its_secret(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_BUCKET", "pictures")
    monkeypatch.delenv("DARKROOM_SIGNING_SECRET", raising=False)
    assert "shop" in line("accounts", "create", "shop").stdout
    with pytest.raises(BadSettings, match="DARKROOM_SIGNING_SECRET"):
        build(Settings.from_env())


def test_a_wallet_in_firestore_is_spread_over_every_shard_there_can_be(data: Path) -> None:
    env = {"DARKROOM_FIRESTORE_DATABASE": "x", "DARKROOM_SIGNING_SECRET": "s" * 32}

    async def shards() -> int:
        app = build(Settings.from_env({**env, "DARKROOM_DATA": str(data)}))
        await app.close()
        return app.wallet_shards

    assert asyncio.run(shards()) == MAX_SHARDS


@pytest.mark.process
def test_the_module_runs_as_a_program_beside_an_open_database(data: Path) -> None:
    program = [sys.executable, "-W", "error", "-m", "shared.cli"]

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        folder = Path(__file__).parent.parent
        return subprocess.run(
            [*program, *args], capture_output=True, text=True, check=False, cwd=folder
        )

    async def beside(records: Records) -> None:
        created = await asyncio.to_thread(run, "accounts", "create", "Acme", "--json")
        assert (created.returncode, created.stderr.count("\n")) == (0, 1)
        account_id = json.loads(created.stdout)["id"]
        assert await records.account(account_id) is not None

    write(data, beside)
    assert run("accounts", "show", "acc_x").returncode == 1

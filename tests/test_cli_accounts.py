"""The operator's commands for accounts and keys: what is spent and used, and what is asked before
something ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.app import utc_now
from shared.domain import Limits, Quote
from shared.records import Records
from tests import command_line
from tests.command_line import on_terminal, ran, shown, table, write
from tests.records.scene import account, admit, draft, grant, settle

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return command_line.fresh(tmp_path, monkeypatch)


async def spend(records: Records, limits: Limits | None = None) -> None:
    """An account with one picture today, one of another model yesterday, and one being made."""
    now = utc_now()
    await records.create_account(account(limits=limits))
    await records.grant(replace(grant(10_000_000), expires_at=now + 365 * DAY))
    for number, (model, at) in enumerate([("a", now - DAY), ("b", now), ("b", now)]):
        quote = Quote({f"google:{model}": 67_000}, 67_000, 67_000)
        record = replace(draft(f"req_{number}", at=at), model=model, quote=quote)
        admitted = await admit(records, record, at)
        if number < 2:
            await settle(records, admitted, 67_000, at=at)


def days(*options: str) -> list[tuple[Any, ...]]:
    return [
        (one["day"] or one["model"] or one["provider"], one["requests"], one["images"], one["usd"])
        for one in shown("accounts", "usage", "acc", *options)["data"]
    ]


def test_usage_is_added_up_by_day_model_or_provider(data: Path) -> None:
    write(data, spend)
    today = utc_now().date()
    each = (1, 1, "0.067000")
    assert days() == [(str(today - DAY), *each), (str(today), *each)]
    assert days("--by", "model") == [("a", *each), ("b", *each)]
    assert days("--by", "provider") == [("google", 2, 2, "0.134000")]
    assert days("--from", str(today)) == [(str(today), *each)]
    assert days("--to", str(today - DAY)) == [(str(today - DAY), *each)]
    printed = ran("accounts", "usage", "acc", "--by", "model")
    assert table(printed) == [
        ["MODEL", "REQUESTS", "IMAGES", "USD"],
        ["a", "1", "1", "0.067000"],
        ["b", "1", "1", "0.067000"],
    ]
    since = today - timedelta(days=30)
    assert printed.stderr == f"0.134000 US dollars from {since} to {today}.\n"


@pytest.mark.parametrize(
    "options",
    [
        ("--from", "2026-01-02", "--to", "2026-01-01"),
        ("--from", "2025-01-01", "--to", "2026-01-03"),
        ("--from", "yesterday"),
        ("--by", "week"),
    ],
)
def test_usage_is_of_a_year_at_most(options: tuple[str, ...]) -> None:
    ran("accounts", "usage", "acc_x", *options, code=2)


def test_what_is_used_stands_beside_each_limit(data: Path) -> None:
    write(data, lambda records: spend(records, Limits(rpm=60, monthly_micros=5_000_000)))
    said = dict(table(ran("accounts", "show", "acc")))
    assert said["balance_usd"] == "9.866000"
    assert (said["held_usd"], said["available_usd"]) == ("0.067000", "9.799000")
    assert said["rpm"] == "2 of 60"
    assert said["concurrency"] == "1, no limit"
    assert said["monthly_usd"].endswith("000 of 5.000000")


def test_a_limit_that_stops_an_account_is_asked_about(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(data, spend)

    def limited(*options: str, stdin: str = "", code: int = 0) -> str:
        command = ("accounts", "limit", "acc", *options)
        return on_terminal(monkeypatch, *command, stdin=stdin, code=code).stderr

    def limits() -> list[Any]:
        return list(shown("accounts", "show", "acc")["limits"].values())

    assert "Go on?" not in limited("--rpm", "3", "--concurrency", "none")
    refused = limited("--concurrency", "1", "--monthly-usd", "0.01", stdin="n\n", code=1)
    assert "concurrency, monthly_usd" in refused
    assert limits() == [3, None, None, None]
    limited("--concurrency", "1", stdin="y\n")
    limited("--rpd", "0", "--yes")
    assert limits() == [3, 0, 1, None]
    ran("accounts", "limit", "acc", "--rpm", "0")
    assert limits() == [0, 0, 1, None]


def test_a_key_is_revoked_once_the_operator_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    account_id = shown("accounts", "create", "Acme")["id"]
    key_id = shown("keys", "create", account_id)["id"]

    def revoke(*options: str, stdin: str = "", code: int = 0) -> str:
        command = ("keys", "revoke", key_id, *options)
        return on_terminal(monkeypatch, *command, stdin=stdin, code=code).stderr

    def revoked_at() -> datetime | None:
        (key,) = shown("keys", "list", account_id)["data"]
        return None if key["revoked_at"] is None else datetime.fromisoformat(key["revoked_at"])

    assert key_id in revoke(stdin="n\n", code=1)
    revoke(stdin="", code=1)
    assert revoked_at() is None
    revoke(stdin="y\n")
    first = revoked_at()
    assert first is not None
    assert shown("keys", "revoke", key_id, "--yes") == {"id": key_id, "revoked": True}
    assert revoked_at() == first
    other = shown("keys", "create", account_id)["id"]
    assert shown("keys", "revoke", other)["revoked"]


def test_a_key_that_leaked_is_named_by_itself() -> None:
    account_id = shown("accounts", "create", "Acme")["id"]
    lost, kept = (shown("keys", "create", account_id) for _ in range(2))
    (first, _) = shown("keys", "list", account_id)["data"]
    assert shown("keys", "show", lost["key"]) == shown("keys", "show", lost["id"]) == first
    assert shown("keys", "revoke", lost["key"]) == {"id": lost["id"], "revoked": True}
    revoked = {one["id"] for one in shown("keys", "list", account_id)["data"] if one["revoked_at"]}
    assert revoked == {lost["id"]}
    assert lost["key"] not in ran("keys", "show", lost["key"]).output
    for command in ("show", "revoke"):
        refused = ran("keys", command, kept["key"] + "x", code=1).output
        assert "No account has this key." in refused
        assert kept["key"] not in refused


def test_a_names_markup_is_no_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ran("accounts", "create", "[red]shop[/red]\x1b[2J")
    seen = on_terminal(monkeypatch, "accounts", "list").stdout
    assert "[red]shop[/red]\N{REPLACEMENT CHARACTER}[2J" in seen
    assert "\x1b[1m" in seen
    assert "\x1b" not in ran("accounts", "list").stdout

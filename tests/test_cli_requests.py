"""The operator's view of a request: why it failed, what was tried, and what it cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shared import errors
from shared.cli_requests import ADVICE
from shared.domain import Attempt, Problem
from shared.records import Records
from tests import command_line
from tests.command_line import ran, shown, table, write
from tests.records.scene import admit, draft, opened, release, settle

BUSY = Attempt("google", "rate_limited", 429, 210)
BLOCKED = Attempt("laozhang", "content_blocked", 400, 9120, 1_500)
WHY = Problem("content_blocked", "It shows [bold]too much[/].\x1b[2J", provider="laozhang")


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = command_line.fresh(tmp_path, monkeypatch)
    write(folder, ended)
    return folder


async def ended(records: Records) -> None:
    """A request that succeeded, and one that two providers turned down."""
    await opened(records)
    await settle(records, await admit(records, draft("req_1")), 100)
    failed = await admit(records, draft("req_2"))
    await release(records, replace(failed, error=WHY, attempts=(BUSY, BLOCKED)))


def parts(request_id: str) -> list[list[list[str]]]:
    """The cells of each part of what is shown, which are apart by an empty line."""
    text = ran("requests", "show", request_id).stdout
    return [[row.split(maxsplit=1) for row in part.splitlines()] for part in text.split("\n\n")]


def test_a_failed_request_says_first_why_then_what_was_tried_then_what_it_cost() -> None:
    why, tried, rest = parts("req_2")
    assert why == [
        ["id", "req_2"],
        ["account", "acc"],
        ["status", "failed"],
        ["error.code", "content_blocked"],
        ["error.message", "It shows [bold]too much[/].\N{REPLACEMENT CHARACTER}[2J"],
        ["error.provider", "laozhang"],
        ["error.retryable", "no"],
        ["advice", ADVICE["content_blocked"]],
    ]
    assert [" ".join(row).split() for row in tried] == [
        ["PROVIDER", "OUTCOME", "STATUS", "LATENCY_MS", "COST_USD"],
        ["google", "rate_limited", "429", "210", "0.000000"],
        ["laozhang", "content_blocked", "400", "9120", "0.001500"],
    ]
    assert [row[0] for row in rest[:5]] == [
        "cost.usd",
        "cost.credits",
        "cost.estimated_usd",
        "cost.free_tier",
        "provider_cost_usd",
    ]


def test_a_request_that_went_well_has_its_pictures_and_no_error() -> None:
    first, rest = parts("req_1")
    assert first == [["id", "req_1"], ["account", "acc"], ["status", "succeeded"]]
    assert ["cost.usd", "0.000100"] in rest
    assert ["images.0.width", "8"] in rest
    assert ["sandbox", "no"] in rest


def test_json_is_as_ever() -> None:
    asked = shown("requests", "show", "req_2")
    assert asked["error"]["code"] == "content_blocked"
    assert [set(one) for one in asked["attempts"]] == [
        {"provider", "outcome", "status", "latency_ms"}
    ] * 2


def test_a_list_is_of_one_operation_or_of_a_models_alias() -> None:
    for options in (("--operation", "generate"), ("--model", "gemini-3.1-flash-image")):
        assert len(shown("requests", "list", *options)["data"]) == 2
    for options in (("--operation", "edit"), ("--model", "nano-banana-pro"), ("--model", "x")):
        assert shown("requests", "list", *options)["data"] == []


def test_a_list_says_whose_each_is_by_which_key_and_that_there_is_more() -> None:
    newest = shown("requests", "list", "--limit", "1")
    assert (newest["has_more"], newest["next_cursor"]) == (True, None)
    assert [(one["account"], one["key"]) for one in newest["data"]] == [("acc", "key")]
    assert "There is more" in ran("requests", "list", "--limit", "1").stderr
    assert "There is more" not in ran("requests", "list", "--limit", "2").stderr
    assert table(ran("requests", "list"))[0][1:3] == ["ID", "ACCOUNT"]
    assert "ACCOUNT" not in table(ran("requests", "list", "--account", "acc"))[0]


def test_a_request_is_found_by_the_idempotency_key_that_its_caller_sent(data: Path) -> None:
    async def sent(records: Records) -> None:
        await admit(records, replace(draft("req_3"), idempotency_key="order 77"))

    write(data, sent)
    found = shown("requests", "list", "--idempotency-key", "order 77")["data"]
    assert [one["id"] for one in found] == ["req_3"]
    assert shown("requests", "list", "--idempotency-key", "order")["data"] == []


def test_there_is_something_to_do_about_every_error() -> None:
    codes = {error.code for error in errors.every()} | {"partially_blocked"}
    assert set(ADVICE) == codes

"""What an operator needs in an emergency, on Google's emulators of Firestore and Pub/Sub."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from shared import event_message
from shared.app import utc_now
from shared.domain import Quote
from shared.events import TOPICS, Event, pubsub
from shared.ledger import MAX_SHARDS
from shared.records import Records
from shared.records.firestore import Firestore
from tests import command_line
from tests.command_line import ran, shown, table
from tests.emulators.pubsub import Project, new_project
from tests.records.scene import (
    account,
    admit,
    admit_batch,
    batch_draft,
    draft,
    ended_batch,
    grant,
    notice_of,
    release,
    settle,
)

pytestmark = pytest.mark.emulator

Write = Callable[[Callable[[Records], Awaitable[None]]], None]


@pytest.fixture
def write(firestore_emulator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """The environment of who operates a deployed project; writes into its records."""
    project = f"demo-{uuid.uuid4().hex[:20]}"
    command_line.fresh(tmp_path, monkeypatch)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", project)
    monkeypatch.setenv("DARKROOM_FIRESTORE_DATABASE", "darkroom")

    async def opened(work: Callable[[Records], Awaitable[None]]) -> None:
        records = Firestore(project, "darkroom", Random(0), asyncio.sleep)
        try:
            await work(records)
        finally:
            await records.close()

    return lambda work: asyncio.run(opened(work))


async def an_account(records: Records) -> None:
    await records.create_account(account(shards=MAX_SHARDS))
    await records.grant(replace(grant(10_000), expires_at=utc_now() + timedelta(days=1)))


@pytest.mark.usefixtures("write")
def test_accounts_keys_and_credit() -> None:
    created = shown("accounts", "create", "Acme", "--credit-usd", "5", "--rpm", "60")
    account_id = created["id"]
    assert created["balance_usd"] == "5.000000"
    assert shown("accounts", "limit", account_id, "--rpd", "0")["limits"]["rpd"] == 0
    shown("credit", "grant", account_id, "2.5")
    said = dict(table(ran("accounts", "show", account_id)))
    assert (said["balance_usd"], said["rpm"], said["rpd"]) == ("7.500000", "0 of 60", "0 of 0")
    assert [one["id"] for one in shown("accounts", "list")["data"]] == [account_id]

    key = shown("keys", "create", account_id)
    assert key["key"].startswith("dk_live_")
    assert shown("keys", "show", key["id"])["account"] == account_id
    assert shown("keys", "revoke", key["key"])["id"] == key["id"]
    (kept,) = shown("keys", "list", account_id)["data"]
    assert (kept["id"], kept["revoked_at"] is None) == (key["id"], False)
    ran("keys", "revoke", "key_x", code=1)

    audit = shown("ledger", "check")
    assert (audit["accounts"], audit["balance_usd"], audit["findings"]) == (1, "7.500000", [])


def test_requests_and_what_was_spent(write: Write) -> None:
    async def spent(records: Records) -> None:
        await an_account(records)
        quote = Quote({"google:gemini-3.1-flash-image": 100}, 100, 100)
        await settle(records, await admit(records, replace(draft("req_1"), quote=quote)), 100)
        await release(records, await admit(records, draft("req_2")))

    write(spent)
    assert len(shown("requests", "list")["data"]) == 2
    (failed,) = shown("requests", "list", "--account", "acc", "--status", "failed")["data"]
    assert failed["id"] == "req_2"
    assert shown("requests", "list", "--idempotency-key", "x")["data"] == []
    assert "0.000100" in ran("requests", "show", "req_1").stdout
    days = ("--from", "2026-11-01", "--to", "2026-11-30")
    (day,) = shown("accounts", "usage", "acc", *days)["data"]
    assert (day["day"], day["usd"]) == ("2026-11-21", "0.000100")
    assert shown("ledger", "check")["requests"] == 2
    google = shown("providers", "list")["data"][0]
    assert (google["open"], google["balance"]) == (False, None)


def test_batches_and_webhooks(write: Write) -> None:
    async def begun(records: Records) -> None:
        await an_account(records)
        now = utc_now()
        await admit_batch(records, batch_draft("bat_1", 0, now))
        done = await admit_batch(records, batch_draft("bat_2", 0, now - timedelta(hours=1)))
        notice = notice_of("bat_2", now)
        await records.advance_batch(ended_batch(done), None, notice)
        known = await records.notice(notice.id)
        assert known is not None
        await records.update_notice(replace(known, state="dead", failure="It answered 500."))

    write(begun)
    assert [one["id"] for one in shown("batches", "list")["data"]] == ["bat_1", "bat_2"]
    assert [one["id"] for one in shown("batches", "list", "--open")["data"]] == ["bat_1"]
    before = shown("batches", "show", "bat_1")
    assert shown("batches", "retry", "bat_1")["due_at"] < before["due_at"]
    ran("batches", "retry", "bat_2", code=1)
    assert shown("batches", "cancel", "bat_1")["cancelling"]

    (dead,) = shown("webhooks", "list", "--dead")["data"]
    assert (dead["id"], dead["failure"]) == ("msg_bat_2", "It answered 500.")
    assert shown("webhooks", "replay", dead["id"])["state"] == "due"
    assert shown("webhooks", "replay", "--all")["data"] == []


def died(project: Project, event: Event) -> None:
    """Put an event where the service puts those that failed too often."""
    from google.cloud.pubsub_v1 import PublisherClient

    with PublisherClient() as publisher:
        grave = publisher.topic_path(project.id, f"{project.prefix}{event.topic}-dead")
        tries = {"CloudPubSubDeadLetterSourceDeliveryCount": "20"}
        publisher.publish(grave, event_message.encode(event), **tries).result(10)


@pytest.mark.usefixtures("write")
def test_dead_events(pubsub_emulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    project = new_project()
    for topic in TOPICS:
        project.subscribe(topic)
    monkeypatch.setattr(pubsub, "PATIENCE_S", 0.5)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", project.id)
    monkeypatch.setenv("DARKROOM_TOPIC_PREFIX", project.prefix)
    for subject in ("req_1", "req_2"):
        died(project, Event("requests", "acc", subject))
    found = shown("events", "dead", "list")["data"]
    assert {one["subject"]: one["tries"] for one in found} == {"req_1": 20, "req_2": 20}
    assert shown("events", "dead", "replay", found[0]["id"])["replayed"]
    assert [one["id"] for one in shown("events", "replay", "--all")["data"]] == [found[1]["id"]]
    assert shown("events", "dead", "list")["data"] == []


@pytest.mark.usefixtures("firestore_emulator", "write")
def test_a_topic_that_does_not_exist_is_one_line(
    pubsub_emulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", new_project().id)
    monkeypatch.setenv("DARKROOM_TOPIC_PREFIX", "mistyped-")
    refused = ran("events", "dead", "list", code=1)
    assert (refused.stdout, len(refused.stderr.splitlines())) == ("", 1)
    assert "nothing of the name" in refused.stderr

"""Nouns as documents: what a newer version wrote can still be read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.batch_domain import Group, Job
from shared.errors import InvalidRequest
from shared.ledger import Lot, Shard
from shared.records import documents
from tests.records.scene import NOW, account, batch_draft, draft, grant, notice_of


def test_fields_of_a_newer_version_are_passed_over() -> None:
    stored = dict(documents.from_record(draft("req_1")))
    body = json.loads(stored["body"])
    stored["body"] = json.dumps({**body, "mood": 1, "hold": {**body["hold"], "mood": 1}})
    assert documents.to_record({**stored, "mood": 1}, "") == draft("req_1")
    assert documents.to_account({**documents.from_account(account()), "mood": 1}) == account()
    assert documents.to_entry({**documents.from_entry(grant(5)), "mood": 1}) == grant(5)


def test_fields_of_a_newer_version_are_passed_over_within_a_batch_and_a_notice() -> None:
    batch = replace(
        batch_draft(),
        groups=(Group("provider", "x:m", 1, 1, rest_until=NOW),),
        jobs=(Job(0, 0, 1, "running", "name", 0, 9, look_at=NOW),),
    )
    stored = dict(documents.from_batch(batch))
    body = json.loads(stored["body"])
    for nested in (body, body["hold"], body["counts"], body["groups"][0], body["jobs"][0]):
        nested["mood"] = 1
    assert documents.to_batch({**stored, "mood": 1, "body": json.dumps(body)}, "") == batch
    notice = dict(documents.from_notice(notice_of("req_1")))
    body = json.dumps({**json.loads(notice["body"]), "mood": 1})
    assert documents.to_notice({**notice, "mood": 1, "body": body}, "") == notice_of("req_1")


def test_fields_that_an_older_version_did_not_write_take_their_defaults() -> None:
    stored = dict(documents.from_record(draft("req_1")))
    missing = ("n", "metadata", "deferred", "webhook_url", "task")
    body = {k: v for k, v in json.loads(stored["body"]).items() if k not in missing}
    stored["body"] = json.dumps(body)
    assert documents.to_record(stored, "") == draft("req_1")


def test_a_shard_keeps_its_lots_and_windows() -> None:
    shard = Shard(2, {"a.b": Lot(5, NOW)}, "m", 1, "d", 2, {"2026-11": 3}, 4, 5, "v")
    document = documents.from_shard(shard)
    assert "version" not in document
    assert documents.to_shard(document, 2, "v") == shard


def test_json_takes_read_only_mappings_and_lone_surrogates() -> None:
    text = documents.to_json(MappingProxyType({"a\udfff": "é"}))
    assert text.encode() == b'{"a\\udfff": "\xc3\xa9"}'
    assert json.loads(text) == {"a\udfff": "é"}


def test_the_order_of_times_is_that_of_their_texts() -> None:
    whole = datetime(2026, 11, 21, tzinfo=UTC)
    elsewhere = whole.astimezone(timezone(timedelta(hours=9)))
    assert documents.iso(elsewhere) == documents.iso(whole) < documents.iso(NOW)


@given(at=st.datetimes(timezones=st.just(UTC)), item_id=st.text("abc_.~é/", max_size=30))
def test_a_cursor_names_the_place_it_was_made_for(at: datetime, item_id: str) -> None:
    assert documents.from_cursor(documents.to_cursor(at, item_id)) == (at, item_id)


@given(cursor=st.text(max_size=40))
def test_any_other_text_is_no_cursor(cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        documents.from_cursor(cursor)


def test_only_a_grant_is_granted() -> None:
    with pytest.raises(ValueError, match="no grant"):
        documents.granted(grant(-1), 2)
    assert [lot.micros for lot in documents.granted(grant(5), 2)] == [3, 2]

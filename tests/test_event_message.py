"""What a message says, and every way in which it reaches a function."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import event_message
from shared.errors import InvalidRequest
from shared.events import Event

EVENT = Event("requests", "acc_1", "req_1")
SAID = b'{"account": "acc_1", "subject": "req_1"}'
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
SOURCE = "//pubsub.googleapis.com/projects/p/topics/darkroom-requests"


def push(data: bytes | None = SAID) -> dict[str, object]:
    """The body of a push, fields and all (cloud.google.com/pubsub/docs/push, 2026-11)."""
    message: dict[str, object] = {
        "attributes": {"key": "value"},
        "messageId": "207044",
        "message_id": "207044",
        "publishTime": "2026-11-21T00:00:00.109Z",
        "publish_time": "2026-11-21T00:00:00.109Z",
    }
    if data is not None:
        message["data"] = base64.b64encode(data).decode()
    return {
        "message": message,
        "subscription": "projects/p/subscriptions/darkroom-requests-push",
        "deliveryAttempt": 2,
    }


def cloud_event(data: object) -> dict[str, object]:
    """A CloudEvent whose headers are in its body (CloudEvents 1.0, JSON format)."""
    return {
        "specversion": "1.0",
        "id": "207044",
        "source": SOURCE,
        "type": "google.cloud.pubsub.topic.v1.messagePublished",
        "time": "2026-11-21T00:00:00.109Z",
        "datacontenttype": "application/json",
        "data": data,
    }


def read(body: object, content_type: str = "application/json") -> bytes:
    return event_message.read(content_type, json.dumps(body).encode()).data


@given(WORDS, WORDS)
def test_an_event_is_read_as_it_was_written(account: str, subject: str) -> None:
    event = Event("batch-callbacks", account, subject)
    assert event_message.decode("batch-callbacks", event_message.encode(event)) == event


def test_it_is_written_as_others_may_write_it() -> None:
    assert event_message.encode(EVENT) == SAID
    assert event_message.decode("requests", SAID) == EVENT
    assert event_message.decode("requests", SAID[:-1] + b', "newer": 1}') == EVENT


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"tick",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b'{"account": "acc_1"}',
        b'{"account": "acc_1", "subject": ""}',
        b'{"account": 1, "subject": "req_1"}',
        b'{"account": "acc_1", "subject": "\\ud800"}',
        b'{"a":' * 5000,
    ],
)
def test_what_says_no_event_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        event_message.decode("requests", data)


def test_a_push_brings_its_message() -> None:
    assert read(push()) == SAID
    assert read({"message": {"data": "aGk="}}) == b"hi"


def test_what_a_laptop_pushes_is_read_like_any_other_push() -> None:
    assert event_message.read("application/json", event_message.pushed(EVENT)).data == SAID


def test_a_cloud_event_brings_the_same_with_its_headers_apart_or_not() -> None:
    # Apart, the body is the push's own, but for a note of its type.
    typed = {"@type": "type.googleapis.com/google.pubsub.v1.PubsubMessage"}
    body = push()
    assert isinstance(body["message"], dict)
    assert read({**body, "message": {**typed, **body["message"]}}) == SAID
    kind = "application/cloudevents+json"
    for content_type in (kind, f"{kind}; charset=UTF-8", "Application/CloudEvents+JSON"):
        assert read(cloud_event(push()), content_type) == SAID


def test_a_message_may_say_in_which_trace_it_was_published() -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for attributes, found in (({"traceparent": parent}, parent), ({"key": "value"}, None)):
        body = json.dumps({"message": {"data": "aGk=", "attributes": attributes}}).encode()
        assert event_message.read("application/json", body).traceparent == found


@pytest.mark.parametrize("body", [push(None), push(b""), {"message": {"data": None}}])
def test_a_message_may_bring_no_data(body: object) -> None:
    assert read(body) == b""
    assert read(cloud_event(body), "application/cloudevents+json") == b""


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        [push()],
        "message",
        {},
        {"message": None},
        {"message": "aGk="},
        {"message": {"data": 1}},
        {"message": {"data": "not base64!"}},
        {"message": {"data": "aGk"}},
        {"message": {"data": "aG!k="}},
        {"message": {"data": "aGké"}},
        cloud_event(push()),
    ],
)
def test_anything_else_is_refused(body: object) -> None:
    with pytest.raises(InvalidRequest):
        read(body)


@pytest.mark.parametrize("body", [push(), cloud_event(None), cloud_event("aGk="), [cloud_event(1)]])
def test_a_cloud_event_of_anything_else_is_refused(body: object) -> None:
    with pytest.raises(InvalidRequest):
        read(body, "application/cloudevents+json")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"message":' * 5000])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        event_message.read("application/json", body)

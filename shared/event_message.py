"""What a message says, `{"account": "acc_…", "subject": "req_…"}` in JSON, and how it reaches a
function: in the envelope of a Pub/Sub push (cloud.google.com/pubsub/docs/push), which Eventarc
makes the data of a CloudEvent, its other fields in headers or around it (2026-11).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared import trace
from shared.errors import InvalidRequest
from shared.events import Event, Topic

_CLOUD_EVENT = "application/cloudevents+json"


class _Body(BaseModel):
    model_config = ConfigDict(strict=True)

    account: str = Field(min_length=1)
    subject: str = Field(min_length=1)


class _Message(BaseModel):
    model_config = ConfigDict(strict=True)

    data: str | None = None
    attributes: dict[str, str] | None = None


class _Push(BaseModel):
    message: _Message


class _CloudEvent(BaseModel):
    data: _Push


@dataclass(frozen=True)
class Message:
    """What a push brings: the data, b"" where it has none, and the trace it was published in."""

    data: bytes
    traceparent: str | None = None


def encode(event: Event) -> bytes:
    """An event as its message says it: without the topic, which is where it lies."""
    return json.dumps({"account": event.account_id, "subject": event.subject}).encode()


def pushed(event: Event) -> bytes:
    """An event as a push brings it."""
    data = base64.b64encode(encode(event)).decode()
    return json.dumps({"message": {"data": data}, "subscription": event.topic}).encode()


def decode(topic: Topic, data: bytes) -> Event:
    """The event that a message of a topic says. Raises InvalidRequest."""
    try:
        body = _Body.model_validate_json(data)
    except ValidationError:
        raise InvalidRequest(
            'The message has to say {"account": "…", "subject": "…"}.', param="message.data"
        ) from None
    return Event(topic, body.account, body.subject)


def read(content_type: str, body: bytes) -> Message:
    """The message that an HTTP request brings: a push, or a CloudEvent of one, its headers apart or
    in the body. Raises InvalidRequest."""
    structured = content_type.partition(";")[0].strip().lower() == _CLOUD_EVENT
    try:
        push = (
            _CloudEvent.model_validate_json(body).data
            if structured
            else _Push.model_validate_json(body)
        )
        # A ValueError is also what text that is not base64 raises.
        data = base64.b64decode(push.message.data or "", validate=True)
    except ValueError:
        raise InvalidRequest("This is no message that Pub/Sub pushes.", param="message") from None
    return Message(data, (push.message.attributes or {}).get(trace.HEADER))

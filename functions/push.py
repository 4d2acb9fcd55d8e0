"""What the functions behind a queue share: reading the event that was pushed."""

from __future__ import annotations

from starlette.requests import Request

from functions import http
from shared import event_message, log, trace
from shared.errors import InvalidRequest
from shared.events import Event, Topic

MAX_BYTES = 10 * 2**20
"""Of a message, as Pub/Sub has it."""


async def event(request: Request, topic: Topic) -> Event | None:
    """The event of a push; None for what is none, which would never become one by being sent
    again."""
    try:
        body = await http.body(request, MAX_BYTES)
        message = event_message.read(request.headers.get("content-type", ""), body)
        trace.follow(message.traceparent)
        return event_message.decode(topic, message.data)
    except InvalidRequest as error:
        log.event("event.unread", severity="ERROR", topic=topic, cause=error.message)
        return None

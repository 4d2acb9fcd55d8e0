"""Events by Google's Pub/Sub: one is published to `<prefix><topic>`, from where a subscription
pushes it to its function. What failed too often lies in the pull subscription
`<prefix><topic>-dead`, where the service has put it with a count of its tries
(cloud.google.com/pubsub/docs/handling-failures, 2026-11).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Lock
from typing import Any

import google.auth
from google.api_core.exceptions import DeadlineExceeded

from shared import event_message, trace
from shared.errors import InvalidRequest
from shared.events import TOPICS, Dead, Event, Topic
from shared.settings import BadSettings

PUBLISH_S = 30.0
"""How long an event may take to be taken; the client goes on trying behind our back."""
PATIENCE_S = 2.0
"""How long a pull waits: one that brings nothing until then is taken for the end of the list."""
_MOST = 1000
_TRIES = "CloudPubSubDeadLetterSourceDeliveryCount"


class PubSub:
    """Satisfies `Events` with the topics of one project (None: that of the credentials it runs
    under). It connects at the first call, so after a server forked: to the emulator where
    PUBSUB_EMULATOR_HOST names one. Of more dead events than asked for, `dead` shows those that the
    service gives out first."""

    def __init__(self, project: str | None, prefix: str) -> None:
        self._project = project
        self._prefix = prefix
        self._publisher: Any = None
        self._opening = Lock()

    async def publish(self, event: Event) -> None:
        publisher = self._publisher or await asyncio.to_thread(self._open)
        sent = publisher.publish(
            self._topic(event.topic), event_message.encode(event), **trace.headers(None)
        )
        async with asyncio.timeout(PUBLISH_S):
            await asyncio.wrap_future(sent)

    async def dead(self, limit: int) -> Sequence[Dead]:
        seen = [asyncio.to_thread(self._dead, topic, limit) for topic in TOPICS]
        found = [dead for every in await asyncio.gather(*seen) for dead in every]
        return sorted(found, key=lambda dead: dead.died_at)[:limit]

    async def replay(self, dead_id: str) -> bool:
        for topic in TOPICS:
            if dead_id.startswith(f"{topic}:"):
                return await asyncio.to_thread(self._replay, topic, dead_id)
        return False

    async def close(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            publisher.stop()
            await asyncio.to_thread(publisher.transport.close)

    def _dead(self, topic: Topic, limit: int) -> list[Dead]:
        with self._held(topic, lambda held: len(held) >= limit) as (_, held):
            return [_to_dead(topic, dead_id, one.message) for dead_id, one in held.items()]

    def _replay(self, topic: Topic, dead_id: str) -> bool:
        with self._held(topic, lambda held: dead_id in held) as (client, held):
            if dead_id not in held:
                return False
            found = held[dead_id]
            traced = {k: v for k, v in found.message.attributes.items() if k == trace.HEADER}
            sent = self._open().publish(self._topic(topic), found.message.data, **traced)
            sent.result(PUBLISH_S)
            client.acknowledge(subscription=self._grave(topic), ack_ids=[found.ack_id])
            del held[dead_id]
            return True

    @contextmanager
    def _held(
        self, topic: Topic, enough: Callable[[Mapping[str, Any]], bool]
    ) -> Iterator[tuple[Any, dict[str, Any]]]:
        """A client, and the dead messages of a topic by our id: as many as are enough, or all.
        Those that are still in the mapping afterwards are given back."""
        from google.cloud.pubsub_v1 import SubscriberClient

        held: dict[str, Any] = {}
        with SubscriberClient() as client:
            try:
                while not enough(held):
                    pulled = _pulled(client, self._grave(topic))
                    fresh = {f"{topic}:{one.message.message_id}": one for one in pulled}
                    new = fresh.keys() - held.keys()
                    held |= fresh
                    if not new:
                        break
                yield client, held
            finally:
                _give_back(client, self._grave(topic), [one.ack_id for one in held.values()])

    def _open(self) -> Any:
        from google.cloud.pubsub_v1 import PublisherClient

        with self._opening:
            self._project_id()
            self._publisher = self._publisher or PublisherClient()
            return self._publisher

    def _topic(self, topic: Topic) -> str:
        return f"projects/{self._project_id()}/topics/{self._prefix}{topic}"

    def _grave(self, topic: Topic) -> str:
        return f"projects/{self._project_id()}/subscriptions/{self._prefix}{topic}-dead"

    def _project_id(self) -> str:
        # The first call may ask the machine's metadata server, so it is made in a thread.
        if self._project is None:
            self._project = google.auth.default()[1]
        if self._project is None:
            raise BadSettings("GOOGLE_CLOUD_PROJECT must say which project's Pub/Sub is used")
        return self._project


def _pulled(client: Any, subscription: str) -> Sequence[Any]:
    try:
        answer = client.pull(subscription=subscription, max_messages=_MOST, timeout=PATIENCE_S)
    except DeadlineExceeded:
        return ()
    found: Sequence[Any] = answer.received_messages
    return found


def _give_back(client: Any, subscription: str, ack_ids: Sequence[str]) -> None:
    for start in range(0, len(ack_ids), _MOST):
        client.modify_ack_deadline(
            subscription=subscription,
            ack_ids=ack_ids[start : start + _MOST],
            ack_deadline_seconds=0,
        )


def _to_dead(topic: Topic, dead_id: str, message: Any) -> Dead:
    """A message that says no event is shown with what is wrong with it: it can be replayed too."""
    error = None
    try:
        event = event_message.decode(topic, message.data)
    except InvalidRequest as refused:
        event, error = Event(topic, "", ""), refused.message
    tries = message.attributes.get(_TRIES, "")
    died_at = datetime.fromtimestamp(message.publish_time.timestamp(), UTC)
    return Dead(dead_id, event, int(tries) if tries.isdecimal() else 0, died_at, error)

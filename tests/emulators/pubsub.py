"""Google's Pub/Sub emulator, a part of the Google Cloud SDK (2026-11: `gcloud components install
pubsub-emulator`, needs Java 11 or newer). Every test uses a project id of its own.

Seen of version 0.8.20: a push is sent again a second after it failed, and ends as a dead letter; it
carries no Authorization header. `filter` and `retry_policy` are taken and do nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from tests.emulators import java

_JAR = "platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar"


@dataclass(frozen=True)
class Project:
    """A project of the emulator with a topic, its dead letters, and a subscription of their own for
    each, named as the deployed ones are."""

    id: str
    prefix: str = "darkroom-"

    def subscribe(self, topic: str, push_to: str | None = None, tries: int = 5) -> str:
        """Make the topic and what belongs to it; returns the path of its subscription, which
        pushes to a URL or waits to be pulled."""
        # Here, for every run of the tests reads this file, and the library takes a quarter second.
        from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

        with PublisherClient() as publisher, SubscriberClient() as subscriber:
            name, dead = f"{self.prefix}{topic}", f"{self.prefix}{topic}-dead"
            for one in (name, dead):
                publisher.create_topic(name=publisher.topic_path(self.id, one))
            grave = publisher.topic_path(self.id, dead)
            subscriber.create_subscription(
                name=subscriber.subscription_path(self.id, dead), topic=grave
            )
            subscription: str = subscriber.subscription_path(self.id, f"{name}-push")
            policy = {"dead_letter_topic": grave, "max_delivery_attempts": tries}
            subscriber.create_subscription(
                request={
                    "name": subscription,
                    "topic": publisher.topic_path(self.id, name),
                    "push_config": {"push_endpoint": push_to} if push_to else None,
                    "dead_letter_policy": policy,
                    "ack_deadline_seconds": 600,
                }
            )
            return subscription


def new_project() -> Project:
    """One that no other test uses, with nothing in it."""
    return Project(f"demo-{uuid4().hex[:20]}")


@pytest.fixture(scope="session")
def pubsub_emulator() -> Iterator[str]:
    """The emulator's "host:port". Pub/Sub's clients find it by PUBSUB_EMULATOR_HOST, which is set
    from here to the session's end."""
    program, jar = java.installed("pubsub-emulator", _JAR)
    port = java.free_port()
    heap = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    command = [program, *heap, "-jar", jar, "--host=127.0.0.1", f"--port={port}"]
    host = f"127.0.0.1:{port}"
    with java.running(command, host), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUBSUB_EMULATOR_HOST", host)
        yield host

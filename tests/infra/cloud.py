"""What the plan would make in an empty project, on this machine: its functions as processes, its
database, topics, subscriptions and buckets in emulators, and in Google's place a front end, a
scheduler and an Eventarc that do no more than theirs."""

from __future__ import annotations

import base64
import compileall
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.emulators.storage import emulator_client, serving
from tests.functions.test_processes import DEADLINE_S, until
from tests.infra.deployed import Deployed
from tests.infra.function import Function
from tests.infra.promises import ROOT, excluded

_AT_ONCE = 4
_PULL_S = 1.0


@dataclass(frozen=True)
class Emulators:
    """Where Firestore and Pub/Sub are, as "host:port"."""

    firestore: str
    pubsub: str


class Cloud:
    """The functions by their names, and who calls them."""

    def __init__(self, deployed: Deployed, emulators: Emulators, storage_url: str) -> None:
        self.deployed = deployed
        self.storage_url = storage_url
        self.backends = {
            "FIRESTORE_EMULATOR_HOST": emulators.firestore,
            "PUBSUB_EMULATOR_HOST": emulators.pubsub,
            "STORAGE_EMULATOR_HOST": storage_url,
        }
        planned = list(deployed.of("google_cloudfunctions2_function").values())
        functions = [Function(values, self.backends) for values in planned]
        self.functions = {function.name: function for function in functions}
        settings = functions[0].service["environment_variables"]
        self.project: str = settings["GOOGLE_CLOUD_PROJECT"]
        self.public_url: str = settings["DARKROOM_PUBLIC_URL"]

    def caller(self, key: str | None = None) -> httpx.Client:
        """Somebody on the internet, who knows the public URL and perhaps a key."""
        return httpx.Client(
            base_url=self.public_url,
            transport=_FrontEnd(self),
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=DEADLINE_S,
        )

    def operate(self, *words: str) -> Any:
        """What the command line prints, from JSON, in a shell of an operator's that has what
        Terraform says it needs."""
        done = subprocess.run(
            [sys.executable, "-m", "shared.cli", *words, "--json"],
            cwd=ROOT,
            env={**self.deployed.outputs["operator_env"], **self.backends},
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def tick(self) -> None:
        """What Cloud Scheduler does every minute."""
        from google.cloud.pubsub_v1 import PublisherClient

        topics = _names(self.deployed, "google_pubsub_topic")
        with PublisherClient() as publisher:
            for job in self.deployed.of("google_cloud_scheduler_job").values():
                (target,) = job["pubsub_target"]
                topic = publisher.topic_path(self.project, topics[target["topic_name"]])
                data = base64.b64decode(target["data"])
                publisher.publish(topic, data).result(DEADLINE_S)

    def put(self, bucket: str, name: str, data: bytes, metadata: Mapping[str, str]) -> None:
        """What `gcloud storage cp --custom-metadata` does."""
        with closing(emulator_client(self.storage_url)) as client:
            blob = client.bucket(bucket).blob(name)
            blob.metadata = dict(metadata)
            blob.upload_from_string(data, content_type="image/jpeg")


@contextmanager
def deployed_here(deployed: Deployed, scratch: Path, emulators: Emulators) -> Iterator[Cloud]:
    """All of it, started; until the block ends."""
    with ExitStack() as stack:
        notices = _notices(deployed)
        storage_url = stack.enter_context(_storage(deployed, notices))
        cloud = Cloud(deployed, emulators, storage_url)
        source = unpacked(deployed, scratch / "workspace")
        functions = cloud.functions.values()
        stack.callback(stop, functions)
        start(functions, source, scratch)
        _subscribe(cloud)
        stack.enter_context(_eventarc(cloud, notices))
        yield cloud


def start(functions: Collection[Function], source: Path, scratch: Path) -> None:
    """Start them, a few at a time, until each listens."""

    def started(function: Function) -> None:
        function.start(source, scratch)
        until(function.listens)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(started, functions))


def stop(functions: Collection[Function]) -> None:
    """End all of them at once."""
    for function in functions:
        function.ask_to_end()
    for function in functions:
        function.end()


def unpacked(deployed: Deployed, folder: Path) -> Path:
    """The files that the archive would hold, and what the buildpack compiles of them; not to be
    written to, though that does not hold a superuser."""
    (archive,) = deployed.of("archive_file").values()

    def left_out(parent: str, names: list[str]) -> list[str]:
        inside = Path(parent).relative_to(ROOT)
        return [n for n in names if excluded(str(inside / n), archive["excludes"])]

    shutil.copytree(ROOT, folder, ignore=left_out)
    assert compileall.compile_dir(folder, quiet=1, force=True)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return folder


class _FrontEnd(httpx.BaseTransport):
    """Google's, at the host of a project's functions: `/NAME/path` is NAME's `/path`, and what is
    for internal calls is not there."""

    def __init__(self, cloud: Cloud) -> None:
        self._host = httpx.URL(cloud.public_url).host
        self._by_service = {f.values["name"]: f for f in cloud.functions.values()}
        self._wire = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path, _, query = request.url.raw_path.partition(b"?")
        name, _, rest = path.lstrip(b"/").partition(b"/")
        function = self._by_service.get(name.decode())
        assert request.url.host == self._host, f"{request.url} is not ours"
        if function is None or function.service["ingress_settings"] != "ALLOW_ALL":
            return httpx.Response(404, text="Page not found", request=request)
        inside = b"/" + rest + (b"?" + query if query else b"")
        request.url = httpx.URL(function.url).copy_with(raw_path=inside)
        request.headers.update({"x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https"})
        return self._wire.handle_request(request)

    def close(self) -> None:
        self._wire.close()


def _names(deployed: Deployed, type_: str) -> dict[str, str]:
    """By what Google calls a resource, its name."""
    return {values["id"]: values["name"] for values in deployed.of(type_).values()}


def _trigger(deployed: Deployed) -> Mapping[str, Any]:
    functions = deployed.of("google_cloudfunctions2_function").values()
    ((trigger,),) = [f["event_trigger"] for f in functions if f["event_trigger"]]
    found: Mapping[str, Any] = trigger
    return found


def _project(deployed: Deployed) -> str:
    service, *_ = deployed.functions().values()
    return str(service["environment_variables"]["GOOGLE_CLOUD_PROJECT"])


def _notices(deployed: Deployed) -> str:
    """Make the topic that Eventarc would for the trigger, and its subscription: their name."""
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

    project, name = _project(deployed), f"eventarc-{_trigger(deployed)['pubsub_topic']}"
    with PublisherClient() as publisher, SubscriberClient() as subscriber:
        topic = publisher.topic_path(project, name)
        publisher.create_topic(name=topic)
        subscriber.create_subscription(
            name=subscriber.subscription_path(project, name), topic=topic
        )
    return name


@contextmanager
def _storage(deployed: Deployed, notices: str) -> Iterator[str]:
    """Storage with the plan's buckets, of which the trigger's says what comes."""
    filters = {f["attribute"]: f["value"] for f in _trigger(deployed)["event_filters"]}
    flags = {
        "-event.bucket": filters["bucket"],
        "-event.list": "finalize",
        "-event.pubsub-project-id": _project(deployed),
        "-event.pubsub-topic": notices,
    }
    with serving(*(word for flag in flags.items() for word in flag)) as url:
        with closing(emulator_client(url)) as client:
            for bucket in deployed.of("google_storage_bucket").values():
                client.create_bucket(bucket["name"])
        yield url


def _subscribe(cloud: Cloud) -> None:
    """Make the plan's topics and subscriptions."""
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

    deployed, topics = cloud.deployed, _names(cloud.deployed, "google_pubsub_topic")
    urls = {function.service["uri"]: function.url for function in cloud.functions.values()}
    with PublisherClient() as publisher, SubscriberClient() as subscriber:
        paths = {id_: publisher.topic_path(cloud.project, name) for id_, name in topics.items()}
        for path in paths.values():
            publisher.create_topic(name=path)
        for values in deployed.of("google_pubsub_subscription").values():
            wanted = {
                "name": subscriber.subscription_path(cloud.project, values["name"]),
                "topic": paths[values["topic"]],
                "ack_deadline_seconds": values["ack_deadline_seconds"],
                "message_retention_duration": _duration(values["message_retention_duration"]),
                "expiration_policy": {},
            }
            for push in values["push_config"]:
                url = urls[push["push_endpoint"]]
                wanted["push_config"] = {
                    "push_endpoint": f"{url}/",
                    "oidc_token": {**push["oidc_token"][0], "audience": url},
                }
            for policy in values["dead_letter_policy"]:
                grave = paths[policy["dead_letter_topic"]]
                wanted["dead_letter_policy"] = {**policy, "dead_letter_topic": grave}
            for policy in values["retry_policy"]:
                backoff = {name: _duration(text) for name, text in policy.items()}
                wanted["retry_policy"] = backoff
            subscriber.create_subscription(request=wanted)


def _duration(text: str) -> timedelta:
    return timedelta(seconds=float(text.removesuffix("s")))


@contextmanager
def _eventarc(cloud: Cloud, notices: str) -> Iterator[None]:
    """Bring what Storage publishes to the function of the trigger, until the block ends."""
    over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        delivering = pool.submit(_deliver, cloud, notices, over)
        try:
            yield
        finally:
            over.set()
            delivering.result()


def _deliver(cloud: Cloud, notices: str, over: threading.Event) -> None:
    from google.api_core.exceptions import DeadlineExceeded
    from google.cloud.pubsub_v1 import SubscriberClient

    (function,) = (f for f in cloud.functions.values() if f.values["event_trigger"])
    with SubscriberClient() as subscriber, httpx.Client(timeout=DEADLINE_S) as client:
        path = subscriber.subscription_path(cloud.project, notices)
        while not over.is_set():
            try:
                answer = subscriber.pull(subscription=path, max_messages=10, timeout=_PULL_S)
            except DeadlineExceeded:
                continue
            for one in answer.received_messages:
                url = f"{function.url}/?__GCP_CloudEventsMode=GCS_NOTIFICATION"
                sent = client.post(url, content=one.message.data, headers=_event(one.message))
                assert sent.status_code == 204, sent.text
                subscriber.acknowledge(subscription=path, ack_ids=[one.ack_id])


def _event(message: Any) -> dict[str, str]:
    """A notification of Cloud Storage's as the headers of Eventarc's CloudEvent, whose data it is
    (cloud.google.com/storage/docs/pubsub-notifications, googleapis/google-cloudevents, 2026-11)."""
    attributes = message.attributes
    assert attributes["eventType"] == "OBJECT_FINALIZE"
    bucket = attributes["bucketId"]
    return {
        "ce-bucket": bucket,
        "ce-id": message.message_id,
        "ce-source": f"//storage.googleapis.com/projects/_/buckets/{bucket}",
        "ce-specversion": "1.0",
        "ce-subject": f"objects/{attributes['objectId']}",
        "ce-time": message.publish_time.isoformat(),
        "ce-type": "google.cloud.storage.object.v1.finalized",
        "content-type": "application/json",
    }

"""What the module promises of events: who publishes them, whom they reach, and what becomes of
those that fail."""

from __future__ import annotations

from collections.abc import Iterator

from shared import upload_trigger
from shared.events import TOPICS
from tests.infra.deployed import PRIVATE, Deployed, Promise

PUBLISH = {
    "batch-callbacks": {
        "batch",
        "batch_callback",
        "gemini",
        "on_upload",
        "openai",
        "provider_webhook",
        "sweep",
    },
    "requests": {
        "account",
        "edit",
        "gemini",
        "generate",
        "on_upload",
        "openai",
        "run_request",
        "sweep",
        "three_d",
    },
}
"""By topic, the functions that shared/events publishes in."""
READS = "roles/storage.objectViewer"
READ_UPLOADS = {
    "batch",
    "batch_callback",
    "edit",
    "on_upload",
    "openai",
    "run_request",
    "three_d",
}
"""Functions whose callers may name an upload: shared/sources.py, batches.py, openai_batches.py."""
HEAR = {"batch-callbacks": "batch_callback", "requests": "run_request"}
EVENTARC_S = 540
"""The longest that an event of Cloud Storage may take."""


def events_reach_their_functions(deployed: Deployed) -> Iterator[str]:
    topics = deployed.each("google_pubsub_topic", "topic")
    if set(topics) != set(TOPICS) or set(HEAR) != set(TOPICS):
        yield f"shared/events publishes to {TOPICS}, there are {sorted(topics)}"
        return
    functions = deployed.functions()
    pushes = deployed.each("google_pubsub_subscription", "push")
    for name, topic in topics.items():
        if pushes[name]["topic"] != topic["id"]:
            yield f"nobody listens to {name}"
        if pushes[name]["push_config"][0]["push_endpoint"] != functions[HEAR[name]]["uri"]:
            yield f"{name} does not reach {HEAR[name]}"
        for function, service in functions.items():
            prefix = service["environment_variables"].get("DARKROOM_TOPIC_PREFIX")
            if topic["name"] != f"{prefix}{name}":
                yield f"{function} would look for {name} at {prefix}{name}"


def events_that_fail_are_kept(deployed: Deployed) -> Iterator[str]:
    pushes = deployed.each("google_pubsub_subscription", "push")
    kept = deployed.each("google_pubsub_subscription", "dead")
    topics = deployed.each("google_pubsub_topic", "topic")
    for name, dead in deployed.each("google_pubsub_topic", "dead").items():
        policy = pushes[name]["dead_letter_policy"]
        if [p["dead_letter_topic"] for p in policy] != [dead["id"]]:
            yield f"{name} is tried for ever"
        # Where shared/events/pubsub.py looks for them.
        if kept[name]["name"] != f"{topics[name]['name']}-dead":
            yield f"dead letters of {name} are not where they are looked for"
        if kept[name]["topic"] != dead["id"] or kept[name]["push_config"]:
            yield f"dead letters of {name} are not kept"


def functions_publish_what_they_must(deployed: Deployed) -> Iterator[str]:
    accounts = deployed.each("google_service_account", "function")
    members = deployed.of("google_pubsub_topic_iam_member").values()
    for name, topic in deployed.each("google_pubsub_topic", "topic").items():
        allowed = {m["member"] for m in members if m["topic"] == topic["id"]}
        if allowed != {accounts[function]["member"] for function in PUBLISH[name]}:
            who = sorted(n for n, account in accounts.items() if account["member"] in allowed)
            yield f"to {name} publish {who}"


def only_events_reach_private_functions(deployed: Deployed) -> Iterator[str]:
    """The load balancer is what the others are behind, so that nobody gets past it."""
    pusher = deployed.of("google_service_account")["google_service_account.pusher"]
    invokers = deployed.each("google_cloud_run_v2_service_iam_member", "invoker")
    for name, service in deployed.functions().items():
        member = pusher["member"] if name in PRIVATE else "allUsers"
        ingress = "ALLOW_INTERNAL_ONLY" if name in PRIVATE else "ALLOW_INTERNAL_AND_GCLB"
        if invokers[name]["member"] != member or service["ingress_settings"] != ingress:
            yield f"{name} is open to others than it should be"


def pubsub_may_carry_dead_letters(deployed: Deployed) -> Iterator[str]:
    (project,) = deployed.of("google_project").values()
    agent = f"serviceAccount:service-{project['number']}@gcp-sa-pubsub.iam.gserviceaccount.com"
    pushes = deployed.each("google_pubsub_subscription", "push")
    writes = deployed.each("google_pubsub_topic_iam_member", "dead")
    takes = deployed.each("google_pubsub_subscription_iam_member", "dead")
    for name, dead in deployed.each("google_pubsub_topic", "dead").items():
        given = (writes[name]["topic"], writes[name]["role"], writes[name]["member"])
        if given != (dead["id"], "roles/pubsub.publisher", agent):
            yield f"Pub/Sub may not write dead letters of {name}"
        given = (takes[name]["subscription"], takes[name]["role"], takes[name]["member"])
        if given != (pushes[name]["id"], "roles/pubsub.subscriber", agent):
            yield f"Pub/Sub may not take dead letters of {name} away"


def pushes_are_awaited(deployed: Deployed) -> Iterator[str]:
    by_uri = {service["uri"]: service for service in deployed.functions().values()}
    for address, subscription in deployed.of("google_pubsub_subscription").items():
        if subscription["expiration_policy"] != [{"ttl": ""}]:
            yield f"{address} expires"
        if not subscription["push_config"]:
            continue
        push = subscription["push_config"][0]
        service = by_uri[push["push_endpoint"]]
        if subscription["ack_deadline_seconds"] < service["timeout_seconds"]:
            yield f"{address} pushes again while the function still works"
        if push["oidc_token"][0]["audience"] != service["uri"]:
            yield f"{address} sends a token for somebody else"


def sweep_runs_every_minute(deployed: Deployed) -> Iterator[str]:
    (job,) = deployed.of("google_cloud_scheduler_job").values()
    subscription = deployed.of("google_pubsub_subscription")["google_pubsub_subscription.sweep"]
    if job["schedule"] != "* * * * *" or job["paused"]:
        yield "no tick every minute"
    if job["pubsub_target"][0]["topic_name"] != subscription["topic"]:
        yield "the ticks go where nobody listens"
    if subscription["push_config"][0]["push_endpoint"] != deployed.functions()["sweep"]["uri"]:
        yield "the ticks do not reach sweep"


def uploads_are_written_by_links_only(deployed: Deployed) -> Iterator[str]:
    bucket = deployed.of("google_storage_bucket")["google_storage_bucket.uploads"]["name"]
    accounts = deployed.each("google_service_account", "function")
    signer, members = accounts["account"]["member"], set[str]()
    for address, given in deployed.of("google_storage_bucket_iam_member").items():
        if given["bucket"] == bucket:
            members.add(given["member"])
        role = "roles/storage.objectCreator" if given["member"] == signer else READS
        if given["bucket"] == bucket and given["role"] != role:
            yield f"{address} is more than it should be"
    if members != {accounts[name]["member"] for name in {"account", *READ_UPLOADS}}:
        yield "other functions have to do with uploads than those that may"


def pages_may_send_what_links_ask_for(deployed: Deployed) -> Iterator[str]:
    metadata = {*upload_trigger._TEXTS, *upload_trigger._NUMBERS, *upload_trigger.MARKS}
    # Those of `ticket` in shared/storage/gcs.py, and the metadata of a file.
    asked = {"content-type", "x-goog-content-length-range", "x-goog-if-generation-match"}
    asked |= {f"x-goog-meta-{name}" for name in {*metadata, upload_trigger._MODE}}
    bucket = deployed.of("google_storage_bucket")["google_storage_bucket.uploads"]
    if differ := asked ^ {h for cors in bucket["cors"] for h in cors["response_header"]}:
        yield f"a browser's check before an upload differs by {sorted(differ)}"


def uploads_become_events(deployed: Deployed) -> Iterator[str]:
    bucket = deployed.of("google_storage_bucket")["google_storage_bucket.uploads"]
    pusher = deployed.of("google_service_account")["google_service_account.pusher"]
    (agent,) = deployed.of("google_storage_project_service_account").values()
    by_name = {
        f["build_config"][0]["entry_point"]: f
        for f in deployed.of("google_cloudfunctions2_function").values()
    }
    if {name for name, f in by_name.items() if f["event_trigger"]} != {"on_upload"}:
        yield "on_upload is not the one that hears of uploads"
        return
    (trigger,) = by_name["on_upload"]["event_trigger"]
    filters = {f["attribute"]: f["value"] for f in trigger["event_filters"]}
    if filters != {"bucket": bucket["name"]} or trigger["trigger_region"] != bucket["location"]:
        yield "on_upload hears of another bucket"
    if trigger["retry_policy"] != "RETRY_POLICY_RETRY":
        yield "an upload is forgotten when something fails"
    if by_name["on_upload"]["service_config"][0]["timeout_seconds"] > EVENTARC_S:
        yield f"an event of Cloud Storage may take {EVENTARC_S} s"
    given = {(m["role"], m["member"]) for m in deployed.of("google_project_iam_member").values()}
    if ("roles/eventarc.eventReceiver", pusher["member"]) not in given:
        yield "Eventarc may not deliver"
    if ("roles/pubsub.publisher", agent["member"]) not in given:
        yield "Cloud Storage may not say what was uploaded"
    if trigger["service_account_email"] != pusher["email"]:
        yield "on_upload refuses who calls it"


EVENT_PROMISES: tuple[Promise, ...] = (
    events_reach_their_functions,
    events_that_fail_are_kept,
    functions_publish_what_they_must,
    only_events_reach_private_functions,
    pages_may_send_what_links_ask_for,
    pubsub_may_carry_dead_letters,
    pushes_are_awaited,
    sweep_runs_every_minute,
    uploads_are_written_by_links_only,
    uploads_become_events,
)

"""Values that only a mistake would change: each is what a promise to users, Google's limits, or a
text of ours goes by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.infra import costs
from tests.infra.deployed import Deployed, Promise

DAY_S = 86_400
INFRA = Path(__file__).parents[2] / "infra"
LEFTOVERS = ("begun/", "items/", "jobs/", "queue/", "sandbox/", "webhooks/")
DELETED_AFTER = {
    "images": [(3, ("files/",)), (8, LEFTOVERS), (90, ())],
    "source": [],
    "uploads": [(7, ())],
}
"""By bucket, after how many days what is deleted, with image_retention_days = 90."""
BROUGHT_BACK_S = {"images": 7 * DAY_S, "source": 0, "uploads": 0}
SIZES = {
    "account": ("1Gi", 40, 60, 0),
    "batch": ("1Gi", 10, 3600, 0),
    "batch_callback": ("2Gi", 4, 540, 0),
    "edit": ("2Gi", 10, 960, 0),
    "gemini": ("2Gi", 10, 960, 0),
    "generate": ("2Gi", 20, 960, 1),
    "models": ("512Mi", 80, 60, 0),
    "on_upload": ("1Gi", 4, 540, 0),
    "openai": ("2Gi", 10, 960, 0),
    "provider_webhook": ("512Mi", 80, 60, 0),
    "run_request": ("2Gi", 10, 540, 0),
    "studio": ("512Mi", 80, 60, 0),
    "sweep": ("1Gi", 1, 540, 0),
    "three_d": ("2Gi", 10, 300, 0),
}
"""Memory, requests at once, seconds and instances kept, of which one is asked for."""
APIS = {
    "aiplatform", "artifactregistry", "billingbudgets", "cloudbuild", "cloudfunctions",
    "cloudscheduler", "compute", "eventarc", "firestore", "iam", "iamcredentials", "logging",
    "monitoring", "pubsub", "run", "secretmanager", "storage",
}  # fmt: skip
FINALIZED = "google.cloud.storage.object.v1.finalized"


def pictures_stay_as_long_as_promised(deployed: Deployed) -> Iterator[str]:
    for name in ("images", "source", "uploads"):
        bucket = deployed.of("google_storage_bucket")[f"google_storage_bucket.{name}"]
        rules = sorted(
            (one["age"], tuple(one["matches_prefix"] or ()))
            for rule in bucket["lifecycle_rule"]
            for one in rule["condition"]
        )
        if rules != DELETED_AFTER[name]:
            yield f"{name} deletes {rules}"
        kept = [one["retention_duration_seconds"] for one in bucket["soft_delete_policy"]]
        if kept != [BROUGHT_BACK_S[name]]:
            yield f"{name} brings back for {kept}"
        if bucket["force_destroy"] and name != "source":
            yield f"{name} is deleted with all that is in it"
    uploads = deployed.of("google_storage_bucket")["google_storage_bucket.uploads"]
    if [cors["method"] for cors in uploads["cors"]] != [["PUT"]]:
        yield "pages cannot upload, or can do more"


def functions_have_the_size_they_need(deployed: Deployed) -> Iterator[str]:
    for name, s in deployed.functions().items():
        size = (
            s["available_memory"],
            s["max_instance_request_concurrency"],
            s["timeout_seconds"],
            s["min_instance_count"],
        )
        if name in SIZES and size != SIZES[name]:
            yield f"{name} has {size}"
        if s["environment_variables"]["DARKROOM_PROVIDERS"].count(",") != 5:
            yield f"{name} does not know whose keys others have"
        if s["available_cpu"] != "1" or s["all_traffic_on_latest_revision"] is not True:
            yield f"{name} has half a CPU, or runs old code"
    for function in deployed.of("google_cloudfunctions2_function").values():
        if function["build_config"][0]["runtime"] != "python313":
            yield f"{function['name']} runs on another Python"
        for trigger in function["event_trigger"]:
            if trigger["event_type"] != FINALIZED:
                yield f"{function['name']} hears of other than uploads"


def events_have_their_time(deployed: Deployed) -> Iterator[str]:
    pusher = deployed.of("google_service_account")["google_service_account.pusher"]
    for address, one in deployed.of("google_pubsub_subscription").items():
        pushed, dead = bool(one["push_config"]), ".dead[" in address
        if one["filter"]:
            yield f"{address} passes over some"
        tick = address.endswith(".sweep")
        if one["message_retention_duration"] != ("600s" if tick else "604800s"):
            yield f"{address} forgets too early, or too late"
        backoff = [(b["minimum_backoff"], b["maximum_backoff"]) for b in one["retry_policy"]]
        if backoff != ([] if dead else [("10s", "60s" if tick else "600s")]):
            yield f"{address} is tried again after {backoff}"
        tries = [policy["max_delivery_attempts"] for policy in one["dead_letter_policy"]]
        if tries != ([20] if pushed and not tick else []):
            yield f"{address} is tried {tries} times"
        for push in one["push_config"]:
            if [t["service_account_email"] for t in push["oidc_token"]] != [pusher["email"]]:
                yield f"{address} pushes as somebody whom no function lets in"


def alerts_are_on(deployed: Deployed) -> Iterator[str]:
    policies = deployed.of("google_monitoring_alert_policy")
    for address, policy in policies.items():
        if policy["enabled"] is False or policy["combiner"] != "OR":
            yield f"{address} is off, or waits for all its conditions"
    if sum(len(policy["conditions"]) for policy in policies.values()) != costs.CONDITIONS:
        yield "the guide reckons with another number of conditions"
    for address, channel in deployed.of("google_monitoring_notification_channel").items():
        if channel["enabled"] is False or f'"{channel["labels"]["email_address"]}"' not in address:
            yield f"{address} reaches nobody"
    (exclusion,) = deployed.of("google_logging_project_exclusion").values()
    if (
        exclusion["disabled"]
        or '("cloud_run_revision" OR "http_load_balancer")' not in (exclusion["filter"])
    ):
        yield "Google's request logs hold keys"


def the_project_can_do_it(deployed: Deployed) -> Iterator[str]:
    services = deployed.of("google_project_service").values()
    names = {service["service"].removesuffix(".googleapis.com") for service in services}
    if names != APIS:
        yield f"the APIs differ by {sorted(names ^ APIS)}"
    for service in services:
        if service["disable_on_destroy"] is not False:
            yield f"{service['service']} is taken from others too"
    places: dict[str, Any] = {
        address: values.get("location") or values.get("location_id")
        for type_ in ("google_storage_bucket", "google_firestore_database")
        for address, values in deployed.of(type_).items()
    }
    for address, place in places.items():
        if place.lower() != "us-central1":
            yield f"{address} lies in {place}"
    code = (INFRA / "versions.tf").read_text()
    backend = re.search(r'backend "gcs" \{\n    prefix = "darkroom"\n  \}', code)
    if not backend or '"~> 8.0"' not in code:
        yield "another state, or another provider"


CONSTANT_PROMISES: tuple[Promise, ...] = (
    alerts_are_on,
    events_have_their_time,
    functions_have_the_size_they_need,
    pictures_stay_as_long_as_promised,
    the_project_can_do_it,
)

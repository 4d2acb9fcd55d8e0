"""Mistakes that Terraform itself lets pass, and what is said of each."""

from __future__ import annotations

from dataclasses import dataclass

from tests.infra import event_promises, promises
from tests.infra.deployed import Promise


@dataclass(frozen=True)
class Mistake:
    """In `file`, `wrong` put for `right`, of which `promise` says `said`."""

    promise: Promise
    file: str
    right: str
    wrong: str
    said: str


MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        promises.buckets_are_private,
        file="storage.tf",
        right='"enforced"',
        wrong='"inherited"',
        said="google_storage_bucket.images can be made public",
    ),
    Mistake(
        promises.buckets_are_private,
        file="storage.tf",
        right='"PREVENT"',
        wrong='"DELETE"',
        said="Terraform may delete google_storage_bucket.images",
    ),
    Mistake(
        promises.builds_may_read_the_source,
        file="iam.tf",
        right="gcf-v2-sources-",
        wrong="gcf-sources-",
        said="builds can read more, or less, than gcf-v2-sources-",
    ),
    Mistake(
        promises.callers_may_wait,
        file="functions.tf",
        right="timeout_s     = 960",
        wrong="timeout_s     = 60",
        said="generate is cut off",
    ),
    Mistake(
        event_promises.events_reach_their_functions,
        file="messaging.tf",
        right='requests        = "run_request"',
        wrong='requests        = "batch_callback"',
        said="requests does not reach run_request",
    ),
    Mistake(
        event_promises.events_reach_their_functions,
        file="functions.tf",
        right="DARKROOM_TOPIC_PREFIX       = local.topic_prefix",
        wrong='DARKROOM_TOPIC_PREFIX       = "d-"',
        said="generate would look for requests at d-requests",
    ),
    Mistake(
        event_promises.events_that_fail_are_kept,
        file="messaging.tf",
        right="name                       = google_pubsub_topic.dead[each.key].name",
        wrong='name                       = "${local.topic_prefix}dead-${each.key}"',
        said="dead letters of requests are not where they are looked for",
    ),
    Mistake(
        promises.functions_are_those_of_main,
        file="functions.tf",
        right="    models = {\n",
        wrong="    modells = {\n"
        'cpu = "1", memory = "1Gi", concurrency = 1, timeout_s = 60, min_instances = 0\n'
        "max_instances = 1, public = false, secrets = [], publishes = [], roles = {}\n"
        "}\n    models = {\n",
        said="'generate', 'modells', 'models'",
    ),
    Mistake(
        promises.functions_fit_a_new_project,
        file="functions.tf",
        right="max_instances = 1 #",
        wrong="max_instances = 21 #",
        said="sweep may need more",
    ),
    Mistake(
        promises.functions_run_as_themselves,
        file="functions.tf",
        right="google_service_account.function[each.key].email",
        wrong="google_service_account.builder.email",
        said="edit does not run as its own",
    ),
    Mistake(
        event_promises.functions_publish_what_they_must,
        file="functions.tf",
        right='publishes     = ["requests"] # that one was cancelled',
        wrong="publishes     = []",
        said="to requests publish ['edit', ",
    ),
    Mistake(
        event_promises.only_events_reach_private_functions,
        file="iam.tf",
        right='"allUsers" : google_service_account.pusher.member',
        wrong='"allUsers" : "allUsers"',
        said="sweep is open",
    ),
    Mistake(
        event_promises.pages_may_send_what_links_ask_for,
        file="storage.tf",
        right="x-goog-meta-darkroom-",
        wrong="x-goog-meta-",
        said="'x-goog-meta-darkroom-prompt'",
    ),
    Mistake(
        event_promises.pubsub_may_carry_dead_letters,
        file="messaging.tf",
        right="gcp-sa-pubsub",
        wrong="gcp-sa-eventarc",
        said="Pub/Sub may not write dead letters of requests",
    ),
    Mistake(
        event_promises.pushes_are_awaited,
        file="scheduler.tf",
        right="ack_deadline_seconds = 600",
        wrong="ack_deadline_seconds = 60",
        said="google_pubsub_subscription.sweep pushes again",
    ),
    Mistake(
        promises.outputs_are_of_what_is_deployed,
        file="outputs.tf",
        right="google_storage_bucket.uploads.name",
        wrong="google_storage_bucket.images.name",
        said="operators would work with DARKROOM_UPLOADS_BUCKET=",
    ),
    Mistake(
        promises.outputs_are_of_what_is_deployed,
        file="outputs.tf",
        right="/openai/v1",
        wrong="/v1",
        said="SDKs would ask",
    ),
    Mistake(
        promises.records_are_indexed,
        file="records.tf",
        right='["status", "lease_until"],',
        wrong="",
        said="the composite indexes differ",
    ),
    Mistake(
        promises.records_are_protected,
        file="records.tf",
        right="PROTECTION_ENABLED",
        wrong="PROTECTION_DISABLED",
        said="can be deleted",
    ),
    Mistake(
        promises.records_are_indexed,
        file="records.tf",
        right='"held", ',
        wrong="",
        said="the exempted fields differ",
    ),
    Mistake(
        promises.records_can_be_restored,
        file="records.tf",
        right="TIME_RECOVERY_ENABLED",
        wrong="TIME_RECOVERY_DISABLED",
        said="google_firestore_database.records keeps no past versions",
    ),
    Mistake(
        promises.records_can_be_restored,
        file="records.tf",
        right="28 * 24 * 3600",
        wrong="7 * 24 * 3600",
        said="no backup is older",
    ),
    Mistake(
        promises.records_expire_as_written,
        file="records.tf",
        right='notices = "expires_at"',
        wrong='entries = "expires_at"',
        said="deletes by [('entries', 'expires_at')]",
    ),
    Mistake(
        promises.roles_are_narrow,
        file="iam.tf",
        right="roles/logging.logWriter",
        wrong="roles/editor",
        said="google_project_iam_member.builder gives a primitive role",
    ),
    Mistake(
        promises.secrets_hold_no_value,
        file="secrets.tf",
        right="fetch_secret_data = false",
        wrong="fetch_secret_data = true",
        said='newest["DARKROOM_SIGNING_SECRET"] is in the state',
    ),
    Mistake(
        promises.new_versions_are_mounted,
        file="functions.tf",
        right="newest[secret_environment_variables.value].version",
        wrong="newest[secret_environment_variables.value].id",
        said="edit does not get a new version of GEMINI_API_KEY",
    ),
    Mistake(
        promises.settings_are_given,
        file="functions.tf",
        right="DARKROOM_FIRESTORE_DATABASE",
        wrong="DARKROOM_DATABASE",
        said="edit lacks ['DARKROOM_FIRESTORE_DATABASE']",
    ),
    Mistake(
        promises.settings_are_given,
        file="functions.tf",
        right="""secrets       = ["DARKROOM_SIGNING_SECRET", "*_WEBHOOK_SECRET"]""",
        wrong="""secrets       = ["DARKROOM_SIGNING_SECRET"]""",
        said="provider_webhook has the webhook secrets []",
    ),
    Mistake(
        promises.source_is_what_runs,
        file="functions.tf",
        right='".?*"',
        wrong='".*"',
        said="the folder itself is left out",
    ),
    Mistake(
        event_promises.sweep_runs_every_minute,
        file="scheduler.tf",
        right='"* * * * *"',
        wrong='"0 * * * *"',
        said="no tick every minute",
    ),
    Mistake(
        event_promises.uploads_are_written_by_links_only,
        file="functions.tf",
        right='"roles/storage.objectViewer" # reads what was uploaded',
        wrong='"roles/storage.objectUser" # reads what was uploaded',
        said='google_storage_bucket_iam_member.function["on_upload on uploads"] is more',
    ),
    Mistake(
        event_promises.uploads_are_written_by_links_only,
        file="functions.tf",
        right='uploads  = "roles/storage.objectViewer" # reads files that were uploaded here',
        wrong="",
        said="other functions have to do with uploads",
    ),
    Mistake(
        event_promises.uploads_become_events,
        file="functions.tf",
        right="RETRY_POLICY_RETRY",
        wrong="RETRY_POLICY_DO_NOT_RETRY",
        said="an upload is forgotten",
    ),
    Mistake(
        event_promises.uploads_become_events,
        file="functions.tf",
        right="[google_storage_bucket.uploads]",
        wrong="[google_storage_bucket.images]",
        said="on_upload hears of another bucket",
    ),
    Mistake(
        event_promises.uploads_become_events,
        file="iam.tf",
        right="roles/eventarc.eventReceiver",
        wrong="roles/eventarc.viewer",
        said="Eventarc may not deliver",
    ),
    Mistake(
        promises.values_are_possible,
        file="functions.tf",
        right="ALLOW_INTERNAL_ONLY",
        wrong="ALLOW_INTERNALS",
        said="service_config.ingress_settings = 'ALLOW_INTERNALS' is none of",
    ),
)

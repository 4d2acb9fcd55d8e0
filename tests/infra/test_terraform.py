"""The Terraform module is well formed and keeps its promises. Each promise is also shown to be
watched: broken on purpose, it is reported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.infra import event_promises, promises, provider_schema
from tests.infra.deployed import Deployed, Promise
from tests.infra.promises import PROMISES
from tests.infra.terraform import INFRA, Refused, Terraform, prepare

pytestmark = pytest.mark.infra


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Terraform on the module as it is."""
    return prepare(tmp_path_factory.mktemp("terraform"))


@pytest.fixture(scope="module")
def deployed(terraform: Terraform) -> Deployed:
    """What the module as it is deploys."""
    return Deployed(terraform.test())


def test_the_module_is_formatted(terraform: Terraform) -> None:
    assert terraform.unformatted() == ""


def test_the_module_is_valid(terraform: Terraform) -> None:
    terraform.validate()


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_the_module_keeps_its_promises(deployed: Deployed, promise: Promise) -> None:
    assert list(promise(deployed)) == []


def test_vertex_is_open_to_the_functions_that_call_providers(deployed: Deployed) -> None:
    opened = deployed.each("google_project_iam_member", "vertex")
    assert set(opened) == promises.CALL_PROVIDERS
    places = {f["environment_variables"]["VERTEX_LOCATION"] for f in deployed.functions().values()}
    assert places == {"global"}


def test_every_function_lets_the_chosen_pages_in(deployed: Deployed) -> None:
    chosen = {
        f["environment_variables"]["DARKROOM_CORS_ORIGINS"] for f in deployed.functions().values()
    }
    assert chosen == {"https://app.example,http://[::1]:3000"}


def test_a_function_made_anew_gets_its_invoker_anew() -> None:
    """A lifecycle argument shows in no plan and no state."""
    code = (INFRA / "iam.tf").read_text()
    invoker = code.partition('"google_cloud_run_v2_service_iam_member" "invoker"')[2]
    trigger = "replace_triggered_by = [google_cloudfunctions2_function.function[each.key].id]"
    assert trigger in invoker.partition("\n}\n")[0]


@dataclass(frozen=True)
class Mistake:
    """In `file`, `wrong` put for `right`, of which `promise` says `said`."""

    promise: Promise
    file: str
    right: str
    wrong: str
    said: str


MISTAKES = (
    Mistake(
        promises.buckets_are_private,
        file="storage.tf",
        right='"enforced"',
        wrong='"inherited"',
        said="google_storage_bucket.images can be made public",
    ),
    Mistake(
        promises.callers_may_wait,
        file="functions.tf",
        right="timeout_s       = 960",
        wrong="timeout_s       = 60",
        said="generate is cut off",
    ),
    Mistake(
        event_promises.events_reach_their_functions,
        file="events.tf",
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
        file="events.tf",
        right="name                       = google_pubsub_topic.dead[each.key].name",
        wrong='name                       = "${local.topic_prefix}dead-${each.key}"',
        said="dead letters of requests are not where they are looked for",
    ),
    Mistake(
        event_promises.failed_events_are_told,
        file="monitoring.tf",
        right='\\"${s.name}\\"',
        wrong='\\"${s.id}\\"',
        said="nobody watches darkroom-",
    ),
    Mistake(
        promises.functions_are_those_of_main,
        file="functions.tf",
        right="    models = {",
        wrong="    modells = {",
        said="'generate', 'modells', 'on_upload'",
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
        right='publishes       = ["requests"] # that one was cancelled',
        wrong="publishes       = []",
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
        file="events.tf",
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
        promises.roles_are_narrow,
        file="iam.tf",
        right="roles/logging.logWriter",
        wrong="roles/editor",
        said="google_project_iam_member.builder gives a primitive role",
    ),
    Mistake(
        promises.secrets_hold_no_value,
        file="secrets.tf",
        right='"DARKROOM_SIGNING_SECRET"',
        wrong='"SIGNING_SECRET"',
        said="have other keys",
    ),
    Mistake(
        promises.settings_are_given,
        file="functions.tf",
        right="DARKROOM_FIRESTORE_DATABASE",
        wrong="DARKROOM_DATABASE",
        said="edit lacks ['DARKROOM_FIRESTORE_DATABASE', 'DARKROOM_SIGNING_SECRET']",
    ),
    Mistake(
        promises.settings_are_given,
        file="secrets.tf",
        right='name == "provider_webhook"',
        wrong='name == "generate"',
        said="generate has the webhook secrets ['OPENAI_WEBHOOK_SECRET']",
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


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """What a module with all those mistakes deploys: Terraform itself sees none of them."""
    terraform = prepare(tmp_path_factory.mktemp("mistaken"))
    for mistake in MISTAKES:
        _replace(terraform.folder / mistake.file, mistake.right, mistake.wrong)
    (terraform.folder / "tests" / "plan.tftest.hcl").write_text(_ONLY_EVERYTHING)
    return Deployed(terraform.test())


_ONLY_EVERYTHING = """
mock_provider "archive" {}
mock_provider "google" {}
run "everything" {
  command = apply
  variables {
    cors_origins      = ["https://app.example"]
    enabled_providers = ["ARK", "GEMINI", "LAOZHANG", "OPENAI", "OPENROUTER", "THREEDAISTUDIO"]
    project           = "darkroom-offline"
    webhook_providers = ["OPENAI"]
  }
}
"""


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.promise.__name__)
def test_a_broken_promise_is_reported(mistaken: Deployed, mistake: Mistake) -> None:
    assert mistake.said in "\n".join(mistake.promise(mistaken))


def test_every_promise_is_broken_once() -> None:
    assert {mistake.promise for mistake in MISTAKES} == set(PROMISES)


@pytest.mark.parametrize(
    ("file", "right", "wrong", "said"),
    [
        ("storage.tf", "uniform_bucket_level_access", "uniform_access", "Unsupported argument"),
        ("records.tf", "location_id ", "#", 'The argument "location_id" is required'),
        ("scheduler.tf", "google_pubsub_topic.sweep.id", "local.topic", "undeclared local value"),
    ],
)
def test_terraform_refuses_what_the_provider_does_not_know(
    tmp_path: Path, file: str, right: str, wrong: str, said: str
) -> None:
    terraform = prepare(tmp_path)
    _replace(terraform.folder / file, right, wrong)
    with pytest.raises(Refused, match=f"{file}:[0-9]+: .*{said}"):
        terraform.validate()


def test_a_function_longer_than_its_push_is_refused(tmp_path: Path) -> None:
    terraform = prepare(tmp_path)
    _replace(terraform.folder / "functions.tf", "timeout_s       = 540", "timeout_s       = 700")
    with pytest.raises(Refused, match="push a tick again") as refused:
        terraform.test()
    for name in ("batch_callback", "run_request"):
        assert f"push an event again while {name} still works" in str(refused.value)


def test_a_bad_format_is_shown(tmp_path: Path) -> None:
    terraform = prepare(tmp_path)
    _replace(terraform.folder / "outputs.tf", "  value ", "      value ")
    assert "outputs.tf" in terraform.unformatted()


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail), ("", pytest.skip)])
def test_no_schema_fails_in_ci_and_skips_elsewhere(
    ci: str, outcome: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setattr(provider_schema, "CACHE", tmp_path)
    with pytest.raises(outcome.Exception, match="pip cannot download cdktn-provider-google"):
        provider_schema.schema.__wrapped__("google")


def _replace(file: Path, right: str, wrong: str) -> None:
    text = file.read_text()
    assert right in text, f"{file.name} has no {right}"
    file.write_text(text.replace(right, wrong))

"""The Terraform module is well formed and keeps its promises. Each promise is also shown to be
watched: broken on purpose, it is reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.infra import (
    constant_mistakes,
    constant_promises,
    deployer_mistakes,
    deployer_promises,
    edge_mistakes,
    edge_promises,
    grant_promises,
    mistakes,
    monitoring_mistakes,
    monitoring_promises,
    promises,
    provider_schema,
)
from tests.infra.deployed import Deployed, Promise
from tests.infra.mistakes import Mistake
from tests.infra.terraform import INFRA, Refused, Terraform, prepare

pytestmark = pytest.mark.infra

PROMISES = (
    *promises.PROMISES,
    *constant_promises.CONSTANT_PROMISES,
    *deployer_promises.DEPLOYER_PROMISES,
    *edge_promises.EDGE_PROMISES,
    *grant_promises.GRANT_PROMISES,
    *monitoring_promises.MONITORING_PROMISES,
)
MISTAKES = (
    *mistakes.MISTAKES,
    *constant_mistakes.MISTAKES,
    *deployer_mistakes.MISTAKES,
    *edge_mistakes.MISTAKES,
    *monitoring_mistakes.MISTAKES,
)


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


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """What a module with all those mistakes deploys: Terraform itself sees none of them."""
    terraform = prepare(tmp_path_factory.mktemp("mistaken"))
    for mistake in MISTAKES:
        _replace(terraform.folder / mistake.file, mistake.right, mistake.wrong)
    terraform.keep("everything")
    return Deployed(terraform.test())


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
    _replace(terraform.folder / "functions.tf", "timeout_s     = 540", "timeout_s       = 700")
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

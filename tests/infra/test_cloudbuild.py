"""cloudbuild.yaml is one that Cloud Build would take, and deploys only what was checked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud.devtools import cloudbuild_v1
from google.protobuf import json_format  # type: ignore[import-untyped]

from tests import tree

pytestmark = pytest.mark.thorough

FILE = Path(__file__).parents[2] / "cloudbuild.yaml"
GIVEN = {"PROJECT_ID"}
"""Substitutions that Cloud Build makes itself."""
ORDER = ["settings", "check", "init", "plan", "apply", "outputs", "smoke"]


@pytest.fixture
def build() -> dict[str, Any]:
    """The file, parsed."""
    parsed: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return parsed


def complaints(file: Path) -> str:
    """What the published schema has against a build file, or nothing."""
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.cloudbuild"]
    done = subprocess.run([*checker, str(file)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def test_the_file_fits_the_schema() -> None:
    assert complaints(FILE) == ""


def test_a_misspelt_key_is_reported(tmp_path: Path) -> None:
    broken = tmp_path / "cloudbuild.yaml"
    broken.write_text(FILE.read_text().replace("entrypoint:", "entry_point:"))
    assert "entry_point" in complaints(broken)


def read_by_the_api(build: dict[str, Any]) -> Any:
    """The build as the API's own message. Raises ParseError for what it does not know."""
    return json_format.ParseDict(build, cloudbuild_v1.Build.pb()())


def test_the_api_knows_every_field(build: dict[str, Any]) -> None:
    assert len(read_by_the_api(build).steps) == len(ORDER)
    build["options"]["logging"] = "CLOUD_LOGGING"
    with pytest.raises(json_format.ParseError, match="CLOUD_LOGGING"):
        read_by_the_api(build)


def test_only_what_cloud_build_knows_by_itself_is_put_in(build: dict[str, Any]) -> None:
    code = re.sub(r"#.*", "", FILE.read_text()).replace("$$", "")
    used = set(re.findall(r"\$\{?([A-Z_]+)", code))
    assert used == GIVEN
    assert "substitutions" not in build, "they would lose against terraform.tfvars"
    assert not re.search(r"\$(?!\{?[A-Z_])", code), "Cloud Build refuses a lone dollar"


def test_what_is_applied_has_been_checked_and_is_tried_out(build: dict[str, Any]) -> None:
    steps = {step["id"]: step for step in build["steps"]}
    assert list(steps) == ORDER
    assert not any("waitFor" in step for step in steps.values()), "they run one after the other"
    assert not any({"allowFailure", "allowExitCodes"} & set(step) for step in steps.values()), (
        "and one that fails ends the build"
    )


def test_the_checks_are_those_of_make(build: dict[str, Any]) -> None:
    (check,) = (step for step in build["steps"] if step["id"] == "check")
    *_, lint, tests = check["args"][-1].strip().splitlines()
    assert lint == "make setup lint types"
    assert tests == '.venv/bin/python -m pytest -m "not emulator"'
    assert check["args"][0] == "-ceu", "and the first that fails ends it"


def test_nobody_else_changes_the_state_meanwhile(build: dict[str, Any]) -> None:
    for step in build["steps"]:
        if step["id"] in ("plan", "apply"):
            assert {"-input=false", "-lock-timeout=300s"} <= set(step["args"])
            assert not any(arg.startswith("-lock=") for arg in step["args"])


def test_the_saved_plan_is_applied(build: dict[str, Any]) -> None:
    steps = {step["id"]: step for step in build["steps"]}
    assert steps["plan"]["args"][-1] == f"-out={steps['apply']['args'][-1]}"
    terraform = [steps[name] for name in ("init", "plan", "apply", "outputs")]
    assert {step["dir"] for step in terraform} == {"infra"}
    assert len({step["name"] for step in terraform}) == 1, "a plan is for one version of Terraform"


@pytest.mark.parametrize(
    ("written", "missing"),
    [
        (None, "enabled_providers"),
        ('region = "us-central1"\n', "enabled_providers"),
        ('enabled_providers = ["GEMINI"]\n# region = "a"\n', "region"),
        ('enabled_providers=[]\n  region   = "us-central1"\n', None),
    ],
)
def test_without_settings_nothing_begins(
    build: dict[str, Any], tmp_path: Path, written: str | None, missing: str | None
) -> None:
    step = build["steps"][0]
    (tmp_path / step["dir"]).mkdir()
    if written is not None:
        (tmp_path / step["dir"] / "terraform.tfvars").write_text(written)
    command = [step["entrypoint"], *(arg.replace("$$", "$") for arg in step["args"])]
    done = subprocess.run(
        command, cwd=tmp_path / step["dir"], capture_output=True, text=True, check=False
    )
    said = f"infra/terraform.tfvars has to say {missing}: write it there, and commit it\n"
    assert (done.returncode, done.stderr) == ((1, said) if missing else (0, ""))


def test_each_project_is_planned_for_itself(build: dict[str, Any]) -> None:
    steps = {step["id"]: step for step in build["steps"]}
    assert "-var=project=${PROJECT_ID}" in steps["plan"]["args"]
    assert "-backend-config=bucket=${PROJECT_ID}-darkroom-state" in steps["init"]["args"]
    set_elsewhere = {entry for step in steps.values() for entry in step.get("env", [])}
    assert set_elsewhere == {"CI=true", "TF_IN_AUTOMATION=1"}


def test_what_is_uploaded_is_the_repository_and_its_settings() -> None:
    file = FILE.parent / ".gcloudignore"
    assert file.read_text().splitlines()[-1] == "#!include:.gitignore"
    ignored = tree.patterns(file) + tree.patterns(FILE.parent / ".gitignore")
    for made in ("infra/.build/", "infra/.terraform/", "infra/release.tfplan", ".venv/", ".git"):
        assert tree.named(made, ignored), made
    for path in ("infra/terraform.tfvars", *tree.files()):
        folders = [f"{folder}/" for folder in Path(path).parents]
        assert not [p for p in (path, *folders) if tree.named(p, ignored)], path


def test_the_smoke_test_gets_what_was_applied(build: dict[str, Any]) -> None:
    steps = {step["id"]: step for step in build["steps"]}
    (command,) = steps["outputs"]["args"][1:]
    asked, _, file = command.partition(" >")
    assert asked == "terraform output -json operator_env"
    assert steps["smoke"]["args"] == ["-m", "tests.smoke", f"infra/{file}"]
    assert not steps["smoke"].get("env"), "nothing else says where it looks"
    assert steps["smoke"]["entrypoint"] == "/workspace/.venv/bin/python"
    assert steps["smoke"]["name"] == steps["check"]["name"], "which made .venv"


def test_what_terraform_puts_out_is_what_the_settings_are_called() -> None:
    outputs = (FILE.parent / "infra" / "outputs.tf").read_text()
    found = re.search(r'output "operator_env" \{(.*?)\n\}', outputs, re.DOTALL)
    assert found
    names = set(re.findall(r"^    (\w+) += ", found[1], re.MULTILINE))
    assert {"DARKROOM_PUBLIC_URL", "GOOGLE_CLOUD_PROJECT"} < names
    settings = (FILE.parent / "shared" / "settings.py").read_text()
    assert not [name for name in names if f'"{name}"' not in settings]


def test_no_step_can_outlast_the_build(build: dict[str, Any]) -> None:
    assert sum(seconds(step) for step in build["steps"]) <= seconds(build)


def seconds(timed: dict[str, Any]) -> int:
    """How long a step or the build may take."""
    return int(timed["timeout"].removesuffix("s"))


def test_it_runs_as_the_deployer_and_may_write_its_log(build: dict[str, Any]) -> None:
    assert build["serviceAccount"].split("/")[-1].startswith("darkroom-deployer@${PROJECT_ID}.")
    assert build["options"]["logging"] == "CLOUD_LOGGING_ONLY"

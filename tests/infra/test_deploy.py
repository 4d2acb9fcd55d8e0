"""`make deploy` with programs in the place of gcloud and Terraform, which write down how they are
called: what a new project needs is done once, and nothing is applied that was not agreed to."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.infra import terraform

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "infra" / "deploy.sh"
DONE_S = 60.0
TOOLS = ("bash", "cat", "dirname", "env", "grep", "head", "mkdir", "od", "sed", "sh", "tail", "tr")

GCLOUD = """
fail() { echo "ERROR: (gcloud) $*" >&2; exit 1; }
case "$*" in
  "auth application-default print-access-token") test ! -e "$CLOUD/logged_out" ;;
  "projects describe my-project "*projectNumber*) echo 123456 ;;
  "projects describe my-project "*) ;;
  "projects describe "*) echo "ERROR: no such project" >&2; exit 1 ;;
  "storage buckets describe "*) test ! -e "$CLOUD/denied" || fail "HTTPError 403: denied"
    cat "$CLOUD/bucket" || fail "$4 not found: 404." ;;
  "storage buckets create "*) : >"$CLOUD/bucket" ;;
  "storage buckets update "*) echo True >"$CLOUD/bucket" ;;
  "secrets versions list "*) test ! -e "$CLOUD/hidden" || fail "PERMISSION_DENIED: hidden"
    tail -n 1 "$CLOUD/secrets/$4" || fail "NOT_FOUND: Secret [$4] not found." ;;
  "secrets versions add "*) cat >"$CLOUD/value"; echo ENABLED >>"$CLOUD/secrets/$4" ;;
  "beta services identity create "*) echo "$CLOUDSDK_CORE_DISABLE_PROMPTS" >"$CLOUD/silent" ;;
  "services enable "* | "projects add-iam-policy-binding "*) ;;
  *) exit 64 ;;
esac
"""
TERRAFORM = """
case "$2 $*" in
  "console "*) asked=$(cat)
    echo "Acquiring state lock. This may take a few moments..."
    case "$asked" in
      *location*) cat "$CLOUD/location" ;;
      *iam_member*) cat "$CLOUD/granted" 2>/dev/null ;;
      *) cat "$CLOUD/named" ;;
    esac
    echo "Releasing state lock. This may take a few moments..." ;;
  "apply "*-target=*) for secret in DARKROOM_SIGNING_SECRET GEMINI_API_KEY; do
    mkdir -p "$CLOUD/secrets"; : >>"$CLOUD/secrets/$secret"
  done ;;
  "plan "*) cat "$CLOUD/plan"; exit "$(cat "$CLOUD/plan_code")" ;;
  "apply "*) echo '"=us-central1="' >"$CLOUD/location"; exit "$(cat "$CLOUD/apply_code")" ;;
  "output "*) echo '{"GOOGLE_CLOUD_PROJECT": "my-project", "DARKROOM_BUCKET": "a b"}' ;;
  "init "*) ;;
  *) exit 64 ;;
esac
"""
PYTHON = """
if [ "$1" = -c ]; then exec "{python}" "$@"; fi
cat "$3" >"$CLOUD/smoked"
exit "$(cat "$CLOUD/smoke_code")"
"""
NAMED = '"=us-central1 DARKROOM_SIGNING_SECRET GEMINI_API_KEY="'
PLAN = """
  # data.google_project.here will be read during apply
  # google_pubsub_topic.sweep will be created
  # google_cloudfunctions2_function.function["edit"] will be updated in-place
  # google_storage_bucket.source must be replaced

Plan: 2 to add, 1 to change, 1 to destroy.
"""


@dataclass(frozen=True)
class Done:
    """How a deployment went: the calls are lines of the program's name and its arguments."""

    code: int
    out: str
    calls: list[str]

    def called(self, pattern: str) -> list[int]:
        """At which places."""
        return [n for n, call in enumerate(self.calls) if re.search(pattern, call)]


class Machine:
    """A copy of the folder whose programs are stand-ins, and what they take for the cloud."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cloud, self.bin = folder / "copy", folder / "cloud", folder / "bin"
        (self.folder / "infra").mkdir(parents=True)
        shutil.copy(SCRIPT, self.folder / "infra")
        self.cloud.mkdir()
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
        self.stand_in(self.bin / "gcloud", GCLOUD)
        self.stand_in(self.bin / "terraform", TERRAFORM)
        self.stand_in(self.bin / "make", 'test ! -e "$CLOUD/broken"')
        self.stand_in(self.folder / ".venv/bin/python", PYTHON.replace("{python}", sys.executable))
        self.stand_in(self.bin / "sleep", "")
        self.set(location="(known after apply)", named=NAMED, plan=PLAN)
        self.set(plan_code=2, apply_code=0, smoke_code=0)

    def stand_in(self, program: Path, does: str) -> None:
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "${{0##*/}} $*" >>"$CLOUD/calls"\n{does}')
        program.chmod(0o755)

    def set(self, **what: object) -> None:
        """Change the cloud."""
        for name, value in what.items():
            (self.cloud / name).write_text(f"{value}\n")

    def give(self, secret: str, *states: str) -> None:
        """A secret with versions in these states, the newest last."""
        (self.cloud / "secrets").mkdir(exist_ok=True)
        (self.cloud / "secrets" / secret).write_text("".join(f"{state}\n" for state in states))

    def deploy(self, answers: str = "y\n" * 9, **env: str) -> Done:
        calls = self.cloud / "calls"
        calls.unlink(missing_ok=True)
        given: Mapping[str, str] = {"PROJECT": "my-project", **env}
        done = subprocess.run(
            [self.folder / "infra" / "deploy.sh"],
            env={"PATH": str(self.bin), "CLOUD": str(self.cloud), **given},
            input=answers,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DONE_S,
            check=False,
        )
        lines = calls.read_text().splitlines() if calls.exists() else []
        return Done(done.returncode, done.stdout, lines)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One that is logged in; the project is new."""
    return Machine(tmp_path)


@pytest.fixture
def deployed(machine: Machine) -> Machine:
    """The project has been deployed to before."""
    machine.set(bucket=True, location='"=us-central1="')
    machine.give("DARKROOM_SIGNING_SECRET", "ENABLED")
    machine.give("GEMINI_API_KEY", "ENABLED")
    return machine


SECOND = [
    "gcloud projects describe",
    "gcloud auth application-default print-access-token",
    "make check",
    "gcloud storage buckets describe gs://my-project-darkroom-state",
    "terraform -chdir=infra init .*-backend-config=bucket=my-project-darkroom-state$",
    "terraform -chdir=infra console",
    "terraform -chdir=infra console",
    "terraform -chdir=infra console",
    "gcloud secrets versions list DARKROOM_SIGNING_SECRET",
    "gcloud secrets versions list GEMINI_API_KEY",
    "gcloud secrets versions list DARKROOM_SIGNING_SECRET",
    "gcloud secrets versions list DARKROOM_SIGNING_SECRET",
    "gcloud secrets versions list GEMINI_API_KEY",
    "terraform -chdir=infra plan .*-var project=my-project -out=release.tfplan$",
    "terraform -chdir=infra apply -input=false -lock-timeout=300s release.tfplan$",
    "terraform -chdir=infra output -json operator_env$",
    "python -m tests.smoke infra/.build/operator_env.json$",
    "python -c",
]
"""Every call of a deployment to a project that has one."""


def test_the_second_time_only_plans_applies_and_smokes(deployed: Machine) -> None:
    done = deployed.deploy()
    assert done.code == 0, done.out
    calls = [call for call in done.calls if call.startswith(("gcloud", "make", "python", "terra"))]
    assert len(calls) == len(SECOND), calls
    for call, expected in zip(calls, SECOND, strict=True):
        assert re.match(expected, call)


def test_a_person_sees_what_changes_before_it_does(deployed: Machine) -> None:
    done = deployed.deploy()
    assert re.search(
        r'edit"\] will be updated in-place\n.*source must be replaced\nPlan: 2 to add, .*'
        r"Apply this to my-project\? \[y/N\]",
        done.out,
        re.DOTALL,
    )
    assert "topic.sweep" not in done.out, "what is only new is counted"
    assert "read during apply" not in done.out


def test_the_smoke_test_and_the_operator_get_what_terraform_says(deployed: Machine) -> None:
    done = deployed.deploy()
    assert "my-project" in (deployed.cloud / "smoked").read_text()
    assert done.out.endswith(
        "export GOOGLE_CLOUD_PROJECT=my-project\nexport DARKROOM_BUCKET='a b'\n"
    )


def test_a_new_project_is_set_up_first(machine: Machine) -> None:
    done = machine.deploy(REGION="us-central1")
    assert done.code == 1, "the provider's key is still missing"
    (services,) = done.called("^gcloud services enable .*serviceusage")
    identities = done.called("^gcloud beta services identity create .*(eventarc|pubsub)")
    (made,) = done.called("^gcloud storage buckets create")
    (agent,) = done.called(
        "^gcloud projects add-iam-policy-binding my-project --role=roles/eventarc.serviceAgent "
        "--member=serviceAccount:service-123456@gcp-sa-eventarc.iam.gserviceaccount.com "
        "--condition=None"
    )
    (versioned,) = done.called("^gcloud storage buckets update .*--versioning")
    (init,) = done.called("init")
    (first,) = done.called("-target=google_secret_manager_secret.secret")
    (waited,) = done.called("^sleep 120$")
    (signing,) = done.called("^gcloud secrets versions add DARKROOM_SIGNING_SECRET")
    assert services < identities[0] < identities[1] < agent < made < versioned < init
    assert init < first < waited < signing
    assert "rights take some to arrive" in done.out
    for safe in (
        "--location=us-central1",
        "--uniform-bucket-level-access",
        "--public-access-prevention",
    ):
        assert safe in done.calls[made]
    assert re.fullmatch("[0-9a-f]{64}", (machine.cloud / "value").read_text())
    assert not done.called("plan")

    machine.give("GEMINI_API_KEY", "ENABLED")
    again = machine.deploy()
    assert again.code == 0, again.out
    assert not again.called(" (enable|create|update|add) |-target|sleep"), "that has been done"
    assert machine.deploy().code == 0, "the data lies where the first one put it"


def test_a_secret_without_a_version_is_named_before_anything_is_planned(deployed: Machine) -> None:
    deployed.give("GEMINI_API_KEY", "ENABLED", "DISABLED")
    done = deployed.deploy()
    assert done.code == 1
    assert (
        'printf %s "$GEMINI_API_KEY" | gcloud secrets versions add GEMINI_API_KEY '
        "--project=my-project --data-file=-\n"
    ) in done.out
    assert not done.called("plan|apply")


def test_a_signing_secret_that_is_there_is_never_replaced(deployed: Machine) -> None:
    deployed.give("DARKROOM_SIGNING_SECRET", "ENABLED", "DISABLED")
    done = deployed.deploy()
    assert done.code == 1
    assert not done.called("versions add")
    deployed.set(hidden=True)
    done = deployed.deploy()
    assert "PERMISSION_DENIED: hidden\ndeploy: gcloud secrets versions failed" in done.out
    assert not done.called("-target|versions add"), "who may not look does not add"


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_nothing_is_applied_that_was_not_agreed_to(deployed: Machine, answer: str) -> None:
    done = deployed.deploy(answer)
    assert done.code == 1
    assert "not agreed to" in done.out
    assert not done.called("apply|smoke")


def test_a_new_project_is_asked_for(machine: Machine) -> None:
    done = machine.deploy("n\n")
    assert done.code == 1
    assert not done.called("services enable|create|init")
    done = machine.deploy("y\nn\n")
    assert done.code == 1
    assert not done.called("-target|sleep|versions add")


def test_yes_asks_nothing(deployed: Machine) -> None:
    done = deployed.deploy("", YES="1")
    assert done.code == 0
    assert "[y/N]" not in done.out
    for answers, given, silent in (("y\n" * 9, {}, ""), ("", {"YES": "1"}, "1")):
        (deployed.cloud / "bucket").unlink()
        assert deployed.deploy(answers, **given).code == 0
        assert (deployed.cloud / "silent").read_text().strip() == silent, "nor does gcloud"


def test_what_is_as_it_should_be_is_only_smoked(deployed: Machine) -> None:
    deployed.set(plan_code=0)
    done = deployed.deploy("")
    assert done.code == 0
    assert "Nothing to change." in done.out
    assert not done.called("apply")
    assert done.called("smoke")


@pytest.mark.parametrize(
    ("fault", "says", "never"),
    [
        ({"broken": ""}, "== Check\n", "gcloud storage|terraform"),
        ({"logged_out": ""}, "deploy: Terraform has no credentials", "make|terraform"),
        ({"plan_code": 1}, "deploy: there is no plan, and nothing was changed\n", "apply|smoke"),
        ({"apply_code": 1}, "deploy: applied in part", "smoke"),
        ({"smoke_code": 1}, "deploy: it is deployed, but does not work", "python -c"),
        ({"location": '"=europe-west1="'}, "give REGION=europe-west1\n", "plan|apply|smoke"),
        ({"apply_code": 1}, "set rebuild in infra/terraform.tfvars", "smoke"),
        ({"denied": ""}, "ERROR: (gcloud) HTTPError 403: denied\ndeploy: ", " create |terraform"),
        ({"named": "(known after apply)"}, "deploy: Terraform does not say", "secrets|plan"),
    ],
)
def test_it_stops_where_something_fails(
    deployed: Machine, fault: Mapping[str, object], says: str, never: str
) -> None:
    deployed.set(**fault)
    done = deployed.deploy()
    assert done.code not in (0, 64)
    assert says in done.out
    assert not done.called(never)


@pytest.mark.parametrize("tool", ["gcloud", "terraform"])
def test_a_missing_program_is_named(deployed: Machine, tool: str) -> None:
    (deployed.bin / tool).unlink()
    done = deployed.deploy()
    assert (done.code, done.calls) == (1, [])
    assert done.out == f"deploy: there is no {tool} on this machine: it has to be installed\n"


@pytest.mark.parametrize(("project", "says"), [("", "which project"), ("other", "cannot see")])
def test_a_wrong_project_is_named(deployed: Machine, project: str, says: str) -> None:
    done = deployed.deploy(PROJECT=project)
    assert done.code == 1
    assert says in done.out.splitlines()[-1]
    assert not done.called("make|terraform")


def test_only_what_was_given_comes_before_the_operators_file(deployed: Machine) -> None:
    (plan,) = [call for call in deployed.deploy().calls if " plan " in call]
    assert plan.count("-var ") == 1
    given = deployed.deploy(REGION="us-central1", PROVIDERS='["GEMINI"]')
    (plan,) = [call for call in given.calls if " plan " in call]
    assert '-var region=us-central1 -var enabled_providers=["GEMINI"]' in plan
    for call in given.calls:
        if "console" in call:
            assert "enabled_providers" in call, "what is mounted depends on it"


@pytest.mark.parametrize(
    ("written", "given", "code"),
    [
        ("", {}, 1),
        ('region = "us-central1"\n', {}, 1),
        ("enabled_providers = []\n", {}, 0),
        ("", {"PROVIDERS": '["GEMINI"]'}, 0),
    ],
)
def test_keys_are_not_taken_away_because_somebody_forgot_to_say_whose(
    deployed: Machine, written: str, given: dict[str, str], code: int
) -> None:
    keys = "DARKROOM_SIGNING_SECRET GEMINI_API_KEY OPENAI_API_KEY OPENAI_API_KEY"
    deployed.set(granted=f'"={keys}="')
    (deployed.folder / "infra" / "terraform.tfvars").write_text(written)
    done = deployed.deploy(**given)
    assert done.code == code, done.out
    assert ("functions would lose OPENAI_API_KEY:" in done.out) == bool(code)
    assert any(" plan " in call for call in done.calls) != bool(code)


@pytest.mark.parametrize(
    ("written", "given", "place"),
    [
        (None, {}, "us-central1"),
        ('project = "p"\n', {}, "us-central1"),
        ('# region = "a"\n  region   = "europe-west1" # Belgium\n', {}, "europe-west1"),
        ('region = "europe-west1"\n', {"REGION": "us-east1"}, "us-east1"),
    ],
)
def test_the_state_lies_where_everything_does(
    machine: Machine, written: str | None, given: dict[str, str], place: str
) -> None:
    if written is not None:
        (machine.folder / "infra" / "terraform.tfvars").write_text(written)
    done = machine.deploy("y\nn\n", **given)
    (made,) = [call for call in done.calls if "buckets create" in call]
    assert f"--location={place} " in made


def test_what_comes_first_is_what_functions_wait_for() -> None:
    (block,) = re.findall(r"^first=\(\n(.*?)^\)", SCRIPT.read_text(), re.S | re.M)
    first = set(block.split())
    declared = {
        f"{kind}.{name}"
        for file in SCRIPT.parent.glob("*.tf")
        for kind, name in re.findall(r'^resource "(\w+)" "(\w+)"', file.read_text(), re.M)
    }
    assert first <= declared, first - declared
    functions = (SCRIPT.parent / "functions.tf").read_text()
    (waited,) = re.findall(
        r'^resource "google_cloudfunctions2_function".*?^  depends_on = \[\n(.*?)\]', functions,
        re.S | re.M,
    )  # fmt: skip
    rights = {name for name in declared if name.startswith("google_project_iam_member.")}
    needed = {"google_secret_manager_secret.secret", *re.findall(r"[\w.]+", waited), *rights}
    assert first == needed, first ^ needed


def test_shells_and_shellcheck_have_nothing_against_it() -> None:
    done = subprocess.run(["bash", "-n", SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    checker = Path(sys.executable).parent / "shellcheck"
    done = subprocess.run([checker, SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert os.access(SCRIPT, os.X_OK)


@pytest.mark.infra
def test_the_real_terraform_answers_what_is_asked_of_it(tmp_path: Path) -> None:
    real = terraform.prepare(tmp_path)
    versions = real.folder / "versions.tf"
    # Without the backend, which is in the cloud.
    versions.write_text(
        re.sub(r'  backend "gcs" \{.*?\n  \}\n', "", versions.read_text(), flags=re.S)
    )
    script = SCRIPT.read_text()
    (evaluated,) = re.findall(r"^evaluated\(\) \{.*?^\}", script, re.S | re.M)
    asked = re.findall(r"evaluated '.+'", script)
    (real.folder / "run.py").write_text(terraform._RUN)
    program = f"""
        set -euo pipefail
        terraform() {{ shift; command=$1; shift; "$PYTHON" run.py "$command" . "$@"; }}
        variables=(-var project=my-project -var 'enabled_providers=["GEMINI"]')
        {evaluated}
        {"; ".join(f'printf "<%s>" "$({call})"' for call in asked)}
    """
    done = subprocess.run(
        ["bash", "-c", program],
        cwd=real.folder,
        env={**real.env, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=DONE_S,
        check=True,
    )
    assert sorted(done.stdout.split(">")) == [
        "",
        "<",
        "<",
        "<us-central1 DARKROOM_SIGNING_SECRET GEMINI_API_KEY",
    ]

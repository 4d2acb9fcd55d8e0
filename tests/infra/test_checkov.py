"""checkov finds nothing unsafe in the module but what tests/infra/checkov.yaml explains."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.provider_schema import missing
from tests.infra.terraform import INFRA

CHECKOV = INFRA.parent / ".venv" / "checkov" / "bin" / "checkov"
CONFIG = Path(__file__).with_name("checkov.yaml")
_RUN_S = 240.0
BROKEN = {
    "CKV_GCP_114": ("storage.tf", '"enforced"', '"inherited"'),
    "CKV_GCP_117": ("iam.tf", "roles/logging.logWriter", "roles/editor"),
    "CKV_GCP_29": ("storage.tf", "bucket_level_access = true", "bucket_level_access = false"),
    "CKV_GCP_4": ("edge.tf", '"RESTRICTED"', '"COMPATIBLE"'),
    "CKV_GCP_49": ("iam.tf", "roles/logging.logWriter", "roles/editor"),
}
"""By the check that says so, what is unsafe: file, right, wrong."""


@dataclass(frozen=True)
class Report:
    """What checkov has against a module: by check, the resources. And how much it read of it."""

    failed: dict[str, list[str]]
    resources: int
    unread: int


@pytest.mark.infra
def test_the_module_fails_the_skipped_checks_and_no_others(tmp_path: Path) -> None:
    module = copied(tmp_path)
    # None skipped: else nobody would see that a reason has gone.
    report = checkov(module, "--skip-check", "CKV_NONE")
    others = {check: where for check, where in report.failed.items() if check not in skipped()}
    assert others == {}
    assert set(skipped()) - set(report.failed) == set()
    code = "".join(file.read_text() for file in module.glob("*.tf"))
    assert report.unread == 0
    assert report.resources >= len(re.findall(r"^resource ", code, re.MULTILINE))


@pytest.mark.infra
def test_what_is_unsafe_is_reported(tmp_path: Path) -> None:
    module = copied(tmp_path)
    for name, right, wrong in sorted(set(BROKEN.values())):
        text = (module / name).read_text()
        assert right in text
        (module / name).write_text(text.replace(right, wrong))
    report = checkov(module)
    assert set(report.failed) == set(BROKEN)
    assert "google_storage_bucket.images" in report.failed["CKV_GCP_114"]


def test_every_skip_has_its_reason() -> None:
    listed = CONFIG.read_text().partition("skip-check:\n")[2]
    reasons = dict(re.findall(r"^  - (CKV_GCP_[0-9]+) # (\S.{20,})$", listed, re.MULTILINE))
    assert list(reasons) == skipped()


def skipped() -> list[str]:
    """The ids in the configuration."""
    ids: list[str] = yaml.safe_load(CONFIG.read_text())["skip-check"]
    return ids


def copied(scratch: Path) -> Path:
    """The module's files in a scratch folder."""
    module = scratch / "infra"
    module.mkdir()
    for file in INFRA.glob("*.tf"):
        shutil.copy(file, module)
    return module


def checkov(module: Path, *options: str) -> Report:
    """Run it as the configuration says. Without it the test fails where CI=true, and is skipped
    elsewhere."""
    if not CHECKOV.exists():
        missing("checkov is not installed, `make setup` does it")
    done = subprocess.run(
        [CHECKOV, "--config-file", CONFIG, "-d", module, "-o", "json", *options],
        # Neither an API key nor anybody's own configuration.
        env={"HOME": str(module.parent), "PATH": "/usr/bin:/bin"},
        cwd=module.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=_RUN_S,
    )
    assert done.returncode in (0, 1), done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    failed: dict[str, list[str]] = defaultdict(list)
    for one in said.get("results", {}).get("failed_checks", []):
        failed[one["check_id"]].append(one["resource"])
    summary = said.get("summary", said)
    return Report(dict(failed), summary["resource_count"], summary["parsing_errors"])

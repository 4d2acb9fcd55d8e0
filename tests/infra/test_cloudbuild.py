"""cloudbuild.yaml is one that Cloud Build would take, and deploys only what was checked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.thorough

FILE = Path(__file__).parents[2] / "cloudbuild.yaml"
GIVEN = {"PROJECT_ID"}
"""Substitutions that Cloud Build makes itself."""


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


def test_every_substitution_is_declared_and_used(build: dict[str, Any]) -> None:
    code = re.sub(r"#.*", "", FILE.read_text()).replace("$$", "")
    used = set(re.findall(r"\$\{?([A-Z_]+)", code))
    assert used == GIVEN | set(build["substitutions"])


def test_the_saved_plan_is_applied_after_the_checks(build: dict[str, Any]) -> None:
    steps = {step["id"]: step for step in build["steps"]}
    assert list(steps) == ["check", "init", "plan", "apply"]
    assert not any("waitFor" in step for step in steps.values()), "they run one after the other"
    assert steps["plan"]["args"][-1] == f"-out={steps['apply']['args'][-1]}"
    assert steps["plan"]["dir"] == steps["apply"]["dir"] == "infra"

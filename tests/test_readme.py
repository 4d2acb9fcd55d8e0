"""The README's commands, run as a new user would; and its lists, compared with the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functions.test_processes import server

README = Path("README.md").read_text()


def shell_blocks() -> list[str]:
    """Every block of commands that a reader can paste."""
    return re.findall(r"```sh\n(.*?)```", README, re.S)


@pytest.mark.process
def test_every_command_works_in_order(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".venv").symlink_to(sys.prefix)
    for name in ("shared", "functions"):
        (home / name).symlink_to(Path(name).resolve())
    with server(["functions"], home / "data", DARKROOM_TEST_KEY="") as started:
        script = "set -euo pipefail\n" + "\n".join(shell_blocks())
        script = script.replace("curl -s", "curl -sS --fail-with-body")
        script = script.replace("127.0.0.1:8080", f"127.0.0.1:{started.port}")
        ran = subprocess.run(
            ["bash", "-c", script],
            cwd=home,
            env={**os.environ, "PYTHONPATH": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (home / "bicycle.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert '"status":"succeeded"' in ran.stdout
    assert "dk_live_" in ran.stdout


def test_every_variable_that_is_read_is_listed() -> None:
    read = set(
        re.findall(r'"((?:DARKROOM|GOOGLE)_\w+|PORT|HOST)"', Path("shared/settings.py").read_text())
    )
    listed = set(re.findall(r"`([A-Z][A-Z_]+)`", README))
    assert read <= listed


def test_every_fault_of_the_sandbox_is_listed() -> None:
    from shared.sandbox import directives

    listed = set(re.findall(r"\[sandbox:(\w+)", README))
    assert listed == set(directives.NAMES)


def test_it_stays_short_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) <= 150
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert Path(target).exists(), target

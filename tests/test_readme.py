"""The README's commands, run as a new user would; and its lists, compared with the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared.sandbox import directives
from tests.functions.test_processes import server

README = Path("README.md").read_text()


def blocks(language: str) -> list[str]:
    """Every block in a language that a reader can paste."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def ran(command: list[str], home: Path, **env: str) -> str:
    """What a command that succeeds prints."""
    environment = {**os.environ, "PYTHONPATH": str(home), **env}
    done = subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.process
def test_every_command_works_in_order(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".venv").symlink_to(sys.prefix)
    for name in ("shared", "functions"):
        (home / name).symlink_to(Path(name).resolve())
    with server(["functions"], home / "data", DARKROOM_TEST_KEY="") as started:

        def here(block: str) -> str:
            return block.replace("127.0.0.1:8080", f"127.0.0.1:{started.port}")

        script = "set -euo pipefail\n" + "\n".join(map(here, blocks("sh")))
        script = script.replace("curl -s", "curl -sS --fail-with-body")
        printed = ran(["bash", "-c", script], home)
        key = (home / "data" / "test_key").read_text().strip()
        (snippet,) = map(here, blocks("python"))
        shown = "\nprint(bool(poster.data[0].b64_json), night[:2])"
        sdks = ran([sys.executable, "-c", snippet + shown], home, DARKROOM_TEST_KEY=key)
    assert (home / "bicycle.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert '"status":"succeeded"' in printed
    assert "dk_live_" in printed
    assert sdks.split() == ["True", r"b'\xff\xd8'"]


def test_every_variable_that_is_read_is_listed() -> None:
    read = set(
        re.findall(r'"((?:DARKROOM|GOOGLE)_\w+|PORT|HOST)"', Path("shared/settings.py").read_text())
    )
    listed = set(re.findall(r"`([A-Z][A-Z_]+)`", README))
    assert read <= listed


def test_every_fault_of_the_sandbox_is_listed() -> None:
    listed = set(re.findall(r"\[sandbox:(\w+)", Path("docs/sandbox.md").read_text()))
    assert listed == set(directives.NAMES)


def test_it_stays_short_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) <= 150
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert Path(target).exists(), target

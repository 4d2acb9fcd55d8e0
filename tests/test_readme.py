"""The commands of the README and of the pages in docs, run as a new user would; and their lists,
compared with the code."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.sandbox import directives
from tests.functions.test_processes import server

README = Path("README.md").read_text()
PAGES = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]


def blocks(language: str, text: str = README) -> list[str]:
    """Every block in a language that a reader can paste."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def ran(command: list[str], home: Path, **env: str) -> str:
    """What a command that succeeds prints."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
    environment = {**ours, "PYTHONPATH": str(home), **env}
    done = subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pasted(found: list[str], home: Path, port: int) -> str:
    """What blocks print that a shell runs one after another; whatever fails ends it."""
    script = "set -euo pipefail\n" + "\n".join(here(block, port) for block in found)
    return ran(["bash", "-c", script.replace("curl -s", "curl -sS --fail-with-body")], home)


def here(block: str, port: int) -> str:
    """A block, sent to the server of the test."""
    return block.replace("127.0.0.1:8080", f"127.0.0.1:{port}")


@contextlib.contextmanager
def served(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A folder like that of a new user, and the port of the server that serves it."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".venv").symlink_to(sys.prefix)
    for name in ("shared", "functions"):
        (home / name).symlink_to(Path(name).resolve())
    with server(["functions"], home / "data", DARKROOM_TEST_KEY="") as started:
        yield home, started.port


@pytest.mark.process
def test_every_command_works_in_order(tmp_path: Path) -> None:
    with served(tmp_path) as (home, port):
        printed = pasted(blocks("sh"), home, port)
        key = (home / "data" / "test_key").read_text().strip()
        (snippet,) = blocks("python")
        shown = "\nprint(bool(poster.data[0].b64_json), night[:2])"
        sdks = ran([sys.executable, "-c", here(snippet, port) + shown], home, DARKROOM_TEST_KEY=key)
    assert (home / "bicycle.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert '"status":"succeeded"' in printed
    assert "dk_live_" in printed
    assert sdks.split() == ["True", r"b'\xff\xd8'"]


@pytest.mark.process
def test_every_command_for_batches_and_uploads_works_in_order(tmp_path: Path) -> None:
    text = "".join(Path(f"docs/{name}.md").read_text() for name in ("batches", "uploads"))
    with served(tmp_path) as (home, port):
        # Nothing here has a bucket in the cloud.
        printed = pasted([b for b in blocks("sh", text) if not b.startswith("gcloud")], home, port)
    results = [json.loads(line) for line in (home / "results.jsonl").read_text().splitlines()]
    assert {one["custom_id"]: one["status"] for one in results} == {
        "cup": "succeeded",
        "jar": "succeeded",
    }
    ended = re.findall(r'"object":"(\w+)",(?:"\w+":"\w+",)?"status":"(\w+)"', printed)
    assert ended == [("batch", "succeeded"), ("request", "succeeded")]
    night = json.loads((home / "night.json").read_text())
    assert (night["mode"], night["counts"]["total"]) == ("fanout", 2)
    assert "batch_total_usd" in printed
    assert re.search(r"counts.succeeded +2\n", printed)
    assert '"upload_id"' in printed.splitlines()[-1]


def test_every_variable_that_is_read_is_listed() -> None:
    read = set(
        re.findall(r'"((?:DARKROOM|GOOGLE)_\w+|PORT|HOST)"', Path("shared/settings.py").read_text())
    )
    listed = set(re.findall(r"`([A-Z][A-Z_]+)`", README))
    assert read <= listed


def test_every_fault_of_the_sandbox_is_listed() -> None:
    listed = set(re.findall(r"\[sandbox:(\w+)", Path("docs/sandbox.md").read_text()))
    assert listed == set(directives.NAMES)


def test_it_stays_short() -> None:
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target

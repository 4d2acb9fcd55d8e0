"""What the tests run with Node: packages from npm, pinned in a lock file. Without Node 20 or newer,
and npm, these tests are skipped; with CI=true they fail."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

OLDEST = 20


def node() -> str:
    """The path of a Node that is new enough."""
    found = shutil.which("node") or _missing("there is no node on the PATH")
    asked = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    version = asked.stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < OLDEST:
        _missing(f"{found} is {version}")
    return found


@functools.cache
def installed(folder: Path) -> Path:
    """The folder's node_modules as locked: made once, however many workers want them."""
    npm = shutil.which("npm") or _missing("there is no npm on the PATH")
    stamp = folder / "node_modules" / ".installed"
    with (folder / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = hashlib.file_digest(lock, "sha256").hexdigest()
        if not stamp.is_file() or stamp.read_text() != wanted:
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if ran.returncode:
                _missing(f"npm ci failed:\n{ran.stderr}")
            stamp.write_text(wanted)
    return stamp.parent


def check_lock(folder: Path) -> None:
    """The lock file pins what is wanted, and names no registry: npm asks the one that is configured
    where it runs."""
    text = (folder / "package-lock.json").read_text()
    locked = json.loads(text)["packages"]
    assert len(locked) > 1
    assert not [name for name, package in locked.items() if "resolved" in package]
    assert "://registry" not in text
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    assert wanted == locked[""]["dependencies"]
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted


def _missing(what: str) -> NoReturn:
    reason = f"Node {OLDEST} or newer and npm are needed: {what}."
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)

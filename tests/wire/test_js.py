"""The vendors' own SDKs for JavaScript on a short tour of each target. They come from npm, pinned
in js/package-lock.json, and need Node 20 or newer: without it these tests are skipped, and with
CI=true they fail."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.sandbox.conftest import photo
from tests.wire.targets import Target

pytestmark = pytest.mark.process
FOLDER = Path(__file__).parent / "js"
LOCK = FOLDER / "package-lock.json"
OLDEST_NODE = 20


@pytest.fixture(scope="module")
def node() -> str:
    """The path of a Node that can run the scripts, their packages installed."""
    found = shutil.which("node") or _missing("there is no node on the PATH")
    asked = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    version = asked.stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < OLDEST_NODE:
        _missing(f"{found} is {version}")
    _install(shutil.which("npm") or _missing("there is no npm on the PATH"))
    return found


def _install(npm: str) -> None:
    """The packages of the lock file, once, however many workers want them."""
    stamp = FOLDER / "node_modules" / ".installed"
    with LOCK.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = hashlib.file_digest(lock, "sha256").hexdigest()
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        ran = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
        if ran.returncode:
            _missing(f"npm ci failed:\n{ran.stderr}")
        stamp.write_text(wanted)


def _missing(what: str) -> NoReturn:
    reason = f"The SDKs for JavaScript cannot run, Node {OLDEST_NODE} and npm are needed: {what}."
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def tour(node: str, script: str, target: Target) -> Any:
    """What a script saw of a target."""
    given = {
        "openai": target.openai,
        "chat": target.chat,
        "chat_model": target.chat_model,
        "gemini": target.gemini,
        "key": target.key,
        "photo": base64.b64encode(photo()).decode(),
    }
    ran = subprocess.run(
        [node, script, json.dumps(given)],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout)


def test_openai(node: str, target: Target) -> None:
    with target.paid(requests=7, pictures=8):
        saw = tour(node, "openai.mjs", target)
    assert saw == {
        "one": 1,
        "two": 2,
        "edited": ["1024x1024", "1024x1024"],
        "streamed": ["image_generation.partial_image", "image_generation.completed"],
        "chatted": ["user", "assistant", "user", "assistant"],
        "listed": True,
        "unknown": [404, "model_not_found"],
        "blocked": [400, "moderation_blocked"],
        "stranger": [401, "invalid_api_key"],
    }


def test_google_genai(node: str, target: Target) -> None:
    """Several candidates of a picture are what Google refuses and a Darkroom makes."""
    several = target.name == "darkroom"
    with target.paid(requests=7, pictures=8):
        saw = tour(node, "gemini.mjs", target)
    two = saw.pop("two")
    assert two == 2 if several else "Multiple candidates is not enabled" in two
    assert saw == {
        "one": 1,
        "edited": 1,
        "streamed": 1,
        "chatted": [1, 1],
        "listed": True,
        "uploaded": [1, [403, "PERMISSION_DENIED"]],
        "blocked": "PROHIBITED_CONTENT",
        "unknown": [404, "NOT_FOUND"],
        "stranger": [400, "INVALID_ARGUMENT"],
    }


def test_the_lock_file_names_no_registry() -> None:
    """So that npm asks the one that is configured where it runs."""
    locked = json.loads(LOCK.read_text())["packages"]
    assert len(locked) > 2
    assert not [name for name, package in locked.items() if "resolved" in package]
    assert "://registry" not in LOCK.read_text()
    wanted = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    assert wanted == locked[""]["dependencies"]
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted

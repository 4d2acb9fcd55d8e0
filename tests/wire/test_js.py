"""The vendors' own SDKs for JavaScript on a short tour of each target."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.node import check_lock
from tests.sandbox.conftest import photo
from tests.wire.targets import Target

pytestmark = pytest.mark.process
FOLDER = Path(__file__).parent / "js"


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


def test_the_lock_file_pins_what_is_wanted() -> None:
    check_lock(FOLDER)

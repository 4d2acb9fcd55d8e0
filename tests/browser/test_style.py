"""The studio's files in Prettier's style and without what ESLint takes for mistakes, as ruff keeps
the Python. `prettier --write` with the same arguments rewrites them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.node import check_lock, installed, node

pytestmark = pytest.mark.browser
JS = Path(__file__).parent / "js"


def ran(script: str, *arguments: str) -> None:
    """A tool of npm's that finds nothing wrong."""
    command = [node(), str(installed(JS) / script), *arguments, "functions/studio"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_files_are_in_style() -> None:
    ran("prettier/bin/prettier.cjs", "--check", "--print-width=110")


def test_the_modules_are_without_the_usual_mistakes() -> None:
    ran("eslint/bin/eslint.js", f"--config={JS}/eslint.config.js", "--max-warnings=0")


def test_the_lock_file_pins_what_is_wanted() -> None:
    check_lock(JS)

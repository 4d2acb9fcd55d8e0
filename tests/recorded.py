"""Recorded traffic of the providers, which is read where it lies beside the project."""

from __future__ import annotations

from pathlib import Path

import pytest

RECORDED = Path(__file__).parents[2] / "shared" / "recorded"
WHY = "recordings are no part of the project: a clone of it alone has none, in CI either"


def recording(name: str) -> Path:
    """A recording's file, "google/x.yaml". Skips the test where there are no recordings."""
    if not RECORDED.is_dir():
        pytest.skip(WHY)
    return RECORDED / name

"""The benchmarks can be run as their page and the Makefile say, and see what goes wrong."""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks import targets
from tests.benchmarks.load import run

pytestmark = pytest.mark.process
PAGE = Path("tests/benchmarks/README.md")
NAMED = sorted(
    {
        *re.findall(r"python -m tests\.benchmarks\.(\w+)", PAGE.read_text()),
        *re.findall(r"^BENCH \?= (.*)$", Path("Makefile").read_text(), re.M)[0].split(),
    }
)


@pytest.mark.parametrize("name", NAMED)
def test_each_says_what_it_does_and_takes(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"tests.benchmarks.{name}").main()
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_what_counts_is_a_whole_picture(tmp_path: Path) -> None:
    with targets.upstream(tmp_path) as address:
        asked = targets.direct(address)[0].ask
        good = run(asked, 6, 2)
        assert (len(good.latencies_s), good.failures) == (6, [])
        short = run(replace(asked, least_bytes=10**9), 3, 1)
        assert (short.latencies_s, len(short.failures)) == ([], 3)

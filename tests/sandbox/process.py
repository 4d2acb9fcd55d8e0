"""The sandbox in a process of its own, on a free port of loopback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


@contextmanager
def running(*options: str, kill: bool = False, module: str = "shared.sandbox") -> Iterator[str]:
    """Its address, once it takes connections. In the end it is asked to stop, or killed."""
    command = [sys.executable, "-m", module, "--port", "0", *options]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert line.startswith("sandbox: http://127.0.0.1:"), line + process.stderr.read()
            yield line.removeprefix("sandbox: ").strip()
        finally:
            process.kill() if kill else process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()

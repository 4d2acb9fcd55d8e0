"""What Google's emulators have in common: they are Java programs of the Google Cloud SDK, which are
started on a free loopback port and asked until they answer."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

_START_S = 60.0
_STOP_S = 10.0


def installed(component: str, jar: str) -> tuple[str, str]:
    """The Java program, and the newest file of the SDK that the pattern `jar` finds. A test that
    needs them is skipped where they are missing, and fails in CI."""
    java = shutil.which("java") or _missing(component, "there is no java on the PATH")
    gcloud = shutil.which("gcloud") or _missing(component, "there is no gcloud on the PATH")
    asked = [gcloud, "info", "--format=value(installation.sdk_root)"]
    root = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    jars = sorted(Path(root).glob(jar)) if root else []
    found = jars[-1] if jars else _missing(component, f"the SDK lacks its component {component}")
    return java, str(found)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], host: str) -> Iterator[None]:
    """The emulator that a command starts at "host:port", until the block ends."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            if not _answers(process, host):
                output.seek(0)
                said = output.read().decode(errors="replace")
                pytest.fail(f"An emulator did not start: {command}\n{said}", pytrace=False)
            yield
        finally:
            _stop(process)


def _missing(component: str, what: str) -> NoReturn:
    reason = f"The {component} cannot run: {what} (README.md, Work on it)."
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _answers(process: subprocess.Popen[bytes], host: str) -> bool:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"http://{host}/", timeout=5.0, trust_env=False).is_success:
                return True
        except httpx.TransportError:
            time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

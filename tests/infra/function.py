"""One deployed function as a process of this machine: started as the buildpack starts it, with no
environment but what the plan and the platform give it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.functions.test_processes import DEADLINE_S, free_port

_FRAMEWORK = Path(sys.executable).parent / "functions-framework"
"""What the buildpack runs (cmd/python/functions_framework, 2026-08). Unlike `python -m` it puts our
folder behind the installed packages, where one of the same name would hide it."""
SIGNING_SECRET = "5e" * 32
_WEBHOOK_SECRET = "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cw=="


def secret(name: str) -> str:
    """The test value of a secret, of the form that the real one has."""
    if name == "DARKROOM_SIGNING_SECRET":
        return SIGNING_SECRET
    return _WEBHOOK_SECRET if name.endswith("_WEBHOOK_SECRET") else f"{name.lower()}-of-the-tests"


class Function:
    """A function's process, whose worker listens on a loopback port. `values` is the function in
    the plan; `backends` says where the emulators are."""

    def __init__(self, values: Mapping[str, Any], backends: Mapping[str, str]) -> None:
        self.values, self.backends = values, backends
        self.name: str = values["build_config"][0]["entry_point"]
        self.service: Mapping[str, Any] = values["service_config"][0]
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._output = self._home = Path()
        self.left = set[str]()

    @property
    def url(self) -> str:
        """Where it is, once it has been started."""
        return f"http://127.0.0.1:{self.port}"

    def planned(self) -> dict[str, str]:
        """The environment that the plan gives it."""
        mounted = (one["key"] for one in self.service["secret_environment_variables"])
        return {**self.service["environment_variables"], **{key: secret(key) for key in mounted}}

    def secrets(self) -> list[str]:
        """The values that nobody may read."""
        return [secret(one["key"]) for one in self.service["secret_environment_variables"]]

    def given(self, home: Path) -> dict[str, str]:
        """What the platform and the image have besides (cloud.google.com/run/docs/
        container-contract, cloud.google.com/functions/docs/configuring/env-var, 2026-11)."""
        service = self.values["name"]
        return {
            "CLOUD_RUN_TIMEOUT_SECONDS": str(self.service["timeout_seconds"]),
            "FUNCTION_SIGNATURE_TYPE": "cloudevent" if self.values["event_trigger"] else "http",
            "FUNCTION_TARGET": self.name,
            "HOME": str(home),
            "K_CONFIGURATION": service,
            "K_REVISION": f"{service}-00001-abc",
            "K_SERVICE": service,
            "LANG": "C.UTF-8",
            "LOG_EXECUTION_ID": "true",
            "PATH": f"{_FRAMEWORK.parent}:/usr/local/bin:/usr/bin:/bin",
            "PORT": str(self.port),
            "PYTHONUNBUFFERED": "TRUE",
        }

    def start(self, source: Path, scratch: Path) -> None:
        """Start it in the folder of its source; what it prints goes to the scratch folder."""
        # A socket's path has at most 107 bytes, and gunicorn keeps one there.
        self._home, self._output = Path(tempfile.mkdtemp()), scratch / f"{self.name}.txt"
        self.port = free_port()
        planned, given = self.planned(), self.given(self._home)
        assert not planned.keys() & given.keys(), "the platform's own variables are not ours to set"
        with self._output.open("w") as output:
            self._process = subprocess.Popen(
                # In the cloud it listens on every address.
                [str(_FRAMEWORK), "--host", "127.0.0.1"],
                cwd=source,
                env={**planned, **given, **self.backends},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def listens(self) -> bool:
        """Whether its port can be connected to, which is what Cloud Run's startup probe asks."""
        assert self._process is not None and self._process.poll() is None, self.said()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ask_to_end(self) -> None:
        """As Cloud Run does: with SIGTERM."""
        if self._process is not None:
            self._process.terminate()

    def end(self) -> None:
        """Wait for its end, for a bounded time; whatever is left is killed."""
        if self._process is None:
            return
        try:
            self._process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self.left = {path.name for path in self._home.iterdir()}
        shutil.rmtree(self._home)

    @property
    def ended_well(self) -> bool:
        """Whether it ended when it was asked to."""
        return self._process is not None and self._process.returncode == 0

    def said(self) -> str:
        """All it has printed."""
        return self._output.read_text()

    def lines(self) -> list[dict[str, Any]]:
        """The same, as Cloud Logging takes it: an object a line."""
        found = [json.loads(line) for line in self.said().splitlines()]
        assert all(isinstance(line, dict) for line in found), self.said()
        return found

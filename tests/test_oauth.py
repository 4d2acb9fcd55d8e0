"""Access tokens of the service account: kept, replaced early, asked for once however many wait."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.errors import Misconfigured
from shared.oauth import EARLY, NoToken, ServiceAccount, Token

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROOT = Path(__file__).parents[1]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


class Google:
    """Gives numbered tokens that last an hour, once it is open."""

    def __init__(self, clock: Clock, *, failures: int = 0) -> None:
        self.clock = clock
        self.failures = failures
        self.asked = 0
        self.begun, self.open = threading.Event(), threading.Event()
        self.open.set()

    def __call__(self) -> Token:
        self.asked += 1
        self.begun.set()
        assert self.open.wait(10)
        if self.asked <= self.failures:
            raise NoToken("RefreshError: secret-looking words")
        return Token(f"token-{self.asked}", self.clock.now + HOUR)


def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    clock = Clock()
    google = Google(clock)
    account = ServiceAccount(google, clock)

    async def at(moment: datetime) -> str:
        clock.now = moment
        return await account.token()

    assert asyncio.run(at(NOON)) == "token-1"
    assert asyncio.run(at(NOON + HOUR - EARLY - timedelta(seconds=1))) == "token-1"
    assert asyncio.run(at(NOON + HOUR - EARLY)) == "token-2"
    assert google.asked == 2


def test_many_that_wait_ask_once() -> None:
    clock = Clock()
    google = Google(clock)
    google.open.clear()
    account = ServiceAccount(google, clock)

    async def everyone() -> set[str]:
        waiting = [asyncio.create_task(account.token()) for _ in range(20)]
        assert await asyncio.to_thread(google.begun.wait, 10)
        google.open.set()
        return set(await asyncio.gather(*waiting))

    assert asyncio.run(everyone()) == {"token-1"}
    assert google.asked == 1


def test_one_that_gives_up_does_not_take_the_token_from_the_others() -> None:
    clock = Clock()
    google = Google(clock)
    google.open.clear()
    account = ServiceAccount(google, clock)

    async def two() -> str:
        first, second = (asyncio.create_task(account.token()) for _ in range(2))
        assert await asyncio.to_thread(google.begun.wait, 10)
        first.cancel()
        google.open.set()
        return await second

    assert asyncio.run(two()) == "token-1"
    assert google.asked == 1


def test_a_failure_is_told_safely_to_each_and_not_kept() -> None:
    clock = Clock()
    google = Google(clock, failures=1)
    account = ServiceAccount(google, clock)

    async def go() -> list[str | BaseException]:
        first = await asyncio.gather(account.token(), account.token(), return_exceptions=True)
        return [*first, await account.token()]

    one, other, after = asyncio.run(go())
    assert isinstance(one, Misconfigured) and isinstance(other, Misconfigured)
    assert one is not other
    assert "secret" not in one.message and "secret" in (one.private or "")
    assert (after, google.asked) == ("token-2", 2)


def test_a_token_does_not_show_when_printed() -> None:
    assert "ya29" not in repr(Token("ya29.secret", NOON))


class Metadata(BaseHTTPRequestHandler):
    """Google's metadata server, as far as google-auth asks it."""

    tokens = 0

    def do_GET(self) -> None:
        if self.path.startswith("/computeMetadata") and not self.headers["metadata-flavor"]:
            self.send_error(403)
        elif self.path.endswith("/project/project-id"):
            self._say(b"a-project", "application/text")
        elif "/token" in self.path:
            type(self).tokens += 1
            token = {"access_token": f"ya29.{self.tokens}", "expires_in": 3599}
            self._say(json.dumps(token | {"token_type": "Bearer"}).encode())
        elif "/service-accounts/default" in self.path:
            account = {"email": "me@a-project.iam.gserviceaccount.com", "scopes": [], "aliases": []}
            self._say(json.dumps(account).encode())
        elif self.path == "/":
            self._say(b"computeMetadata/", "application/text")
        else:
            self.send_error(404)

    def log_message(self, *words: object) -> None:
        """Nothing to tell."""

    def _say(self, body: bytes, kind: str = "application/json") -> None:
        self.send_response(200)
        self.send_header("metadata-flavor", "Google")
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def metadata() -> Iterator[str]:
    """A metadata server of its own, on a free port of loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


SCRIPT = """
import asyncio
from shared.errors import Misconfigured
from shared.oauth import ServiceAccount

async def main():
    account = ServiceAccount()
    try:
        return await asyncio.gather(*(account.token() for _ in range(5)))
    except Misconfigured as error:
        return [type(error).__name__, error.private]

print(*asyncio.run(main()))
"""


def said(host: str, home: Path, **more: str) -> str:
    """What a process says that has nothing but this metadata server to go by."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)}
    # google-auth reads these when it is imported, so a process of its own is needed.
    env |= {"GCE_METADATA_HOST": host, "GCE_METADATA_IP": host, **more}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@pytest.mark.process
def test_on_google_cloud_the_metadata_server_gives_the_token(tmp_path: Path) -> None:
    Metadata.tokens = 0
    with metadata() as host:
        assert said(host, tmp_path) == " ".join(["ya29.1"] * 5)
    assert Metadata.tokens == 1


@pytest.mark.process
def test_without_any_account_the_error_is_ours(tmp_path: Path) -> None:
    words = said("127.0.0.1:1", tmp_path, NO_GCE_CHECK="true")
    assert words.startswith("Misconfigured DefaultCredentialsError")

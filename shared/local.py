"""What a laptop needs before its first request: a data folder that only one server uses, a secret
to sign links with, an account, and a test key."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from shared import accounts
from shared.app import App
from shared.domain import Account, ApiKey
from shared.settings import BadSettings, Settings

ACCOUNT_ID = "acc_local"


@contextmanager
def claimed(data: Path) -> Iterator[None]:
    """Hold the data folder. Raises BadSettings while another server does."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadSettings(f"another server is using {data}") from error
        yield


def completed(settings: Settings) -> Settings:
    """The settings with what was left out made once and kept in the data folder; with a cloud
    backend, as they are."""
    if not settings.local:
        return settings
    settings.data.mkdir(parents=True, exist_ok=True)
    return replace(
        settings,
        signing_secret=settings.signing_secret
        or _kept(settings.data / "signing_secret", secrets.token_urlsafe(32)),
        test_key=settings.test_key
        or _kept(settings.data / "test_key", accounts.new_key(test=True)),
    )


async def introduce(app: App) -> None:
    """Create the local account and its test key unless they are there."""
    test_key = app.settings.test_key
    if test_key is None:
        return
    if await app.records.account(ACCOUNT_ID) is None:
        account = Account(ACCOUNT_ID, "local", app.clock(), shards=app.wallet_shards)
        await app.records.create_account(account)
    hashed = accounts.key_hash(test_key)
    if await app.records.key(hashed) is None:
        key = ApiKey(f"key_{app.new_id()}", hashed, ACCOUNT_ID, test=True, created_at=app.clock())
        await app.records.create_key(key)


def _kept(path: Path, fresh: str) -> str:
    """What the file says; a new file says `fresh`, to its owner only."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(fresh + "\n")
    return fresh

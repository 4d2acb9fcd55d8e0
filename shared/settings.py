"""The only reader of the environment. Every variable is listed in README.md, "Settings"."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared import signatures
from shared.log import Source

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
_PUBLIC_URL = re.compile(
    r"https?://([\w.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?(/[\w.~-]+)*", re.ASCII | re.IGNORECASE
)
"""What can stand in a link, a page and its policy as it is."""
_TOPIC_PREFIX = re.compile(r"(?!goog)[A-Za-z][\w.~+%-]{0,199}", re.ASCII)
"""cloud.google.com/pubsub/docs/pubsub-basics#resource_names, 2026-11."""


class BadSettings(Exception):
    """The environment contradicts itself or holds something unusable: the start is refused."""


@dataclass(frozen=True)
class Credential:
    """A provider account: `key` is None where none is set, `base_url` where the catalogue's is
    used, `location` where it has none, `webhook_secret` where the provider sends us nothing signed
    with one."""

    key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    location: str | None = None
    webhook_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Settings:
    """What the operator chose. A backend is local unless its cloud name is set."""

    data: Path = Path("data")
    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str = ""
    project: str | None = None
    bucket: str | None = None
    uploads_bucket: str | None = None
    """Of its own for what callers upload, which Cloud Storage says has come; else `bucket`."""
    storage_emulator: str | None = None
    """Where Cloud Storage is played, with the scheme; Google's clients read this variable too."""
    firestore_database: str | None = None
    topic_prefix: str | None = None
    """What the names of the Pub/Sub topics begin with."""
    catalogue_overlay: Path | None = None
    blocklist: Path | None = None
    providers: frozenset[str] = frozenset()
    """Prefixes of the providers whose keys other functions have, where this one has none."""
    cors_origins: tuple[str, ...] = ()
    """Whose pages a browser lets call the functions: scheme://host[:port] each, or `*` for all."""
    allow_private_urls: bool = False
    test_key: str | None = field(default=None, repr=False)
    signing_secret: str | None = field(default=None, repr=False)
    log_level: str = "INFO"
    service: str | None = None
    revision: str | None = None
    credentials: Mapping[str, Credential] = field(default_factory=dict)
    """By the prefix of their variables: X for X_API_KEY, X_BASE_URL, X_LOCATION and
    X_WEBHOOK_SECRET."""

    @property
    def local(self) -> bool:
        """Whether nothing of it is in the cloud."""
        return not (self.bucket or self.firestore_database or self.topic_prefix)

    @property
    def source(self) -> Source:
        """Whose the lines of the log are."""
        return Source(self.project, self.service, self.revision)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no line of the log may hold."""
        kept = [self.signing_secret, self.test_key]
        for credential in self.credentials.values():
            kept += [credential.key, credential.webhook_secret]
        return tuple(secret for secret in kept if secret)

    @staticmethod
    def from_env(env: Mapping[str, str] | None = None) -> Settings:
        """Read it, or raise BadSettings. An empty variable counts as unset."""
        env = {k: v.strip() for k, v in (os.environ if env is None else env).items() if v.strip()}
        host, port = env.get("HOST", "127.0.0.1"), _port(env.get("PORT", "8080"))
        settings = Settings(
            data=Path(env.get("DARKROOM_DATA", "data")),
            host=host,
            port=port,
            public_url=env.get("DARKROOM_PUBLIC_URL", _address(host, port)).rstrip("/"),
            project=env.get("GOOGLE_CLOUD_PROJECT"),
            bucket=env.get("DARKROOM_BUCKET"),
            uploads_bucket=env.get("DARKROOM_UPLOADS_BUCKET"),
            storage_emulator=_base_url(env.get("STORAGE_EMULATOR_HOST")),
            firestore_database=env.get("DARKROOM_FIRESTORE_DATABASE"),
            topic_prefix=env.get("DARKROOM_TOPIC_PREFIX"),
            catalogue_overlay=_path(env.get("DARKROOM_CATALOGUE")),
            blocklist=_path(env.get("DARKROOM_BLOCKLIST")),
            providers=frozenset(filter(None, env.get("DARKROOM_PROVIDERS", "").split(","))),
            cors_origins=_origins(env.get("DARKROOM_CORS_ORIGINS")),
            allow_private_urls=env.get("DARKROOM_ALLOW_PRIVATE_URLS") == "1",
            test_key=env.get("DARKROOM_TEST_KEY"),
            signing_secret=env.get("DARKROOM_SIGNING_SECRET"),
            log_level=env.get("DARKROOM_LOG_LEVEL", "INFO").upper(),
            # Cloud Run sets these (docs.cloud.google.com/run/docs/container-contract, 2026-11).
            service=env.get("K_SERVICE"),
            revision=env.get("K_REVISION"),
            credentials=_credentials(env),
        )
        return _consistent(settings)


def _consistent(settings: Settings) -> Settings:
    if settings.allow_private_urls and not settings.local:
        raise BadSettings("DARKROOM_ALLOW_PRIVATE_URLS=1 is for development: no cloud backend")
    if settings.uploads_bucket and not settings.bucket:
        raise BadSettings("DARKROOM_UPLOADS_BUCKET goes with DARKROOM_BUCKET")
    if settings.topic_prefix and not _TOPIC_PREFIX.fullmatch(settings.topic_prefix):
        raise BadSettings(
            "DARKROOM_TOPIC_PREFIX begins with a letter, not with goog, and goes on with letters, "
            f"digits or any of -_.~+%, not {settings.topic_prefix!r}"
        )
    if settings.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise BadSettings("DARKROOM_LOG_LEVEL is one of DEBUG, INFO, WARNING, ERROR")
    for credential in settings.credentials.values():
        _check_url("_BASE_URL", credential.base_url)
        _check_secret(credential.webhook_secret)
    if not _PUBLIC_URL.fullmatch(settings.public_url):
        raise BadSettings(
            "DARKROOM_PUBLIC_URL is an address such as https://images.example, without a user, a "
            "query or letters beyond ASCII"
        )
    if settings.test_key and not settings.test_key.startswith("dk_test_"):
        raise BadSettings("DARKROOM_TEST_KEY must start with dk_test_")
    return settings


def _check_url(name: str, url: str | None) -> None:
    if url is not None and not url.startswith(("http://", "https://")):
        raise BadSettings(f"{name} has to start with http:// or https://, not {url!r}")


def _check_secret(secret: str | None) -> None:
    try:
        if secret is not None:
            signatures.key_of(secret)
    except ValueError as error:
        raise BadSettings(f"_WEBHOOK_SECRET cannot be used: {error}") from error


def _credentials(env: Mapping[str, str]) -> dict[str, Credential]:
    prefixes = {
        name.removesuffix(suffix)
        for name in env
        for suffix in ("_API_KEY", "_BASE_URL", "_LOCATION", "_WEBHOOK_SECRET")
        if name.endswith(suffix)
    }
    return {
        prefix: Credential(
            env.get(f"{prefix}_API_KEY"),
            _base_url(env.get(f"{prefix}_BASE_URL")),
            env.get(f"{prefix}_LOCATION"),
            env.get(f"{prefix}_WEBHOOK_SECRET"),
        )
        for prefix in prefixes
    }


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _base_url(url: str | None) -> str | None:
    return url.rstrip("/") if url else None


def _origins(text: str | None) -> tuple[str, ...]:
    """As browsers write them, for they are compared letter by letter."""
    origins = tuple(origin.strip() for origin in text.split(",")) if text else ()
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise BadSettings(
                "DARKROOM_CORS_ORIGINS lists * or origins such as https://app.example or "
                f"http://localhost:3000, without a path and in small letters, not {origin!r}"
            )
    return origins


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _port(text: str) -> int:
    if not text.isdigit() or not 0 <= int(text) <= 65535:
        raise BadSettings(f"PORT must be a number up to 65535, not {text!r}")
    return int(text)

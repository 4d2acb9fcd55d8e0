"""Cloud Storage, measured: `python -m tests.benchmarks.storage [--rounds 3] [--pictures 96]`.

A picture of 1.3 MB is written, and read, by ours, by the same request through httpx, and by
Google's client in sixteen threads; each in a process of its own against one fake-gcs-server, one
after the other, round by round. Printed as JSON and as a table: the medians of the wall time and of
this side's processor time for each picture, memory beyond that of an idle process while a hundred
are written at once, and what the import takes. Linux only.

The server, in Go, takes more of the machine than any of them: the wall times are mostly its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Protocol

BYTES = 1_300_000
CROWD = 100
AT_ONCE = (1, 32)
WAYS = ("ours", "httpx", "google")
MODULES = {"ours": "shared.storage.gcs", "httpx": "httpx", "google": "google.cloud.storage"}
PHASES = [(verb, n) for verb in ("put", "get") for n in AT_ONCE]
FIGURES = (
    *(f"{verb}_{n}_{what}" for verb, n in PHASES for what in ("cpu_ms", "ms")),
    *("crowd_mb", "import_ms", "after_firestore_ms"),
)


class Way(Protocol):
    """One way to write and read an object."""

    async def put(self, name: str, data: bytes) -> None: ...

    async def get(self, name: str) -> bytes: ...

    async def close(self) -> None: ...


class Ours:
    """The store itself."""

    def __init__(self, url: str, bucket: str) -> None:
        from shared.storage.gcs import Gcs
        from shared.storage.gcs_session import Host

        self._store = Gcs(bucket, Host(url, account=None))

    async def put(self, name: str, data: bytes) -> None:
        assert await self._store.put(name, data, "image/png", {"route": "r"})

    async def get(self, name: str) -> bytes:
        blob = await self._store.get(name)
        assert blob
        return blob.data

    async def close(self) -> None:
        await self._store.close()


class Httpx:
    """The store's requests by httpx's own transport."""

    def __init__(self, url: str, bucket: str) -> None:
        import httpx

        from shared.storage import gcs

        self._url, self._bucket = url, bucket
        limits = httpx.Limits(max_connections=64)
        self._http = httpx.AsyncClient(limits=limits, timeout=60, trust_env=False)
        self._upload, self._crc32c = gcs._upload, gcs._crc32c

    async def put(self, name: str, data: bytes) -> None:
        facts = {"name": name, "metadata": {"route": "r"}, "crc32c": self._crc32c(data)}
        call = self._upload(self._bucket, facts, data, "image/png")
        headers = {**call.headers, "content-length": str(sum(map(len, call.body)))}

        async def parts() -> AsyncIterator[bytes]:
            for part in call.body:
                yield part

        url = self._url + call.path
        answer = await self._http.post(url, content=parts(), headers=headers)
        assert answer.status_code == 200

    async def get(self, name: str) -> bytes:
        answer = await self._http.get(f"{self._url}/{self._bucket}/{name}")
        assert answer.status_code == 200
        return answer.content

    async def close(self) -> None:
        await self._http.aclose()


class Google:
    """Google's client, one request each, in threads: what the store was until November 2026."""

    def __init__(self, url: str, bucket: str) -> None:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage
        from requests.adapters import HTTPAdapter

        client = storage.Client(
            project="test",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": url},
        )
        client._bucket_metadata_cache = None
        client._http.mount("http://", HTTPAdapter(pool_maxsize=16))
        self._client, self._bucket = client, client.bucket(bucket)
        self._threads = ThreadPoolExecutor(16)

    async def put(self, name: str, data: bytes) -> None:
        def write() -> None:
            blob = self._bucket.blob(name)
            blob.metadata = {"route": "r"}
            blob.upload_from_string(
                data, content_type="image/png", checksum="crc32c", if_generation_match=0
            )

        await asyncio.get_running_loop().run_in_executor(self._threads, write)

    async def get(self, name: str) -> bytes:
        def read() -> bytes:
            data: bytes = self._bucket.blob(name).download_as_bytes(raw_download=True)
            return data

        return await asyncio.get_running_loop().run_in_executor(self._threads, read)

    async def close(self) -> None:
        self._threads.shutdown()
        self._client.close()


MADE: Mapping[str, Callable[[str, str], Way]] = {"ours": Ours, "httpx": Httpx, "google": Google}


async def figures(way: Way, pictures: int) -> dict[str, float]:
    """All of one round."""
    # Not all the same bytes, for whatever might notice; made once, as none of it is the store's.
    data, run = Random(7).randbytes(BYTES), secrets.token_hex(4)
    told: dict[str, float] = {}
    await _each(range(8), 8, lambda n: way.put(f"{run}/warm/{n}", data))
    for at_once in AT_ONCE:
        names = [f"{run}/{at_once}/{n}" for n in range(pictures)]

        async def written(n: int, names: Sequence[str] = names) -> None:
            await way.put(names[n], data)

        async def read(n: int, names: Sequence[str] = names) -> None:
            assert len(await way.get(names[n])) == BYTES

        for verb, work in (("put", written), ("get", read)):
            wall, cpu = time.monotonic(), time.process_time()
            await _each(range(pictures), at_once, work)
            told[f"{verb}_{at_once}_cpu_ms"] = (time.process_time() - cpu) / pictures * 1000
            told[f"{verb}_{at_once}_ms"] = (time.monotonic() - wall) / pictures * 1000
    idle = _memory("VmRSS:")
    _forget_peak()
    await _each(range(CROWD), CROWD, lambda n: way.put(f"{run}/crowd/{n}", data))
    told["crowd_mb"] = (_memory("VmHWM:") - idle) / 1e6
    await way.close()
    return told


async def _each(
    numbers: Sequence[int], at_once: int, work: Callable[[int], Awaitable[None]]
) -> None:
    """Do it for every number, so many at a time."""
    left = iter(numbers)

    async def worker() -> None:
        for n in left:
            await work(n)

    await asyncio.gather(*(worker() for _ in range(at_once)))


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def imports(module: str, before: str = "sys") -> float:
    """Milliseconds that a module's import takes where another was imported before."""
    code = (
        f"import sys, time, {before}; begun = time.monotonic(); import {module};"
        "print((time.monotonic() - begun) * 1000)"
    )
    return float(_python("-c", code))


def _python(*command: str) -> str:
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=True, env=env
    )
    return done.stdout.splitlines()[-1]


def measured(rounds: int, pictures: int) -> dict[str, dict[str, float]]:
    """By way, the medians of each figure."""
    from tests.emulators.storage import new_bucket, serving

    told: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for way in WAYS:
        imports(MODULES[way])
    for _ in range(rounds):
        for way in WAYS:
            # Its memory is all it has: one for each, or the last would meet a fuller one.
            with serving() as url:
                said = _python(
                    *("-m", "tests.benchmarks.storage", "--way", way, "--url", url),
                    *("--bucket", new_bucket(url), "--pictures", str(pictures)),
                )
            one: dict[str, float] = json.loads(said)
            one["import_ms"] = imports(MODULES[way])
            one["after_firestore_ms"] = imports(MODULES[way], "google.cloud.firestore, httpx")
            told[way].append(one)
    return {
        way: {name: round(statistics.median(one[name] for one in runs), 2) for name in FIGURES}
        for way, runs in told.items()
    }


def table(told: Mapping[str, Mapping[str, float]]) -> str:
    """A line for each figure."""
    lines = [f"{'':20}" + "".join(f"{way:>10}" for way in told)]
    lines += [
        f"{name:20}" + "".join(f"{one[name]:10.2f}" for one in told.values()) for name in FIGURES
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure all ways, or, as a process of its own, one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=96, help="written and read in each phase")
    for own in ("--way", "--url", "--bucket"):
        parser.add_argument(own, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        told = asyncio.run(figures(MADE[given.way](given.url, given.bucket), given.pictures))
        sys.stdout.write(f"{json.dumps(told)}\n")
        return
    results = measured(given.rounds, given.pictures)
    sys.stdout.write(f"{json.dumps(results, indent=2)}\n\n{table(results)}\n")


if __name__ == "__main__":
    main()

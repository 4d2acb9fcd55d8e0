"""One function, loaded as the framework loads it and asked once in this process, for
`tests.benchmarks.cold_start`, which says on the command line when the process was started.

Imports nothing before the clock is read but what Python has loaded anyway, and prints JSON:
milliseconds since the start, or of work until the answer (`cpu_ms`), and megabytes.
"""

from __future__ import annotations

import sys
import time

BEGUN = time.monotonic()


def _load(function: str) -> object:
    from functions_framework import aio

    return aio.create_asgi_app(function, "main.py")


async def _answer(served: object, asked: dict[str, object]) -> tuple[int, float]:
    """The status of an answer, and when it was there."""
    import httpx

    transport = httpx.ASGITransport(served)  # type: ignore[arg-type] # the framework is untyped
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        response = await client.request(**asked)  # type: ignore[arg-type] # as the table has it
        return response.status_code, time.monotonic()


def _introduce() -> None:
    """Put the test key of the environment into its data folder."""
    import asyncio

    from shared import app, local, settings

    async def introduced() -> None:
        darkroom = app.build(local.completed(settings.Settings.from_env()))
        await local.introduce(darkroom)
        await darkroom.close()

    asyncio.run(introduced())


def main() -> None:
    """Take the function, the request and the time of the start from the command line."""
    if sys.argv[1:] == ["introduce"]:
        _introduce()
        return
    function, request, started = sys.argv[1:]
    served = _load(function)
    loaded = time.monotonic()

    import asyncio
    import json
    import resource

    status, answered = asyncio.run(_answer(served, json.loads(request)))
    cpu = time.process_time()
    since = float(started)
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = {
        "status": status,
        "python_ms": round((BEGUN - since) * 1000, 1),
        "loaded_ms": round((loaded - since) * 1000, 1),
        "answered_ms": round((answered - since) * 1000, 1),
        "cpu_ms": round(cpu * 1000, 1),
        "memory_mb": round(kib * 1024 / 1e6, 1),
        "modules": len(sys.modules),
    }
    sys.stdout.write("\n" + json.dumps(told) + "\n")


if __name__ == "__main__":
    main()

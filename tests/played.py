"""The providers as the sandbox plays them, reached by a live key: what came is counted, and an
answer may be put in the way of any of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import httpx

from shared.catalogue import load
from shared.sandbox import InProcess, Sandbox

HOSTS = {
    "generativelanguage.googleapis.com": "google",
    "api.openai.com": "openai",
    "api.3daistudio.com": "threedaistudio",
}


class Played:
    """An answer for `tests.darkroom.play`. `instead` may answer a request in the sandbox's place,
    by returning a response or raising; what it returns None for goes on to the sandbox."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._inner = InProcess(Sandbox(load(), clock))
        self.calls: list[tuple[str, str]] = []
        self.instead: Callable[[httpx.Request], httpx.Response | None] = lambda _: None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.calls.append((request.method, request.url.path))
        answer = self.instead(request)
        if answer is not None:
            return answer
        home = f"http://sandbox/{HOSTS[request.url.host]}"
        played = httpx.Request(
            request.method,
            f"{home}{request.url.raw_path.decode()}",
            headers=request.headers,
            content=request.content,
        )
        response = await self._inner.handle_async_request(played)
        # The sandbox gives its own address, as each host does.
        address = response.headers.get("x-goog-upload-url")
        if address is not None:
            own = f"https://{request.url.host}"
            response.headers["x-goog-upload-url"] = address.replace(home, own)
        return response

    def count(self, method: str, ending: str) -> int:
        """How many calls of that method had a path with that ending."""
        return sum(m == method and path.endswith(ending) for m, path in self.calls)

"""What lies between Firestore's client and the emulator in a benchmark: every call counted, and the
documents that are written held to so many writes a second each.

The model of that limit (cloud.google.com/firestore/docs/best-practices, 2026-11, advises one write
a second to a document and says that more of them wait or fail): a commit waits until all documents
it writes are free, in the order of arrival at each, and they are free again a second after. Its
preconditions hold or not when it is let through, so what has waited may be stale by then. A
document is as free as any before it is first written.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import grpc
from google.cloud.firestore_v1.types import CommitRequest
from grpc.aio import AioRpcError


@dataclass
class Calls:
    """The calls by method, those refused for a precondition, and the limit. `writes_a_second` is
    of one document; None is no limit."""

    writes_a_second: float | None = None
    made: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    _order: defaultdict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )
    _free_at: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        """Count from here, and let all documents be free."""
        self.made.clear()
        self.refused = 0
        self._free_at.clear()

    async def commit(self, request: CommitRequest, send: Any) -> Any:
        """Send a commit once the documents are free that it writes."""
        if self.writes_a_second is None:
            return await send()
        names = sorted({write.update.name or write.delete for write in request.writes})
        async with AsyncExitStack() as held:
            for name in names:
                await held.enter_async_context(self._order[name])
            free_at = max(self._free_at.get(name, 0.0) for name in names)
            await asyncio.sleep(max(0.0, free_at - time.monotonic()))
            call = await send()
            try:
                await call
            except AioRpcError:
                # Nothing was written.
                return call
            after = time.monotonic() + 1 / self.writes_a_second
            self._free_at |= dict.fromkeys(names, after)
            return call


class _Unary(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc] # of no type
    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        method = _method(details)
        self.calls.made[method] += 1
        if method != "Commit":
            return await continuation(details, request)
        call = await self.calls.commit(request, lambda: continuation(details, request))
        if call.done() and await call.code() != grpc.StatusCode.OK:
            self.calls.refused += 1
        return call


class _Stream(grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[misc] # of no type
    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        self.calls.made[_method(details)] += 1
        return await continuation(details, request)


def _method(details: Any) -> str:
    name = details.method
    return str(name.decode() if isinstance(name, bytes) else name).rpartition("/")[2]


@contextmanager
def watched(writes_a_second: float | None = None) -> Iterator[Calls]:
    """What every Firestore client sends that is opened meanwhile."""
    calls, channel = Calls(writes_a_second), grpc.aio.insecure_channel

    def opened(target: str, **options: Any) -> Any:
        return channel(target, interceptors=[_Unary(calls), _Stream(calls)], **options)

    with patch.object(grpc.aio, "insecure_channel", opened):
        yield calls

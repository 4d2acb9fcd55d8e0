"""What goes over the Firestore client's gRPC channel: every call counted, and faults between."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata


@dataclass
class Wire:
    """What went over the channel. `faults` are met by the next commits, in turn: the status each
    answers with, and whether the server still received it."""

    calls: list[str] = field(default_factory=list)
    queries: list[Any] = field(default_factory=list)
    faults: list[tuple[grpc.StatusCode, bool]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    async def counted(self, call: Awaitable[Any]) -> list[str]:
        """The methods that one call came to."""
        self.calls.clear()
        await call
        return list(self.calls)


class _Unary(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc] # of no type
    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self.wire.calls.append(_method(details))
        if not self.wire.faults:
            return await continuation(details, request)
        status, received = self.wire.faults.pop(0)
        if received:
            await (await continuation(details, request))
        raise AioRpcError(status, Metadata(), Metadata(), "a fault of the test")


class _Stream(grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[misc] # of no type
    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        self.wire.calls.append(_method(details))
        if _method(details) == "RunQuery":
            # Here, for every run of the tests reads this file, and the library takes half a second.
            from google.cloud.firestore_v1.types import RunQueryRequest

            self.wire.queries.append(RunQueryRequest(request).structured_query)
        return await continuation(details, request)


def _method(details: Any) -> str:
    name = details.method
    return str(name.decode() if isinstance(name, bytes) else name).rpartition("/")[2]


@pytest.fixture
def wire(firestore_emulator: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    wire, channel = Wire(), grpc.aio.insecure_channel

    def watched(target: str, **options: Any) -> Any:
        return channel(target, interceptors=[_Unary(wire), _Stream(wire)], **options)

    monkeypatch.setattr(grpc.aio, "insecure_channel", watched)
    yield wire
    assert not wire.faults

"""A proxy on loopback between a Firestore client and the emulator, which counts what is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import grpc
from google.cloud.firestore_v1.types import CommitRequest

from tests.emulators.firestore import emulating

_METHODS = "/google.firestore.v1.Firestore/"
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_OWN = ("user-agent", "grpc-accept-encoding", "accept-encoding")
"""Headers that each channel has of its own."""
_CALLS_AT_ONCE = 32


@dataclass
class Writes:
    """What was written: documents, the commits that they came in, and the largest one's bytes."""

    documents: int = 0
    commits: int = 0
    largest_bytes: int = 0

    def begin(self) -> None:
        """Count from here."""
        self.documents = self.commits = self.largest_bytes = 0

    def note(self, method: str, said: bytes) -> None:
        """Count a call that succeeded. Raises AssertionError for a way to write not known here."""
        assert method != f"{_METHODS}BatchWrite", "count its writes too"
        if method == f"{_METHODS}Commit":
            self.documents += len(CommitRequest.deserialize(said).writes)
            self.commits += 1
            self.largest_bytes = max(self.largest_bytes, len(said))


class _Proxy(grpc.GenericRpcHandler):  # type: ignore[misc] # of no type
    """Passes every call on as it is: messages are bytes, so all kinds of call are one."""

    def __init__(self, upstream: grpc.Channel, writes: Writes) -> None:
        self._upstream = upstream
        self._writes = writes

    def service(self, details: Any) -> Any:
        """How a call is answered."""

        def answer(messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
            return self._passed(details.method, messages, context)

        return grpc.stream_stream_rpc_method_handler(answer)

    def _passed(self, method: str, messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
        said: list[bytes] = []

        def noted() -> Iterator[bytes]:
            for message in messages:
                said.append(message)
                yield message

        sent = [pair for pair in context.invocation_metadata() if pair[0] not in _OWN]
        call = self._upstream.stream_stream(method)(noted(), metadata=sent)
        context.add_callback(call.cancel)
        try:
            yield from call
        except grpc.RpcError as error:
            context.set_trailing_metadata(error.trailing_metadata() or ())
            context.abort(error.code(), error.details())
        self._writes.note(method, said[0] if said else b"")


@contextmanager
def counted() -> Iterator[Writes]:
    """An emulator, which this process and those it starts use meanwhile, and what they write."""
    with (
        emulating() as host,
        grpc.insecure_channel(host, options=_UNLIMITED) as upstream,
        ThreadPoolExecutor(_CALLS_AT_ONCE) as threads,
    ):
        writes = Writes()
        server = grpc.server(threads, handlers=[_Proxy(upstream, writes)], options=_UNLIMITED)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with patch.dict(os.environ, {"FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{port}"}):
                yield writes
        finally:
            server.stop(None).wait()

"""A Terraform provider that knows nothing but its schema. Terraform starts it as a plugin: protocol
6, go-plugin's handshake on stdout, plain gRPC on loopback (docs of HashiCorp, "Terraform Plugin
Protocol", 2026-10). Planning and applying are mocked by `terraform test`, so only the schema is
asked for; every configuration is called valid.

Usage: provider_stub.py SCHEMA_FILE
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

_LONGEST_LIFE_S = 600.0
_NESTING = {"single": 1, "list": 2, "set": 3}


def _varint(value: int) -> bytes:
    low, high = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(high) if high else bytes([low])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _attribute(name: str, attribute: dict[str, Any]) -> bytes:
    flags = ((4, "required"), (5, "optional"), (6, "computed"))
    return (
        _bytes(1, name.encode())
        + _bytes(2, json.dumps(attribute["type"]).encode())
        + b"".join(_number(field, 1) for field, flag in flags if attribute.get(flag))
    )


def _nested(name: str, nested: dict[str, Any]) -> bytes:
    return (
        _bytes(1, name.encode())
        + _bytes(2, _block(nested["block"]))
        + _number(3, _NESTING[nested["nesting_mode"]])
        + _number(4, nested.get("min_items", 0))
        + _number(5, nested.get("max_items", 0))
    )


def _block(block: dict[str, Any]) -> bytes:
    attributes = (_bytes(2, _attribute(*item)) for item in block["attributes"].items())
    blocks = (_bytes(3, _nested(*item)) for item in block["block_types"].items())
    return b"".join((*attributes, *blocks))


def encoded(schema: dict[str, Any]) -> bytes:
    """The message tfplugin6.GetProviderSchema.Response."""

    def named(field: int, blocks: dict[str, Any]) -> bytes:
        return b"".join(
            _bytes(field, _bytes(1, name.encode()) + _bytes(2, _bytes(2, _block(block))))
            for name, block in blocks.items()
        )

    provider = _bytes(1, _bytes(2, _block(schema["provider"])))
    return provider + named(2, schema["resources"]) + named(3, schema["data_sources"])


def serve(schema: dict[str, Any]) -> None:
    """Answer Terraform until it says goodbye."""
    answer, goodbye = encoded(schema), threading.Event()

    def handlers(service: str, calls: dict[str, Callable[[], bytes]]) -> Any:
        def handler(call: Callable[[], bytes]) -> Any:
            return grpc.unary_unary_rpc_method_handler(lambda _request, _context: call())

        methods = {name: handler(call) for name, call in calls.items()}
        return grpc.method_handlers_generic_handler(service, methods)

    def stop() -> bytes:
        goodbye.set()
        return b""

    calls = {
        "GetProviderSchema": lambda: answer,
        "ValidateProviderConfig": bytes,
        "ValidateResourceConfig": bytes,
        "ValidateDataResourceConfig": bytes,
        "ConfigureProvider": bytes,
        "StopProvider": bytes,
    }
    server = grpc.server(ThreadPoolExecutor(4))
    provider = handlers("tfplugin6.Provider", calls)
    controller = handlers("plugin.GRPCController", {"Shutdown": stop})
    server.add_generic_rpc_handlers((provider, controller))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"1|6|tcp|127.0.0.1:{port}|grpc|\n")
    sys.stdout.flush()
    goodbye.wait(_LONGEST_LIFE_S)
    server.stop(0).wait()


if __name__ == "__main__":
    serve(json.loads(Path(sys.argv[1]).read_text()))

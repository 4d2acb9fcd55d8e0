"""What is a binary glTF 2.0 file, and what only looks like one."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import glb


def file(
    text: bytes = b'{"asset": {"version": "2.0"}}   ',
    magic: bytes = b"glTF",
    version: int = 2,
    kind: bytes = b"JSON",
    more: int = 0,
) -> bytes:
    """A model that consists of words only; its header says `more` bytes than there are."""
    chunk = struct.pack("<I4s", len(text), kind) + text
    return struct.pack("<4sII", magic, version, 12 + len(chunk) + more) + chunk


@pytest.mark.parametrize("data", [file(), file(b" \n{}"), file() + b"what follows it"])
def test_a_model_has_its_bytes_and_no_size(data: bytes) -> None:
    found = glb.measure(data)
    assert found is not None
    assert (found.data, found.content_type) == (data, "model/gltf-binary")
    assert (found.width, found.height) == (0, 0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"glTF",
        b"\x89PNG\r\n\x1a\n" + bytes(40),
        b"<!DOCTYPE html><title>no such file</title>",
        file()[:-1],
        file(more=1),
        file(magic=b"GLTF"),
        file(version=1),
        file(kind=b"BIN\0"),
        file(b"[1, 2, 3]"),
        file(b""),
        file()[:12] + struct.pack("<I4s", 999, b"JSON") + b"{}",
    ],
)
def test_anything_else_is_none(data: bytes) -> None:
    assert glb.measure(data) is None


@settings(max_examples=30)
@given(st.binary(max_size=64), st.booleans())
def test_no_bytes_break_it(data: bytes, headed: bool) -> None:
    glb.measure((b"glTF\x02\0\0\0" if headed else b"") + data)

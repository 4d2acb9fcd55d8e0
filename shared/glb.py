"""Whether bytes are a 3D model as a binary glTF 2.0 file (Khronos glTF 2.0 specification, section
4.4): a header of 12 bytes with the length of the file, then chunks, the first of them JSON. Pure.
"""

from __future__ import annotations

import hashlib
import struct

from shared.domain import Picture

GLB_TYPE = "model/gltf-binary"
_HEAD = struct.Struct("<4sIII4s")
"""The header, and the length and kind of the first chunk."""
_NEAR = 64


def measure(data: bytes) -> Picture | None:
    """The model, without width and height; None when the bytes are no whole binary glTF 2.0. What
    comes after the length that it says stays: readers pass over it."""
    if len(data) < _HEAD.size:
        return None
    magic, version, length, chunk, kind = _HEAD.unpack_from(data)
    if (magic, version, kind) != (b"glTF", 2, b"JSON"):
        return None
    whole = _HEAD.size + chunk <= length <= len(data)
    if not whole or not data[_HEAD.size : _HEAD.size + _NEAR].lstrip().startswith(b"{"):
        return None
    return Picture(data, GLB_TYPE, 0, 0, hashlib.sha256(data).hexdigest())

"""A 3D model to fetch: a tetrahedron in colours of its own, as a binary glTF 2.0 file (Khronos
glTF 2.0 specification, sections 3 and 4.4), or as an OBJ in a zip. It fits a cube of two units."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from dataclasses import dataclass
from typing import ClassVar

from shared.sandbox.faults import PAGE

CORNERS = ((1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0))
FACES = ((0, 1, 2), (0, 3, 1), (0, 2, 3), (1, 3, 2))
"""Seen from outside, against the clock."""
FLOAT, UNSIGNED_BYTE, UNSIGNED_SHORT = 5126, 5121, 5123
VERTICES, INDICES = 34962, 34963
"""What a view of the buffer is for."""


@dataclass(frozen=True)
class Solid:
    """A model that is made once it is fetched: its key, of at least 12 bytes, gives the colours.
    `format` is glb or zip; `spoilt` says that there is no model in it."""

    asset_types: ClassVar = {"glb": "3D_MODEL", "zip": "ARCHIVE"}

    key: bytes
    caption: str
    format: str = "glb"
    min_bytes: int = 0
    spoilt: bool = False

    @property
    def asset_type(self) -> str:
        """What the vendor calls such a file."""
        return self.asset_types[self.format]

    def file(self) -> bytes:
        """The bytes to be fetched."""
        if self.spoilt:
            return PAGE
        return _archive() if self.format == "zip" else _glb(self)


def _glb(solid: Solid) -> bytes:
    points = struct.pack("<12f", *(length for corner in CORNERS for length in corner))
    colours = b"".join(solid.key[at : at + 3] + b"\xff" for at in range(0, 12, 3))
    faces = struct.pack("<12H", *(corner for face in FACES for corner in face))
    buffer = points + colours + faces
    text = _text(solid, len(buffer))
    missing = solid.min_bytes - (28 + len(text) + len(buffer))
    if missing > 0:
        # Nothing looks there. The number in the text may have grown too.
        buffer += bytes(missing + -missing % 4)
        text = _text(solid, len(buffer))
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(buffer), b"BIN\0") + buffer
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _text(solid: Solid, length: int) -> bytes:
    """What says how the buffer of that length is to be read, padded to whole words."""
    views = ((0, 48, VERTICES), (48, 16, VERTICES), (64, 24, INDICES))
    accessors = [
        {"componentType": FLOAT, "count": 4, "type": "VEC3", "min": [-1] * 3, "max": [1] * 3},
        {"componentType": UNSIGNED_BYTE, "count": 4, "type": "VEC4", "normalized": True},
        {"componentType": UNSIGNED_SHORT, "count": 12, "type": "SCALAR"},
    ]
    drawn = {"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2, "material": 0}
    document = {
        "asset": {"version": "2.0", "generator": "Darkroom sandbox"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": f"Sandbox: {solid.caption}"}],
        "meshes": [{"primitives": [drawn]}],
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0}}],
        "accessors": [{"bufferView": n, **accessor} for n, accessor in enumerate(accessors)],
        "bufferViews": [
            {"buffer": 0, "byteOffset": at, "byteLength": size, "target": target}
            for at, size, target in views
        ],
        "buffers": [{"byteLength": length}],
    }
    text = json.dumps(document).encode()
    return text + b" " * (-len(text) % 4)


def _archive() -> bytes:
    lines = ["# Darkroom sandbox", *("v {} {} {}".format(*corner) for corner in CORNERS)]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in FACES]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("model.obj"), "\n".join(lines) + "\n")
    return file.getvalue()

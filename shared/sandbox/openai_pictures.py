"""Pictures as OpenAI takes and makes them: PNG, JPEG or WebP of a chosen quality, transparent where
that is wanted, and masks with an alpha channel."""

from __future__ import annotations

import io
import struct
from dataclasses import replace

from PIL import Image, ImageDraw, PngImagePlugin

from shared.sandbox.painter import BadPicture, Picture, paint


def make(picture: Picture, quality: int | None, transparent: bool) -> bytes:
    """The picture as a file; `quality` is that of a JPEG or WebP, 100 if not given. A transparent
    one has no corners. A JPEG of a least size is of no other quality."""
    as_painted = {"png": not transparent, "jpeg": quality is None or picture.min_bytes > 0}
    if as_painted.get(picture.format):
        return paint(picture)
    plain = paint(replace(picture, format="png", min_bytes=0))
    with Image.open(io.BytesIO(plain)) as canvas:
        painted = canvas.convert("RGBA" if transparent else "RGB")
    if transparent:
        shape = Image.new("L", painted.size, 0)
        edge = (painted.width - 1, painted.height - 1)
        ImageDraw.Draw(shape).rounded_rectangle((0, 0, *edge), min(painted.size) // 4, fill=255)
        painted.putalpha(shape)
    return _encoded(painted, picture.format, quality, picture.min_bytes)


def alpha_size(data: bytes) -> tuple[tuple[int, int], bool]:
    """The size of a mask, and whether it has an alpha channel. Raises BadPicture."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "WEBP")) as mask:
            return mask.size, mask.has_transparency_data
    except Exception as error:
        # Over bytes of a stranger, Pillow's readers raise nearly anything.
        raise BadPicture(str(error)) from error


def _encoded(painted: Image.Image, kind: str, quality: int | None, least: int) -> bytes:
    file = io.BytesIO()
    if kind == "png":
        padding = PngImagePlugin.PngInfo()
        if least:
            padding.add(b"paDd", bytes(least))
        painted.save(file, "PNG", compress_level=1, pnginfo=padding)
        return file.getvalue()
    best = 100 if quality is None else quality
    if kind == "jpeg":
        painted.save(file, "JPEG", quality=best)
        return file.getvalue()
    painted.save(file, "WEBP", quality=best, method=0)
    return _longer(file.getvalue(), least)


def _longer(webp: bytes, least: int) -> bytes:
    """A WebP with a chunk of nothing at its end."""
    missing = least - len(webp)
    if missing <= 0:
        return webp
    size = missing + missing % 2
    longer = webp + b"paDd" + struct.pack("<I", size) + bytes(size)
    return longer[:4] + struct.pack("<I", len(longer) - 8) + longer[8:]

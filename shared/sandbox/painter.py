"""Paints the sandbox's pictures: pretty, plainly marked, and the same bytes for the same `key`."""

from __future__ import annotations

import hashlib
import io
import math
import struct
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import ExifTags, Image, ImageDraw, ImageFont, ImageOps

from shared import sizes

SMALL = 512
"""The long side in pixels of the first coat, which is then scaled up: speed, and soft edges."""
LARGEST_SOURCE_PIXELS = 89_000_000
THUMBNAILS = 3


class BadPicture(Exception):
    """The bytes are not a whole picture."""


@dataclass(frozen=True)
class Source:
    """A picture that was sent: its size in pixels as displayed, and a small copy."""

    width: int
    height: int
    thumbnail: Image.Image | None = field(repr=False)


@dataclass(frozen=True)
class Picture:
    """What to paint. `key` decides colours and shapes; `size` is (width, height) in pixels;
    `format` is png or jpeg; the file is at least `min_bytes` long."""

    key: bytes
    model: str
    caption: str
    size: tuple[int, int]
    format: str
    sources: tuple[Source, ...] = ()
    min_bytes: int = 0


def look(data: bytes) -> Source:
    """Read a picture that was sent, EXIF orientation applied. Raises BadPicture."""
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypheif"):
        return Source(1, 1, None)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as picture:
            size = picture.size
            if math.prod(size) > LARGEST_SOURCE_PIXELS:
                raise BadPicture(f"{size[0]}x{size[1]} pixels are too many")
            picture.draft("RGB", (SMALL, SMALL))
            turned = picture.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            # First to RGB: Pillow cannot scale every kind of pixel.
            plain = picture.convert("RGB")
            plain.thumbnail((SMALL, SMALL))
            upright = ImageOps.exif_transpose(plain)
    except Exception as error:
        # Over bytes of a stranger, Pillow's readers raise nearly anything.
        raise BadPicture(str(error)) from error
    width, height = size[::-1] if turned else size
    return Source(width, height, upright)


def fitting(sources: Sequence[Source], ratios: Sequence[str]) -> str:
    """The ratio most like the first source, or the first ratio without one."""
    return sizes.nearest((sources[0].width, sources[0].height), ratios) if sources else ratios[0]


def paint(picture: Picture) -> bytes:
    """The picture as a file of exactly its size and format."""
    dice = hashlib.shake_256(picture.key).digest(256)
    scale = SMALL / max(picture.size)
    small = tuple(max(1, round(side * scale)) for side in picture.size)
    canvas = _scenery((small[0], small[1]), dice).resize(picture.size, Image.Resampling.BICUBIC)
    _hang(canvas, picture.sources)
    _mark(canvas, picture)
    data = _encoded(canvas, picture.format)
    missing = picture.min_bytes - len(data)
    return data if missing <= 0 else _padded(data, picture.format, missing)


def _scenery(size: tuple[int, int], dice: bytes) -> Image.Image:
    width, height = size
    corners = Image.frombytes("RGB", (2, 2), bytes(64 + byte // 2 for byte in dice[:12]))
    canvas = corners.resize(size, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(canvas, "RGBA")
    for place in range(12, 12 + 8 * 6, 6):
        x, y, r, *colour = dice[place : place + 6]
        radius = (0.08 + r / 255 * 0.3) * min(size)
        centre = (x / 255 * width, y / 255 * height)
        box = [(centre[0] - radius, centre[1] - radius), (centre[0] + radius, centre[1] + radius)]
        draw.ellipse(box, fill=(*colour, 90))
    for hill in range(3):
        bumps, shade = dice[60 + hill * 4 : 64 + hill * 4], 70 - 20 * hill
        draw.polygon(_hill(size, bumps, 0.55 + 0.12 * hill), fill=(shade, shade, shade + 40, 150))
    return canvas


def _hill(size: tuple[int, int], bumps: bytes, level: float) -> list[tuple[float, float]]:
    width, height = size
    waves = 1 + bumps[0] % 3
    steps = [step / 48 for step in range(49)]
    crest = [
        (x * width, height * (level + 0.08 * math.sin(waves * math.tau * x + bumps[1] / 40)))
        for x in steps
    ]
    return [(0, height), *crest, (width, height)]


def _hang(canvas: Image.Image, sources: Sequence[Source]) -> None:
    shown = [source.thumbnail for source in sources if source.thumbnail is not None][:THUMBNAILS]
    for place, thumbnail in enumerate(shown):
        room = (canvas.width * 3 // 4 // len(shown), canvas.height // 2)
        photo = ImageOps.contain(thumbnail, (max(1, room[0]), max(1, room[1])))
        left = (canvas.width * (2 * place + 1) // len(shown) - photo.width) // 2
        top = (canvas.height * 3 // 4 - photo.height) // 2
        frame = max(1, min(canvas.size) // 150)
        around = (left - frame, top - frame, left + photo.width + frame, top + photo.height + frame)
        canvas.paste((255, 255, 255), around)
        canvas.paste(photo, (left, top))


def _mark(canvas: Image.Image, picture: Picture) -> None:
    """The band that tells everyone this is no real picture."""
    width, height = canvas.size
    line = max(8, min(height // 20, width // 22))
    top = height - round(3.4 * line)
    draw = ImageDraw.Draw(canvas, "RGBA")
    draw.rectangle((0, top, width, height), fill=(16, 16, 24, 200))
    rows = ("SANDBOX", 1.2, picture.model), ("", 0.75, picture.caption)
    y = top + line * 0.3
    for word, grow, text in rows:
        font = ImageFont.load_default(line * grow)
        draw.text(
            (line * 0.5, y), _fitted(f"{word}  {text}".strip(), font, width - line), font=font
        )
        y += line * 1.6


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    # Pillow's own font has the letters of ASCII and little else.
    drawable = unicodedata.normalize("NFKD", text[:120]).encode("ascii", "ignore").decode()
    while drawable and font.getlength(drawable) > width:
        drawable = drawable[: -1 - len(drawable) // 16]
    return drawable


def _encoded(canvas: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "png":
        canvas.save(file, "PNG", compress_level=1)
    else:
        canvas.save(file, "JPEG", quality=85)
    return file.getvalue()


def _padded(data: bytes, kind: str, missing: int) -> bytes:
    if kind == "png":
        header = len(b"\x89PNG\r\n\x1a\n") + 25
        return data[:header] + _png_chunk(max(0, missing - 12)) + data[header:]
    header = 4 + int.from_bytes(data[4:6], "big")
    return data[:header] + _jpeg_comments(missing) + data[header:]


def _png_chunk(length: int) -> bytes:
    kind_and_body = b"paDd" + bytes(length)
    return struct.pack(">I", length) + kind_and_body + struct.pack(">I", zlib.crc32(kind_and_body))


def _jpeg_comments(missing: int) -> bytes:
    comments = bytearray()
    while len(comments) < missing:
        length = min(65533, max(0, missing - len(comments) - 4))
        comments += b"\xff\xfe" + struct.pack(">H", length + 2) + bytes(length)
    return bytes(comments)

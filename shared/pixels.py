"""What a picture is, read from its bytes and never from its name: pictures on their way in are
checked whole, those on their way out measured and, if asked, converted. Whatever the bytes are,
Pillow's errors become ours. It all wants a thread.

Pillow is imported when the first picture comes, which to many functions never does.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING

from shared.domain import IMAGE_TYPES, Picture, Source
from shared.errors import (
    DarkroomError,
    InvalidRequest,
    PayloadTooLarge,
    ProviderError,
    UnsupportedImage,
)

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 64_000_000
MAX_SIDE = 16_384
# A WebP is unpacked as soon as it is opened, at up to 16 bytes a pixel.
MAX_WEBP_PIXELS = 24_000_000
# Of the pieces a file is made of, before its pixels: each costs time, and needs hardly a byte.
MAX_PIECES = 4_096
MAX_SCANS = 100
DEFAULT_QUALITY = 90

_SIGNATURES: dict[str, bytes | tuple[bytes, ...]] = {
    "png": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff",
    "a GIF": b"GIF8",
    "a BMP": b"BM",
    "a TIFF": (b"II*\0", b"MM\0*"),
    "a PDF": b"%PDF",
    "an icon": b"\0\0\1\0",
    "a gzip file": b"\x1f\x8b",
}
_BRANDS = {b"avif": "an AVIF", b"avis": "an AVIF", b"heic": "a HEIC", b"mif1": "a HEIF"}
_RGB_MODES = ("RGB", "RGBA", "P")
_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
# A decoded picture can take 256 MB, so however many requests are in flight, one is decoded at once.
_DECODING = Lock()
_OPENING = Lock()


class _TooLarge(Exception):
    """It would take long, or much, to open."""


def inspect(data: bytes, field: str) -> Source:
    """A caller's picture, decoded once to see that it is whole. `field` is named in errors.

    Raises UnsupportedImage unless it is one whole still PNG, JPEG or WebP, and PayloadTooLarge
    for more bytes or, before anything is decoded, more pixels than are taken. An animation is
    refused: which of its frames is meant, each provider would decide for itself.
    """
    if len(data) > MAX_BYTES:
        raise PayloadTooLarge(
            f"The image has {len(data)} bytes; at most {MAX_BYTES} are taken.", param=field
        )
    kind = _kind(data)
    if kind not in IMAGE_TYPES:
        raise UnsupportedImage(f"A PNG, JPEG or WebP image is needed; this is {kind}.", param=field)
    with _opened(data, kind, field) as (image, orientation):
        if kind != "jpeg" and getattr(image, "n_frames", 1) > 1:
            raise UnsupportedImage("The image is animated: send one still frame.", param=field)
        width, height = _displayed(image, orientation)
        if kind == "png" and not _ends(data, kind):
            raise EOFError("no IEND chunk")
        _decode(image)
    return Source(data, IMAGE_TYPES[kind], width, height)


def check_mask(mask: Source, first: Source, field: str) -> None:
    """Raise InvalidRequest unless the mask is a PNG with alpha, as large as the first image."""
    with _opened(mask.data, _kind(mask.data), field) as (image, _):
        transparent = mask.content_type == IMAGE_TYPES["png"] and image.has_transparency_data
    if not transparent:
        raise InvalidRequest(
            "The mask must be a PNG with an alpha channel, transparent where to edit.", param=field
        )
    if (mask.width, mask.height) != (first.width, first.height):
        raise InvalidRequest(
            f"The mask is {mask.width}x{mask.height} and the first image "
            f"{first.width}x{first.height}: they must have the same size.",
            param=field,
        )


def measure(data: bytes) -> Picture | None:
    """A provider's picture, by its header and its end alone; only a JPEG whose end is not plain to
    see is decoded. None when it is no whole PNG, JPEG or WebP."""
    kind = _kind(data)
    if kind not in IMAGE_TYPES:
        return None
    try:
        with _opened(data, kind, None) as (image, orientation):
            width, height = _displayed(image, orientation)
            if not _ends(data, kind):
                if kind != "jpeg":
                    return None
                _decode(image)
    except DarkroomError:
        return None
    return Picture(data, IMAGE_TYPES[kind], width, height, hashlib.sha256(data).hexdigest())


def converted(picture: Picture, output_format: str, quality: int | None) -> Picture:
    """The picture as png, jpeg or webp: upright, its colour profile kept, for jpeg laid on white.
    `quality` (1 to 100) is for jpeg and webp. Raises ProviderError when it cannot be decoded."""
    buffer = io.BytesIO()
    try:
        with _opened(picture.data, _kind(picture.data), None) as (image, orientation), _DECODING:
            profile = image.info.get("icc_profile") if image.mode in _RGB_MODES else None
            upright = _upright(image, orientation)
            upright = _on_white(upright) if output_format == "jpeg" else upright
            upright.save(
                buffer, output_format, quality=quality or DEFAULT_QUALITY, icc_profile=profile
            )
    except DarkroomError as error:
        raise ProviderError(
            "The provider's picture could not be converted.", private=error.private
        ) from error
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    return Picture(data, IMAGE_TYPES[output_format], upright.width, upright.height, digest)


def _kind(data: bytes) -> str:
    """An output format, or what else the bytes are, in words."""
    for kind, signature in _SIGNATURES.items():
        if data.startswith(signature):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "a video or an unknown image")
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"<"):
        return "an SVG" if b"<svg" in head else "HTML or XML"
    if not data:
        return "empty"
    return "text" if data[:1024].isascii() and b"\0" not in head else "none that is known"


@contextmanager
def _opened(data: bytes, kind: str, field: str | None) -> Iterator[tuple[Image.Image, int]]:
    """The picture with its header read, and its EXIF orientation. Raises PayloadTooLarge for its
    size and UnsupportedImage for whatever goes wrong while it is open."""
    from PIL.Image import DecompressionBombError

    try:
        _check_pieces(data, kind)
        image, orientation = _header(data, kind)
        with image:
            yield image, orientation
    except DarkroomError:
        raise
    except (_TooLarge, DecompressionBombError) as error:
        raise PayloadTooLarge(
            f"The image is too large: at most {MAX_PIXELS // 1_000_000} million pixels "
            f"({MAX_WEBP_PIXELS // 1_000_000} million as WebP) and {MAX_SIDE} a side are taken, "
            "in no more pieces than a camera or a program makes.",
            param=field,
            private=str(error),
        ) from error
    except Exception as error:
        raise UnsupportedImage(
            "The image is damaged or cut off.", param=field, private=repr(error)
        ) from error


def _check_pieces(data: bytes, kind: str) -> None:
    """Raise _TooLarge for a file that is small and takes long, or much, to open."""
    if kind == "webp":
        width, height = _webp_size(data)
        if width * height > MAX_WEBP_PIXELS:
            raise _TooLarge(f"a WebP of {width}x{height}")
    if kind == "jpeg" and data.count(b"\xff\xda") > MAX_SCANS:
        raise _TooLarge(f"more than {MAX_SCANS} scans")
    pieces = {"png": _png_pieces, "jpeg": _jpeg_pieces}.get(kind)
    if pieces is not None and sum(1 for _ in islice(pieces(data), MAX_PIECES)) == MAX_PIECES:
        raise _TooLarge(f"more than {MAX_PIECES} pieces before its pixels")


def _png_pieces(data: bytes) -> Iterator[int]:
    at = 8
    while at + 8 <= len(data) and data[at + 4 : at + 8] != b"IDAT":
        yield at
        at += 12 + int.from_bytes(data[at : at + 4])


def _jpeg_pieces(data: bytes) -> Iterator[int]:
    at = 2
    while at + 4 <= len(data) and data[at + 1] != 0xDA:
        yield at
        filler = data[at + 1] == 0xFF
        at += 1 if filler else 2 + int.from_bytes(data[at + 2 : at + 4])


def _webp_size(data: bytes) -> tuple[int, int]:
    """As the header says (developers.google.com/speed/webp/docs/riff_container, 2026-11)."""
    if data[12:16] == b"VP8X":
        sides = data[24:27], data[27:30]
        return int.from_bytes(sides[0], "little") + 1, int.from_bytes(sides[1], "little") + 1
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    sides = data[26:28], data[28:30]
    return int.from_bytes(sides[0], "little") & 0x3FFF, int.from_bytes(sides[1], "little") & 0x3FFF


def _header(data: bytes, kind: str) -> tuple[Image.Image, int]:
    from PIL import Image

    # Pillow warns of what is odd in a caller's file; the log is no place for that. The lock is
    # there because warnings are switched off for all threads.
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(data), formats=(kind,))
        if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
            raise _TooLarge(f"{image.width}x{image.height}")
        return image, _orientation(image)


def _decode(image: Image.Image) -> None:
    # JPEG is read to its end all the same, but 64 times fewer pixels are made of it.
    image.draft(image.mode, (1, 1))
    with _DECODING:
        image.load()


def _ends(data: bytes, kind: str) -> bool:
    if kind == "png":
        # From its end, where it nearly always is: from its beginning all of it would be read.
        return data.rfind(b"IEND\xaeB`\x82") >= 0
    if kind == "jpeg":
        # Not anywhere: the thumbnail inside EXIF ends in the same way.
        return b"\xff\xd9" in data[-1024:]
    return len(data) >= 8 + int.from_bytes(data[4:8], "little")


def _orientation(image: Image.Image) -> int:
    """1 to 8. EXIF that cannot be read turns nothing, as in a browser."""
    from PIL import Image

    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        value = exif.get(_EXIF_ORIENTATION, 1)
    except Exception:
        return 1
    return value if value in _UPRIGHT else 1


def _displayed(image: Image.Image, orientation: int) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if orientation >= 5 else (width, height)


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I;16"):
        # Pillow would cut 16-bit grey off at 255 instead of scaling it.
        image = image.convert("I").point(lambda value: value / 256)
    plain = image.convert("RGBA" if image.has_transparency_data else "RGB")
    turn = _UPRIGHT.get(orientation)
    return plain if turn is None else plain.transpose(Image.Transpose[turn])


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")

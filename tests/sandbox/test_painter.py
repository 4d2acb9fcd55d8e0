"""Pictures: right size and format, the same for the same key, padded without harm."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from PIL import Image

from shared.sandbox.painter import BadPicture, Picture, look, paint
from tests.sandbox.conftest import opened, photo

pytestmark = pytest.mark.pictures

PICTURE = Picture(b"key", "gemini-3-pro-image", "A red bicycle, 自転車", (160, 90), "jpeg")


@pytest.mark.parametrize("kind", ["png", "jpeg"])
@pytest.mark.parametrize("size", [(1024, 1024), (192, 1536), (1536, 192), (792, 336)])
def test_a_picture_has_the_size_and_format_asked_for(kind: str, size: tuple[int, int]) -> None:
    picture = opened(paint(replace(PICTURE, size=size, format=kind)))
    assert (picture.size, picture.format) == (size, kind.upper())


def test_the_same_key_gives_the_same_bytes_and_another_key_others() -> None:
    assert paint(PICTURE) == paint(PICTURE)
    assert paint(PICTURE) != paint(replace(PICTURE, key=b"other"))


def test_the_band_names_the_sandbox_whatever_the_caption() -> None:
    """Dark at the bottom, with white letters in it, in every picture."""
    band = opened(paint(replace(PICTURE, size=(1024, 1024), caption=""))).convert("L")
    shades = band.crop((0, 900, 1024, 1024)).tobytes()
    assert min(shades) < 60
    assert max(shades) > 240


@pytest.mark.parametrize("kind", ["png", "jpeg"])
@pytest.mark.parametrize("extra", [1, 5, 70_000, 300_000])
def test_padding_reaches_the_size_and_leaves_the_picture_as_it_was(kind: str, extra: int) -> None:
    plain = paint(replace(PICTURE, format=kind))
    padded = paint(replace(PICTURE, format=kind, min_bytes=len(plain) + extra))
    assert len(plain) + extra <= len(padded) <= len(plain) + extra + 12
    assert opened(padded).tobytes() == opened(plain).tobytes()
    # Readers expect each format's own header first.
    assert padded[:20] == plain[:20]


def test_a_source_is_seen_upright_and_shown_in_the_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.new("RGB", (300, 200), "lime").save(file, "JPEG", exif=exif)
    source = look(file.getvalue())
    assert (source.width, source.height) == (200, 300)
    assert source.thumbnail is not None
    assert source.thumbnail.height > source.thumbnail.width
    painted = opened(paint(replace(PICTURE, size=(512, 512), sources=(source,)))).convert("RGB")
    pixel = painted.getpixel((256, 192))
    assert isinstance(pixel, tuple)
    assert pixel[1] > 200 > 80 > max(pixel[0], pixel[2])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_half_a_picture_is_no_picture(kind: str) -> None:
    data = photo(256, 256, kind=kind)
    assert look(data).width == 256
    with pytest.raises(BadPicture):
        look(data[: len(data) // 2])


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<svg/>", photo(kind="GIF")])
def test_bytes_of_another_kind_are_no_picture(data: bytes) -> None:
    with pytest.raises(BadPicture):
        look(data)

"""Pictures in and out: what is taken, what is refused and how it is said."""

from __future__ import annotations

import io
import random
import struct
import zlib

import pytest
from PIL import Image, ImageCms, ImageFile, ImageOps

from shared import pixels
from shared.domain import IMAGE_TYPES, Picture, Source
from shared.errors import (
    DarkroomError,
    InvalidRequest,
    PayloadTooLarge,
    ProviderError,
    UnsupportedImage,
)

KINDS = ("png", "jpeg", "webp")


def picture(
    kind: str = "png", size: tuple[int, int] = (40, 20), mode: str = "RGB", **options: object
) -> bytes:
    """A picture with some detail, left half unlike the right."""
    image = Image.linear_gradient("L").resize(size).convert(mode)
    image.paste(Image.new(mode, (size[0] // 2, size[1]), "red" if mode != "L" else 200), (0, 0))
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def oriented(orientation: int) -> bytes:
    """EXIF that says how to turn a picture."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


ZEROS = chunk(b"IDAT", zlib.compress(b"\0" * 20_000_000, 9))


def bomb(width: int, height: int) -> bytes:
    """A PNG that promises that size and weighs 20 kB."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + ZEROS + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_picture_is_taken_with_its_bytes_untouched(kind: str) -> None:
    data = picture(kind)
    assert pixels.inspect(data, "images[0]") == Source(data, IMAGE_TYPES[kind], 40, 20)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_is_as_displayed(kind: str, orientation: int) -> None:
    data = picture(kind, exif=oriented(orientation))
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    source = pixels.inspect(data, "images[0]")
    measured = pixels.measure(data)
    assert measured is not None
    assert (source.width, source.height) == shown.size
    assert (measured.width, measured.height) == shown.size


def test_a_phones_twelve_megapixels_are_taken() -> None:
    data = picture("jpeg", (4000, 3000), exif=oriented(6))
    source = pixels.inspect(data, "images[0]")
    assert (source.width, source.height) == (3000, 4000)


def test_a_phones_picture_with_a_second_one_inside_is_taken() -> None:
    buffer = io.BytesIO()
    first, second = Image.new("RGB", (40, 20)), Image.new("RGB", (10, 5))
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    source = pixels.inspect(buffer.getvalue(), "images[0]")
    assert (source.content_type, source.width, source.height) == ("image/jpeg", 40, 20)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "empty"),
        (b"hello, I am a picture", "text"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG"),
        (b"<?xml version='1.0'?>\n<svg/>", "an SVG"),
        (b"<!doctype html><title>404</title>", "HTML or XML"),
        (picture("gif"), "a GIF"),
        (picture("bmp"), "a BMP"),
        (picture("tiff"), "a TIFF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "an AVIF"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "a video or an unknown image"),
        (b"%PDF-1.7", "a PDF"),
        (bytes(range(200, 256)), "none that is known"),
    ],
)
def test_what_is_not_taken_is_named_beside_what_is(data: bytes, found: str) -> None:
    with pytest.raises(UnsupportedImage) as caught:
        pixels.inspect(data, "images[1]")
    assert caught.value.status == 415
    assert caught.value.param == "images[1]"
    assert "PNG, JPEG or WebP" in caught.value.message
    assert caught.value.message.endswith(f"this is {found}.")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_truncated_picture_is_damaged(kind: str, part: float) -> None:
    data = picture(kind, (400, 300))
    cut = data[: int(len(data) * part)]
    with pytest.raises(UnsupportedImage, match="damaged") as caught:
        pixels.inspect(cut, "mask")
    assert caught.value.param == "mask"
    assert pixels.measure(cut) is None


def test_a_png_without_its_end_is_damaged() -> None:
    with pytest.raises(UnsupportedImage, match="damaged"):
        pixels.inspect(picture("png")[:-12], "images[0]")


@pytest.mark.parametrize(
    "size", [(30_000, 30_000), (10_000, 10_000), (9_000, 8_000), (20_000, 1), (1, 20_000)]
)
def test_pixels_are_counted_before_anything_is_decoded(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bomb(*size)
    assert len(data) < 100_000
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("it was decoded"))
    with pytest.raises(PayloadTooLarge, match="64 million") as caught:
        pixels.inspect(data, "images[0]")
    assert caught.value.status == 413
    assert caught.value.param == "images[0]"
    assert pixels.measure(data) is None


def test_a_webp_of_untakeable_size_is_refused() -> None:
    canvas = b"VP8X\x0a\0\0\0\0\0\0\0" + (30_000).to_bytes(3, "little") * 2
    data = b"RIFF" + (4 + len(canvas)).to_bytes(4, "little") + b"WEBP" + canvas
    with pytest.raises((PayloadTooLarge, UnsupportedImage)):
        pixels.inspect(data, "images[0]")


def test_more_bytes_than_are_taken_are_refused_unread() -> None:
    data = picture("png") + b"\0" * pixels.MAX_BYTES
    with pytest.raises(PayloadTooLarge, match="bytes") as caught:
        pixels.inspect(data, "images[0]")
    assert caught.value.param == "images[0]"


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_an_animation_is_refused(kind: str) -> None:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (40, 20), colour) for colour in ("red", "blue")]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedImage, match="animated"):
        pixels.inspect(buffer.getvalue(), "images[0]")


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_the_bytes_are_the_error_is_ours(kind: str) -> None:
    whole = picture(kind, (64, 64), exif=oriented(6))
    rng = random.Random(1)
    for _ in range(300):
        broken = bytearray(whole)
        for _ in range(rng.choice([1, 3, 20])):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        data = bytes(broken[: rng.choice([len(broken), rng.randrange(len(broken))])])
        try:
            assert pixels.inspect(data, "f").data == data
        except DarkroomError as error:
            assert error.param == "f"
        seen = pixels.measure(data)
        if seen is not None:
            try:
                pixels.converted(seen, "webp", None)
            except ProviderError:
                continue


def test_broken_exif_turns_nothing() -> None:
    data = picture("jpeg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\xff\xff")
    assert pixels.inspect(data, "images[0]").width == 40


def mask(**options: object) -> Source:
    """A mask with an alpha channel."""
    return pixels.inspect(picture("png", mode="RGBA", **options), "mask")  # type: ignore[arg-type]


def test_a_mask_with_alpha_and_the_first_images_size_is_taken() -> None:
    first = pixels.inspect(picture("jpeg"), "images[0]")
    pixels.check_mask(mask(), first, "mask")
    turned = pixels.inspect(picture("jpeg", (20, 40), exif=oriented(6)), "images[0]")
    pixels.check_mask(mask(), turned, "mask")


def test_a_mask_whose_palette_has_transparency_is_taken() -> None:
    image = Image.new("P", (40, 20))
    buffer = io.BytesIO()
    image.save(buffer, "png", transparency=0)
    first = pixels.inspect(picture("jpeg"), "images[0]")
    pixels.check_mask(pixels.inspect(buffer.getvalue(), "mask"), first, "mask")


def test_a_mask_of_another_size_is_refused_naming_both() -> None:
    first = pixels.inspect(picture("jpeg", (30, 20)), "images[0]")
    with pytest.raises(InvalidRequest, match=r"40x20 .* 30x20") as caught:
        pixels.check_mask(mask(), first, "mask")
    assert caught.value.param == "mask"


@pytest.mark.parametrize(
    "data", [picture("png"), picture("jpeg"), picture("webp", mode="RGBA"), picture("webp")]
)
def test_a_mask_without_alpha_or_not_png_is_refused(data: bytes) -> None:
    source = pixels.inspect(data, "mask")
    with pytest.raises(InvalidRequest, match="PNG with an alpha channel"):
        pixels.check_mask(source, source, "mask")


@pytest.mark.parametrize("kind", KINDS)
def test_a_providers_picture_is_measured(kind: str) -> None:
    data = picture(kind)
    assert pixels.measure(data) == Picture(data, IMAGE_TYPES[kind], 40, 20)


@pytest.mark.parametrize("data", [b"", b"{}", picture("gif"), b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_has_no_measure(data: bytes) -> None:
    assert pixels.measure(data) is None


def test_bytes_after_the_end_do_not_make_a_picture_less_whole() -> None:
    for kind in KINDS:
        assert pixels.measure(picture(kind) + b"\0" * 5000) is not None


def test_measuring_decodes_nothing() -> None:
    hollow = bomb(8000, 6000)
    assert pixels.measure(hollow) == Picture(hollow, "image/png", 8000, 6000)
    with pytest.raises(UnsupportedImage):
        pixels.inspect(hollow, "images[0]")


@pytest.mark.parametrize("before", KINDS)
@pytest.mark.parametrize("after", KINDS)
def test_every_format_becomes_every_other(before: str, after: str) -> None:
    seen = pixels.measure(picture(before))
    assert seen is not None
    out = pixels.converted(seen, after, None)
    assert pixels.measure(out.data) == out
    assert (out.content_type, out.width, out.height) == (IMAGE_TYPES[after], 40, 20)


def test_jpeg_lays_alpha_on_white() -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (40, 20), (255, 0, 0, 0)).save(buffer, "png")
    out = pixels.converted(Picture(buffer.getvalue(), "image/png", 40, 20), "jpeg", 90)
    with Image.open(io.BytesIO(out.data)) as image:
        assert image.getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("after", ["png", "webp"])
def test_alpha_is_kept_where_the_format_has_it(after: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (40, 20), (255, 0, 0, 0)).save(buffer, "png")
    out = pixels.converted(Picture(buffer.getvalue(), "image/png", 40, 20), after, None)
    with Image.open(io.BytesIO(out.data)) as image:
        alpha = image.convert("RGBA").getpixel((5, 5))
    assert isinstance(alpha, tuple)
    assert alpha[3] == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_converted_picture_stands_upright(orientation: int) -> None:
    data = picture("jpeg", exif=oriented(orientation), quality=95)
    seen = pixels.measure(data)
    assert seen is not None
    out = pixels.converted(seen, "png", None)
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    with Image.open(io.BytesIO(out.data)) as image:
        assert image.getexif().get(0x0112) is None
        assert image.size == shown.size == (out.width, out.height)
        assert image.tobytes() == shown.tobytes()


@pytest.mark.parametrize("after", KINDS)
def test_the_colour_profile_is_kept(after: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    seen = pixels.measure(picture("png", icc_profile=profile))
    assert seen is not None
    out = pixels.converted(seen, after, None)
    with Image.open(io.BytesIO(out.data)) as image:
        assert image.info["icc_profile"] == profile


def test_a_profile_for_other_colours_is_left_out() -> None:
    seen = pixels.measure(picture("jpeg", mode="CMYK", icc_profile=b"for inks"))
    assert seen is not None
    out = pixels.converted(seen, "png", None)
    with Image.open(io.BytesIO(out.data)) as image:
        assert image.mode == "RGB"
        assert "icc_profile" not in image.info


def test_sixteen_bit_grey_keeps_its_tones() -> None:
    buffer = io.BytesIO()
    Image.new("I;16", (8, 8), 0x8000).save(buffer, "png")
    out = pixels.converted(Picture(buffer.getvalue(), "image/png", 8, 8), "png", None)
    with Image.open(io.BytesIO(out.data)) as image:
        assert image.getpixel((1, 1)) == (128, 128, 128)


def test_quality_changes_the_size() -> None:
    seen = pixels.measure(picture("png", (400, 300)))
    assert seen is not None
    low, high = (len(pixels.converted(seen, "jpeg", q).data) for q in (20, 95))
    assert low < high


def test_what_cannot_be_converted_is_the_providers_fault() -> None:
    cut = picture("jpeg", (400, 300))[:500]
    with pytest.raises(ProviderError):
        pixels.converted(Picture(cut, "image/jpeg", 400, 300), "png", None)


def crowded_png() -> bytes:
    """A small PNG with very many empty pieces before its pixels."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    whole = out.getvalue()
    return whole[:33] + chunk(b"teSt", b"") * 5_000 + whole[33:]


def crowded_jpeg(marker: bytes, count: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG")
    whole = out.getvalue()
    return whole[:2] + (marker + b"\x00\x02") * count + whole[2:]


@pytest.mark.parametrize(
    "data",
    [
        crowded_png(),
        crowded_jpeg(b"\xff\xfe", 5_000),
        crowded_jpeg(b"\xff\xda", 200),
        # 8000x8000 in 34 bytes: opening it alone would take a gigabyte.
        bytes.fromhex("524946461a000000574542505650384c0d0000002f3fdfcf17071011118888fe0700"),
    ],
    ids=["png pieces", "jpeg segments", "jpeg scans", "webp pixels"],
)
def test_what_is_small_and_takes_long_or_much_to_open_is_refused(data: bytes) -> None:
    with pytest.raises(PayloadTooLarge) as refused:
        pixels.inspect(data, "images[0]")
    assert refused.value.param == "images[0]"
    assert pixels.measure(data) is None

"""A mask as a model that only looks at pictures can be shown it."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from threading import Lock

EXPLANATION = (
    "The next image is a mask for the first image of this message. Change only what is white in "
    "the mask; keep everything that is black exactly as it is in the first image."
)


_DRAWING = Lock()


def black_and_white(mask: bytes) -> bytes:
    """A picture with alpha → a PNG of the same size: white where it is more transparent than not,
    which is what may change, and black elsewhere. The calls of one request share one drawing."""
    with _DRAWING:
        return _drawn(mask)


@lru_cache(maxsize=2)
def _drawn(mask: bytes) -> bytes:
    # Imported here because few functions see a picture, and fewer a mask.
    from PIL import Image

    with Image.open(BytesIO(mask)) as image:
        alpha = image.convert("RGBA").getchannel("A")
    drawn = BytesIO()
    alpha.point([255 if a < 128 else 0 for a in range(256)]).save(drawn, "PNG")
    return drawn.getvalue()

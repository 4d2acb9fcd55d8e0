"""A provider's reply as it came, put together again."""

from __future__ import annotations

from shared import turns
from shared.domain import Picture, Turn
from shared.providers import Done, Inline


def told(done: Done) -> str | None:
    """The JSON text; None where there is none."""
    inline = (image for image in done.images if isinstance(image, Inline))
    pictures = tuple(Picture(image.data, image.content_type, 0, 0) for image in inline)
    return turns.whole(Turn("", (), pictures, reply=done.reply))

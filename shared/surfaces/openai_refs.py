"""Pictures as OpenAI's clients name them: by address, as a data URL, by the id of a file, or as
Markdown in the words of a message. A link that we gave out is known again, whatever host it names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared import names
from shared.domain import ImageRef
from shared.errors import InvalidRequest

UPLOADS = "upl_"
_OURS = re.compile(r"/account/images/(img_[A-Za-z0-9_-]{1,120})\Z")
_ADDRESSES = ("https://", "http://", "data:")
_LONGEST_LINK = 2_000
_LONGEST_LABEL = 500


@dataclass(frozen=True)
class Marked:
    """The words of a message without the pictures in them, and where those lie."""

    text: str
    targets: tuple[str, ...] = ()


def of_url(url: str, param: str) -> ImageRef:
    """An image by its address. Raises InvalidRequest for what is none."""
    image_id = own(url)
    if image_id is not None:
        return ImageRef(image_id=image_id)
    if not _is_address(url):
        raise InvalidRequest("Send an https:// or data: URL of an image.", param=param)
    return ImageRef(url=url)


def of_file(file_id: str) -> ImageRef:
    """An image by the id of an upload, or of a kept file."""
    if file_id.startswith(UPLOADS):
        return ImageRef(upload_id=file_id)
    return ImageRef(file_id=file_id)


def own(url: str) -> str | None:
    """The id of the picture that one of our own links leads to; None for any other address."""
    if len(url) > _LONGEST_LINK or not url[:8].lower().startswith(_ADDRESSES[:2]):
        return None
    try:
        found = _OURS.search(urlsplit(url).path)
    except ValueError:
        return None
    return found[1] if found and names.request_of(found[1]) else None


def unmarked(text: str) -> Marked:
    """Take out every `![…](…)` that leads to a picture. Each character is looked at about once,
    however many brackets there are."""
    kept: list[str] = []
    targets: list[str] = []
    start = place = 0
    while (first := text.find("![", place)) >= 0 and (middle := text.find("](", first)) >= 0:
        place = middle + 2
        # The nearest one before the address, for a label may have brackets in it.
        begin = text.rfind("![", max(first, middle - _LONGEST_LABEL), middle)
        if begin < 0:
            continue
        end = text.find(")", place)
        if end < 0:
            break
        # Markdown takes a title after an address.
        target = text[place:end].strip().partition(" ")[0]
        place = end + 1
        if _is_address(target):
            kept.append(text[start:begin])
            targets.append(target)
            start = place
    return Marked("".join([*kept, text[start:]]).strip(), tuple(targets))


def _is_address(url: str) -> bool:
    return url[:8].lower().startswith(_ADDRESSES)

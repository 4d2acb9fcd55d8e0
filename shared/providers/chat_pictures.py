"""The pictures in an answer of chat/completions, wherever a relay put them.

There is no contract. Seen (new-api's relay-gemini.go, litellm, docs.laozhang.ai, OpenRouter's
answers, 2025 and 2026): in the text as Markdown, as a data URL, as bare base64 or as an address;
in `images` and `image_b64_json` beside it; as a part of a list; in `media.outputs`; the same
picture in several places. What the bytes are is told by the bytes: the declared type lies.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shared.providers import Inline, Remote

_MAGIC = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
)
_SPACE = re.compile(r"\s")
_CLOSING = "\"'`.,;:>)]}"
_MOST_MARKS = 500
"""Of Markdown in one text: so that one made of nothing else is read in time."""
_LONGEST_LABEL = 300
_LONGEST_HEADER = 100
_LONGEST_URL = 8_000
_WORDS = 1000
"""Longer without any space, it is not something said."""


@dataclass
class Found:
    """What was found: pictures, the words beside them, and whether any picture was broken."""

    images: list[Inline] = field(default_factory=list)
    addresses: list[Remote] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    broken: bool = False
    _seen: set[bytes] = field(default_factory=set)

    @property
    def pictures(self) -> tuple[Inline | Remote, ...]:
        """Each once. Addresses beside pictures are those of the same ones."""
        return tuple(self.images) or tuple(self.addresses)

    @property
    def text(self) -> str:
        """Everything said, without the pictures."""
        return "\n".join(filter(None, (word.strip() for word in self.words)))

    def take(self, target: str, *, said: bool = False) -> None:
        """A picture by what stands for it: an address, a data URL or bare base64; `said` of what
        stood in the text."""
        target = target.strip()
        if _is_address(target):
            # What also stands beside the text is the relay's own word.
            said = said and Remote(target) not in self.addresses
            known = [a for a in self.addresses if a.url == target]
            if not known:
                self.addresses.append(Remote(target, said))
            elif not said:
                self.addresses[self.addresses.index(known[0])] = Remote(target)
            return
        header, comma, body = target.partition(",") if _is_data(target) else ("", ",", target)
        data = _decoded(body) if comma and len(header) <= _LONGEST_HEADER else None
        kind = sniffed(data) if data else None
        if data is None or kind is None:
            self.broken = True
            return
        digest = hashlib.sha256(data).digest()
        if digest not in self._seen:
            self._seen.add(digest)
            self.images.append(Inline(data, kind))


def sniffed(data: bytes) -> str | None:
    """The content type by the first bytes; None where they begin no picture."""
    return next((kind for magic, kind in _MAGIC if magic.match(data)), None)


def collect(beside: Iterable[object], content: Iterable[object], media: Iterable[object]) -> Found:
    """Everything in what stood beside the text, in the text or its parts, and in the `media`."""
    found = Found()
    for item in beside:
        _take(item, found)
    for part in content:
        if isinstance(part, str):
            _read_text(part, found)
        elif isinstance(part, Mapping):
            _read_part(part, found)
    for item in media:
        _take(item, found)
    return found


def _take(item: object, found: Found) -> None:
    if target := _target(item):
        found.take(target)


def _target(item: object) -> str | None:
    """What stands for one picture: its bytes sooner than its address."""
    if isinstance(item, str):
        return item
    if not isinstance(item, Mapping):
        return None
    inner = item.get("image_url") or item.get("inline_data")
    for place in (item, inner):
        if isinstance(place, str):
            return place
        if isinstance(place, Mapping):
            for name in ("b64_json", "image_b64_json", "data", "url"):
                value = place.get(name)
                if isinstance(value, str) and value:
                    return value
    return None


def _read_part(part: Mapping[str, object], found: Found) -> None:
    text = part.get("text")
    if isinstance(text, str):
        _read_text(text, found)
    _take(part, found)


def _read_text(text: str, found: Found) -> None:
    """A text, which may be a picture and nothing else, or hold some as Markdown."""
    words, marked = _without_marks(text, found)
    if marked:
        found.words.append(words)
        return
    whole = text.strip()
    if _is_address(whole) and not _SPACE.search(whole):
        found.take(whole, said=True)
    elif "data:image/" in whole:
        _cut_data(whole, found)
    elif whole.isascii() and " " not in whole and _is_picture(whole):
        found.take(whole)
    else:
        found.words.append(text)


def _is_picture(whole: str) -> bool:
    """Whether a text without spaces is a picture, be it a spoilt one, and nothing said."""
    if len(whole) > _WORDS and not _SPACE.search(whole):
        return True
    return sniffed(_decoded(whole) or b"") is not None


def _without_marks(text: str, found: Found) -> tuple[str, bool]:
    """The text without `![…](…)`, whose targets are taken, and whether there were any. A target
    that the text ends in is a picture torn off."""
    kept, start, place = [], 0, 0
    for _ in range(_MOST_MARKS):
        middle = text.find("](", place)
        if middle < 0:
            break
        place = middle + 2
        bracket = text.rfind("[", max(0, middle - _LONGEST_LABEL), middle)
        drawn = bracket > 0 and text[bracket - 1] == "!"
        if bracket < 0 or not (drawn or text.startswith("data:", place)):
            continue
        end = text.find(")", place)
        target = text[place:end].strip() if end >= 0 else ""
        # Some relays put what is no picture into such a link.
        if drawn or target.startswith("data:image/") or not target:
            # Markdown takes a title after an address.
            found.take(target.split()[0] if _is_address(target) else target, said=True)
        kept.append(text[start : bracket - drawn])
        start = place = end + 1 if end >= 0 else len(text)
    return "".join([*kept, text[start:]]), start > 0


def _cut_data(text: str, found: Found) -> None:
    """A data URL in the midst of words, or alone: up to the first space, less what closes it."""
    begin = text.find("data:image/")
    space = _SPACE.search(text, begin)
    end = space.start() if space else len(text)
    found.take(text[begin:end].rstrip(_CLOSING))
    found.words.append(text[:begin] + text[end:])


def _is_address(target: str) -> bool:
    return target[:8].lower().startswith(("http://", "https://")) and len(target) <= _LONGEST_URL


def _is_data(target: str) -> bool:
    return target[:5].lower() == "data:"


def _decoded(body: str) -> bytes | None:
    """Base64, line breaks aside. Never leniently: words decode to rubbish without complaint."""
    try:
        return base64.b64decode("".join(body.split()), validate=True) or None
    except ValueError:
        return None

"""Where a relay puts a picture in its answer: every shape that has been seen, of which the same
model may show another within the hour (new-api's relay-gemini.go, docs.laozhang.ai, litellm,
2025 and 2026)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.domain import Json

Fields = dict[str, Json]


@dataclass(frozen=True)
class Shown:
    """A picture as an answer may show it: base64, what it is said to be, or where it lies."""

    base64: str = field(repr=False)
    content_type: str
    address: str

    @property
    def data_url(self) -> str:
        """All of it in one line."""
        return f"data:{self.content_type};base64,{self.base64}"


def _markdown(shown: Sequence[Shown]) -> Fields:
    lines = ["Here is your picture.", *(f"![image]({one.data_url})" for one in shown)]
    return {"content": "\n".join(lines)}


def _dataurl(shown: Sequence[Shown]) -> Fields:
    return {"content": shown[0].data_url}


def _b64(shown: Sequence[Shown]) -> Fields:
    return {"content": shown[0].base64}


def _url(shown: Sequence[Shown]) -> Fields:
    return {"content": shown[0].address}


def _link(shown: Sequence[Shown]) -> Fields:
    return {"content": "\n".join(f"![image]({one.address})" for one in shown)}


def _images(shown: Sequence[Shown]) -> Fields:
    return {"content": "", "images": [_image(one, index) for index, one in enumerate(shown)]}


def _triple(shown: Sequence[Shown]) -> Fields:
    first = shown[0].base64
    return {**_markdown(shown), "images": [{"b64_json": first}], "image_b64_json": first}


def _parts(shown: Sequence[Shown]) -> Fields:
    return {"content": [{"type": "text", "text": "Here is your picture."}, *map(_image, shown)]}


def _part(shown: Sequence[Shown]) -> Fields:
    urls = [{"url": one.data_url, "mime_type": one.content_type} for one in shown]
    return {"content": [{"type": "image", "image_url": url} for url in urls]}


def _image(one: Shown, index: int = 0) -> Fields:
    return {"type": "image_url", "image_url": {"url": one.data_url}, "index": index}


SHAPES: Mapping[str, Callable[[Sequence[Shown]], Fields]] = {
    "markdown": _markdown,
    "dataurl": _dataurl,
    "b64": _b64,
    "url": _url,
    "link": _link,
    "images": _images,
    "triple": _triple,
    "parts": _parts,
    "part": _part,
    "media": _url,
}
"""Name → the fields of the message. "media" names the address a second time, beside the choices."""
ADDRESSED = ("url", "link", "media")
"""Those that hold an address instead of the picture."""


def beside(shape: str, shown: Sequence[Shown]) -> Fields:
    """What stands beside the choices."""
    if shape != "media":
        return {}
    return {"media": {"outputs": [{"type": "image", "url": one.address} for one in shown]}}

"""The vendors' APIs as we answer them: pure translation of a vendor's body into our ImageRequest,
and of our records and errors into the vendor's shapes. The functions named for them do the HTTP;
the sandbox, which plays the same vendors, reads the same messages.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal
from urllib.parse import quote

from shared.catalogue.rows import Model, Route
from shared.domain import Image, ImageRequest, Json

Treatment = Literal["honoured", "ignored", "refused"]
"""What becomes of a vendor's field: "ignored" ones are named in the header x-darkroom-ignored."""
Fields = Mapping[str, tuple[Treatment, str]]
"""An endpoint's fields: what becomes of each, and a few words about it."""
Support = Mapping[str, Fields]
"""An API's endpoints by method and path, with their fields."""
TIMEOUT_S = 600.0
"""What a vendor's caller is waited with: OpenAI's SDKs wait so long themselves (openai 3.52,
openai-node 6.49), and Google's have no limit unless they say one."""
INLINE_BYTES = 20 * 2**20
"""Of an answer's pictures together: with more, base64 would not fit into the 32 MB that Cloud
Functions answer with (cloud.google.com/functions/quotas, 2026-11), and links are given instead."""
_MOST_NAMED = 40
_LONGEST_NAME = 50


@dataclass(frozen=True)
class Asked:
    """A vendor's request understood. `fields` is the body as it counts for recognising it again,
    `ignored` are the vendor's names of what was passed over, `stream` whether the answer is wanted
    in events."""

    request: ImageRequest
    fields: Mapping[str, Json] = field(repr=False)
    stream: bool = False
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shown:
    """A stored picture as an answer shows it: in base64 where that is wanted and fits, and by a
    signed link in any case."""

    image: Image
    url: str
    b64_json: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Options:
    """Settings of a request sorted by a model: those it has, by our names, and the vendor's names
    of those it has not."""

    taken: Mapping[str, Json]
    ignored: tuple[str, ...]


def options(model: Model | None, wanted: Mapping[str, tuple[str, Json]]) -> Options:
    """Sort settings, given as vendor's name → (our option, value), where not to have one changes
    nothing that was asked for. Without a model, for "auto", there is nobody to have them."""
    known = model.options if model else {}
    given = {name: pair for name, pair in wanted.items() if pair[1] is not None}
    return Options(
        taken={option: value for option, value in given.values() if option in known},
        ignored=tuple(name for name, (option, _) in given.items() if option not in known),
    )


def reachable_routes(model: Model, open_to: Container[str], today: date) -> list[Route]:
    """The routes of a model that are live on that day, at a provider that can be reached. The
    vendors' APIs make pictures: a 3D model is in none of their answers."""
    if model.three_d:
        return []
    return [route for route in model.routes if route.live(today) and route.provider in open_to]


def listed(names: Sequence[str]) -> str:
    """Names of fields as the value of a header: they may be anything a JSON key can be."""
    unique = list(dict.fromkeys(names))
    shown = [quote(name, safe="[]._-")[:_LONGEST_NAME] for name in unique[:_MOST_NAMED]]
    return ", ".join([*shown, *(["..."] if len(unique) > _MOST_NAMED else [])])

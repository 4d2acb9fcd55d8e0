"""The fields of a body in OpenAI's words, sorted by what becomes of them: whatever the table of an
endpoint does not honour, known or not, is passed over and named, or refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from shared.body import MAX_TEXT_BYTES
from shared.domain import ImageRequest
from shared.errors import InvalidRequest, PayloadTooLarge
from shared.surfaces import Fields

Word = Annotated[str, Field(max_length=100)]
"""A value that may be repeated in an error."""


def sort(fields: Mapping[str, Any], support: Fields) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields to read, and the names of those passed over. A null says the same as leaving the
    field out, and so does what is empty in a field that is not read. Raises InvalidRequest."""
    known: dict[str, Any] = {}
    ignored: list[str] = []
    for name, value in fields.items():
        treatment, words = support.get(name, ("ignored", ""))
        if treatment == "honoured" and value is not None:
            known[name] = value
        elif treatment == "refused" and value:
            raise InvalidRequest(f"{name} is not supported here: {words}.", param=name)
        elif treatment == "ignored" and value not in (None, "", [], {}):
            ignored.append(name)
    return known, tuple(ignored)


def bounded(request: ImageRequest, param: str) -> ImageRequest:
    """The request, if what is kept of it is not too long. Raises PayloadTooLarge."""
    said = [request.prompt, *map(str, request.options.values())]
    said += [*request.metadata, *request.metadata.values()]
    if sum(len(text.encode(errors="surrogatepass")) for text in said) > MAX_TEXT_BYTES:
        raise PayloadTooLarge(
            f"Text and metadata have at most {MAX_TEXT_BYTES} bytes together.", param=param
        )
    return request

"""An ImageRequest as JSON and back: how a request is kept until it is made. What it names images
with is kept, and the bytes a caller sent, but nothing that was loaded for it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from shared.domain import ImageRef, ImageRequest, Json, Source

_PLAIN = tuple(
    field.name
    for field in fields(ImageRequest)
    if field.name
    not in ("refs", "mask_ref", "sources", "mask", "turns", "size", "size_name", "providers")
)


def encode(request: ImageRequest) -> Mapping[str, Json]:
    """The request as a JSON object."""
    return {
        **{name: getattr(request, name) for name in _PLAIN},
        "providers": list(request.providers),
        "refs": [_encoded(ref) for ref in request.refs],
        "mask_ref": _encoded(request.mask_ref) if request.mask_ref else None,
    }


def decode(kept: Mapping[str, Any]) -> ImageRequest:
    """What `encode` was given."""
    return ImageRequest(
        **{name: kept[name] for name in _PLAIN if name in kept},
        providers=tuple(kept["providers"]),
        refs=tuple(map(_decoded, kept["refs"])),
        mask_ref=_decoded(kept["mask_ref"]) if kept["mask_ref"] else None,
    )


def pinned(request: ImageRequest) -> ImageRequest:
    """A loaded request with its images' bytes in place of what named them, which may be gone when
    they are needed."""
    return replace(
        request,
        refs=tuple(map(_ref, request.sources)),
        mask_ref=_ref(request.mask) if request.mask else None,
    )


def _ref(source: Source) -> ImageRef:
    return ImageRef(data=source.data)


def _encoded(ref: ImageRef) -> Json:
    if ref.data is not None:
        return {"data": base64.b64encode(ref.data).decode()}
    return {name: value for name, value in vars(ref).items() if value is not None}


def _decoded(kept: Mapping[str, Any]) -> ImageRef:
    if "data" in kept:
        return ImageRef(data=base64.b64decode(kept["data"]))
    return ImageRef(**kept)

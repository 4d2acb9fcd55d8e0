"""Pictures made before: a request that asks for exactly what an earlier one of its account got can
have that one's, for nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container

from shared import names
from shared.app import App
from shared.catalogue.rows import Route
from shared.domain import Caller, ImageRequest, Record

_PARAMETERS = (
    "operation",
    "prompt",
    "n",
    "aspect_ratio",
    "resolution",
    "seed",
    "quality",
    "background",
    "output_format",
    "output_quality",
    "previous_request_id",
    "max_turns",
)


def key(request: ImageRequest, route: Route, caller: Caller) -> str:
    """SHA-256 of everything that decides what comes out: the model, the parameters, the bytes of
    the images; and whether the sandbox makes it."""
    asked = {name: getattr(request, name) for name in _PARAMETERS}
    asked |= {"model": route.model, "test": caller.test, "options": dict(request.options)}
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
    mask = [request.mask.data] if request.mask else []
    for data in (*(source.data for source in request.sources), b"mask", *mask):
        digest.update(hashlib.sha256(data).digest())
    return digest.hexdigest()


async def find(app: App, draft: Record, providers: Container[str]) -> Record | None:
    """The latest request of the account with the draft's cache key, if it was made by one of these
    providers and its pictures are all still there."""
    record = await app.records.made_before(draft.account_id, draft.cache_key or "")
    if record is None or record.model != draft.model or record.provider not in providers:
        return None
    there = await app.storage.list(names.pictures(record.id))
    return record if {image.name for image in record.images} <= set(there) else None

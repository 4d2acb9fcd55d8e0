"""The body of `POST /batch`, and the items it names as one stream of lines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from shared import batch_lines, body, names
from shared.app import App
from shared.batch_items import BatchAsk
from shared.body import MAX_NAME, Body, Metadata
from shared.domain import Caller
from shared.errors import InvalidRequest, NotFound
from shared.storage import BadName, Missing

MAX_ITEMS = 100_000
MAX_DEFAULTS_BYTES = 64 * 2**10
"""Of the defaults as JSON: they are read again for every item."""
NOT_OF_DEFAULTS = ("images", "mask", "previous_request_id", "metadata")
"""Fields that are an item's own or nobody's."""


class BatchBody(Body):
    """`POST /batch`: items, or the upload that holds them as JSONL."""

    model: str | None = Field(
        None, max_length=MAX_NAME, description="For every item that names none"
    )
    defaults: dict[str, Any] = Field(
        default_factory=dict, description="Fields of /generate or /edit for every item without them"
    )
    items: list[dict[str, Any]] | None = Field(None, min_length=1, max_length=MAX_ITEMS)
    upload_id: str | None = Field(None, max_length=100, description="A JSONL file uploaded: upl_…")
    mode: Literal["auto", "provider", "fanout"] = Field(
        "auto", description="A provider's own batches at their price, one call each, or the cheaper"
    )
    webhook_url: str | None = Field(None, max_length=2000, description="Told when it has ended")
    metadata: Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.items is None) == (self.upload_id is None):
            raise ValueError("give exactly one of items and upload_id")
        return self


async def read(
    app: App, caller: Caller, fields: Mapping[str, Any], idempotency_key: str | None
) -> BatchAsk:
    """A body as what it asks for. Raises InvalidRequest, NotFound."""
    said = await asyncio.to_thread(_said, fields)
    fingerprint = await asyncio.to_thread(body.fingerprint, "batch", fields, body.Files())
    defaults = {**said.defaults, **({"model": said.model} if said.model else {})}
    if said.items is not None:
        source = _written(said.items)
    else:
        source = _uploaded(app, await _upload(app, caller.account_id, said.upload_id or ""))
    return BatchAsk(
        caller=caller,
        source=source,
        parse=batch_lines.native(defaults, app.catalogue.templates),
        fingerprint=fingerprint,
        mode=said.mode,
        model=said.model,
        webhook_url=said.webhook_url,
        metadata=said.metadata,
        idempotency_key=idempotency_key,
    )


def _said(fields: Mapping[str, Any]) -> BatchBody:
    """A body whose defaults can be every item's. Raises InvalidRequest naming the field."""
    said = body.validated(BatchBody, fields)
    for name in NOT_OF_DEFAULTS:
        if name in said.defaults:
            raise InvalidRequest(f"Each item has its own {name}.", param=f"defaults.{name}")
    if said.model is not None and "model" in said.defaults:
        raise InvalidRequest("Give model or defaults.model, not both.", param="defaults.model")
    if len(said.model_dump_json(include={"defaults"}).encode()) > MAX_DEFAULTS_BYTES:
        raise InvalidRequest(
            f"The defaults have at most {MAX_DEFAULTS_BYTES} bytes as JSON.", param="defaults"
        )
    return said


async def _written(items: Sequence[Mapping[str, Any]]) -> AsyncIterator[bytes]:
    for item in items:
        yield json.dumps(item).encode() + b"\n"


async def _uploaded(app: App, name: str) -> AsyncIterator[bytes]:
    """A file as it was uploaded. Raises NotFound, InvalidRequest."""
    try:
        async for piece in app.storage.stream(name):
            yield piece
    except Missing as error:
        raise NotFound("The upload is gone.", param="upload_id") from error
    except BadName as error:
        raise InvalidRequest(
            "The file's name may have letters, digits, dots, hyphens and underscores only.",
            param="upload_id",
        ) from error


async def _upload(app: App, account_id: str, upload_id: str) -> str:
    """The object that an account uploaded. Raises NotFound."""
    missing = NotFound(
        "There is no upload of this id, or nothing was sent to it.", param="upload_id"
    )
    try:
        found = await app.storage.list(names.uploads(account_id, upload_id))
    except BadName as error:
        raise missing from error
    if not found:
        raise missing
    return found[0]

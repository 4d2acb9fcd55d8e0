"""Cloud Storage says that an object has come, in a CloudEvent of Eventarc's: an uploaded image
becomes an edit, a JSONL a batch. Who may send it is the platform's to check, and nothing but the
object's name is believed: what the object is and asks for, storage says.

The event (cloudevents.io, HTTP binding 1.0.2; googleapis/google-cloudevents, StorageObjectData,
2026-11) comes with its attributes in `ce-` headers, or whole as `application/cloudevents+json`.
"""

from __future__ import annotations

from typing import Any

import functions_framework.aio
from pydantic import BaseModel
from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from functions import http
from shared import log, upload_trigger

FINALIZED = "google.cloud.storage.object.v1.finalized"
_STRUCTURED = "application/cloudevents+json"


class Finalized(BaseModel):
    """What is used of StorageObjectData."""

    name: str


async def take(request: Request) -> Response:
    """Set off what the object asks for. What cannot be read never will be, and is let go; what
    fails is delivered again."""
    found = await _finalized(request)
    if found is not None:
        await upload_trigger.finalized(http.app(), found.name)
    return Response(status_code=204)


async def _finalized(request: Request) -> Finalized | None:
    """The object of the event; None for any other event."""
    text = await http.body(request)
    try:
        if request.headers.get("content-type", "").lower().startswith(_STRUCTURED):
            event: dict[str, Any] = from_json(text)
            kind, data = event["type"], event["data"]
        else:
            kind, data = request.headers["ce-type"], from_json(text)
        return Finalized.model_validate(data) if kind == FINALIZED else None
    except (KeyError, TypeError, ValueError) as error:
        log.event("upload.event_not_read", severity="ERROR", private=repr(error))
        return None


APP = http.routes("on_upload", [("POST", "", take)])


@functions_framework.aio.http
async def on_upload(_request: Request) -> Starlette:
    """The deployed function."""
    return APP

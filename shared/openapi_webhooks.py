"""What Darkroom sends to a `webhook_url`, for the section `webhooks` of the description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel

from shared import batch_view, view
from shared.batch_domain import BatchStatus
from shared.domain import Status
from shared.openapi_endpoints import JSON

_OPEN = ("queued", "running", "accepted", "collecting")
VIEWS: Mapping[str, type[BaseModel]] = {
    f"{kind}.{status}": shown
    for kind, statuses, shown in (
        ("request", get_args(Status), view.RequestView),
        ("batch", get_args(BatchStatus), batch_view.BatchView),
    )
    for status in statuses
    if status not in _OPEN
}
"""The type of a webhook → what its `data` is."""

_HEADERS = {
    "webhook-id": ("^msg_", "The same each time it is sent: remember those you have dealt with"),
    "webhook-timestamp": ("^[0-9]+$", "When this try was sent, in Unix seconds"),
    "webhook-signature": (
        "^v1,",
        "The HMAC-SHA256 of <id>.<timestamp>.<body> in base64, by `webhook_secret` of GET /account "
        "(Standard Webhooks 1.0.0)",
    ),
}
"""Name → a pattern, and what it says."""
_ANSWERS = {
    "2XX": "It has arrived",
    "410": "It is given up",
    "default": "It is sent again for a day, each time after a longer wait; so it is after 20 "
    "seconds without an answer",
}


def webhooks(notice: Mapping[str, Any], references: Mapping[Any, Any]) -> dict[str, Any]:
    """By their types; `notice` is the schema of any, `references` lead to those of the views."""
    return {
        kind: {"post": _operation(kind, notice, references[shown])} for kind, shown in VIEWS.items()
    }


def _operation(kind: str, notice: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    subject, status = kind.split(".")
    properties = {**notice["properties"], "type": {"const": kind}, "data": data}
    return {
        "tags": ["webhooks"],
        "summary": f"The end of a {subject}: {status}",
        "operationId": f"webhook_{subject}_{status}",
        "security": [],
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": text,
                "schema": {"type": "string", "pattern": pattern},
            }
            for name, (pattern, text) in _HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": {**notice, "properties": properties}}},
        },
        "responses": {status: {"description": text} for status, text in _ANSWERS.items()},
    }

"""Google's JSON over HTTP, as its front end sends it.

Facts: captured answers of generativelanguage.googleapis.com, 2026-10.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import httpx

from shared.domain import Json


def answer(body: Json, code: int = 200, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """A JSON answer with the headers that Google's front end adds."""
    return httpx.Response(
        code,
        headers={
            "content-type": "application/json; charset=UTF-8",
            "vary": "Origin, X-Origin, Referer",
            "server-timing": "gfet4t7; dur=42",
            **(headers or {}),
        },
        content=json.dumps(body, ensure_ascii=False).encode(),
    )

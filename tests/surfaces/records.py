"""Records and stored pictures as they are when an answer is written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.domain import Hold, Image, Quote, Record
from shared.surfaces import Shown

BEGUN = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def record(**changes: Any) -> Record:
    """A request that has succeeded, with one picture asked for."""
    begun: dict[str, Any] = {
        "id": "req_abc",
        "account_id": "acc_1",
        "key_id": "key_1",
        "operation": "generate",
        "status": "succeeded",
        "model": "gpt-image-2.5-flare",
        "prompt": "A cat",
        "parameters": {},
        "fingerprint": "",
        "sandbox": True,
        "quote": Quote({}, 0, 0),
        "hold": Hold(0, (), 0, ""),
        "created_at": BEGUN,
        "lease_until": BEGUN,
        "completed_at": BEGUN + timedelta(seconds=12.5),
    }
    return Record(**{**begun, **changes})


def shown(n: int = 0, b64_json: str | None = "AAAA", kind: str = "image/png") -> Shown:
    """The n-th picture of that request."""
    image = Image(f"img_abc_{n}", f"images/req_abc/{n}", kind, 1024, 768, 3, "")
    return Shown(image, f"https://host.test/account/images/img_abc_{n}?signature=s", b64_json)

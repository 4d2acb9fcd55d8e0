"""What a client sends again because no answer came. SDKs repeat a POST that failed or took too long
without a key that says so, and count the repeats in a header (`x-stainless-retry-count`; openai
3.52). The first one's answer is found by the hash of the body, so that nothing is paid twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from shared.app import App
from shared.domain import Caller, Record
from shared.records import RequestFilter

WINDOW = timedelta(minutes=45)
"""How far back the first one may lie: the time of three tries of ten minutes, and of the waits."""
_PAGE = 100
_PAGES = 10
_LOOK_S = 1.0


async def find(app: App, caller: Caller, fingerprint: str) -> Record | None:
    """The latest request of this key with the same body that runs or has succeeded. One that failed
    is no answer to anybody."""
    since, cursor = app.clock() - WINDOW, None
    for _ in range(_PAGES):
        page = await app.records.requests(caller.account_id, RequestFilter(), _PAGE, cursor)
        for record in page.items:
            if record.created_at < since:
                return None
            ended_well = record.open or record.status == "succeeded"
            same = (record.key_id, record.fingerprint) == (caller.key_id, fingerprint)
            if same and ended_well:
                return record
        cursor = page.cursor
        if cursor is None:
            break
    return None


async def ended(app: App, record: Record, deadline: float) -> Record:
    """The record once it has ended, wherever it runs, or as it stands at the deadline."""
    while record.open and asyncio.get_running_loop().time() < deadline:
        await app.sleep(_LOOK_S)
        found = await app.records.look(record.account_id, record.id)
        record = found.request or record
    return record

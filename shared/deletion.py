"""Forget a request at its account's wish: every object it made, then what its record says."""

from __future__ import annotations

from shared import names
from shared.app import App
from shared.domain import Record
from shared.errors import InProgress


async def delete(app: App, record: Record) -> None:
    """Its charge stays in the ledger and its id stays taken. Raises InProgress while it runs."""
    if record.open:
        raise InProgress("This request is still running.", retry_after_s=2.0)
    # Not only what the record lists: a picture stored too late belongs to it too.
    for name in await app.storage.list(names.pictures(record.id)):
        await app.storage.delete(name)
    await app.storage.delete(names.turn(record.id))
    await app.records.delete_request(record)

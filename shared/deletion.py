"""Forget a request or a batch at its account's wish: every object it made, then what its record
says."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from shared import batch_lines, names
from shared.app import App
from shared.batch_domain import Batch
from shared.domain import Record
from shared.errors import InProgress

_AT_ONCE = 16


async def delete(app: App, record: Record) -> None:
    """Its charge stays in the ledger and its id stays taken. Raises InProgress while it runs."""
    if record.open:
        raise InProgress("This request is still running.", retry_after_s=2.0)
    # Not only what the record lists: a picture stored too late belongs to it too.
    for name in await app.storage.list(names.pictures(record.id)):
        await app.storage.delete(name)
    await app.storage.delete(names.turn(record.id))
    await app.records.delete_request(record)


async def delete_batch(app: App, batch: Batch) -> None:
    """Its charges stay in the ledger and its id stays taken; what is left when this is cut off is
    deleted when it is asked for again. Raises InProgress while it runs."""
    if batch.open:
        raise InProgress("This batch has not ended. Cancel it first.", retry_after_s=2.0)
    for name in batch.results:
        path = names.batch_result(batch.id, name)
        blob = await app.storage.get(path)
        results = batch_lines.kept_results(blob.data) if blob else []
        pictures = [image.name for result in results for image in result.images]
        for start in range(0, len(pictures), _AT_ONCE):
            some = pictures[start : start + _AT_ONCE]
            await asyncio.gather(*map(app.storage.delete, some))
        await app.storage.delete(path)
    await app.records.advance_batch(
        replace(batch, deleted=True, results=(), wire={}, metadata={}, webhook_url=None)
    )

"""What was tried so far of a request that nobody waits for, written down while more is tried: who
looks at it sees why it takes long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

from shared import log
from shared.app import App
from shared.domain import Attempt, Record
from shared.results import Result

Tried = tuple[Attempt, ...]


class Progress:
    """A record as it was written last, and the queue of what was tried so far: only what is worth
    a write is put there, and nothing that has been overtaken is written."""

    def __init__(self, app: App, record: Record) -> None:
        self.record = record
        self.tried: asyncio.Queue[Tried | None] = asyncio.Queue()
        self._app = app

    async def during(self, work: Awaitable[Result]) -> Result:
        """The end of the work. The last write is waited for: without its version the hold could
        not be ended."""
        writing = asyncio.create_task(self._write())
        try:
            return await work
        finally:
            self.tried.put_nowait(None)
            await writing

    async def _write(self) -> None:
        while (tried := await self.tried.get()) is not None:
            while not self.tried.empty():
                later = self.tried.get_nowait()
                if later is None:
                    return
                tried = later
            if tried == self.record.attempts:
                continue
            try:
                self.record = await self._app.records.advance(replace(self.record, attempts=tried))
            except Exception as error:
                # Written perhaps, or cancelled meanwhile. What is being made does not suffer by it.
                log.event("request.progress_lost", severity="WARNING", cause=type(error).__name__)
                if await self._ended():
                    return

    async def _ended(self) -> bool:
        """Whether the record ended meanwhile: then its version is not taken over, or its hold would
        be ended a second time with it."""
        try:
            found = await self._app.records.request(self.record.account_id, self.record.id)
        except Exception as error:
            log.crash("request.progress_lost", error)
            return False
        if found is None or not found.open:
            return True
        self.record = found
        return False

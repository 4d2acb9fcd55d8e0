"""Google's batches over ours: the lines of one as they come in, and its answers as they go out, one
at a time, made from results and stored pictures whenever somebody reads them.

Facts: ai.google.dev/gemini-api/docs/batch-api and google-genai 3.4.0, 2026-10.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic_core import to_json

from shared import batches, deletion, files, jsonl
from shared.batch_intake import MAX_LINE_BYTES, BadItems
from shared.errors import InProgress, InvalidRequest
from shared.surfaces import INLINE_BYTES, Shown, gemini_batches, gemini_operations
from shared.surfaces.gemini_batches import SURFACE, BatchMessage, Lines
from shared.surfaces.gemini_errors import Place, unknown_path
from shared.surfaces.gemini_files import batch_of, no_permission
from shared.surfaces.google_json import Refusal

if TYPE_CHECKING:
    from shared.app import App
    from shared.batch_domain import Batch
    from shared.batch_items import BatchAsk, ItemResult
    from shared.domain import Delivery, Image, Json
    from shared.surfaces.gemini_answer import Rendering

GoesOn = Callable[[str], Awaitable[bool]]
"""Whether an earlier request can be gone on from."""


async def source(
    app: App, account_id: str, asked: BatchMessage, lines: Lines, goes_on: GoesOn
) -> AsyncIterator[bytes]:
    """The lines of a batch, from its body or its file. Raises Refusal for a file that is not the
    account's."""
    file_name = asked.input_config.file_name
    if not file_name:
        return _told(_each(gemini_batches.written(asked)), lines, goes_on)
    file_id = file_name.removeprefix("files/")
    if await files.find(app, account_id, file_id) is None:
        raise no_permission(file_id)
    chunks = files.chunks(app.storage, account_id, file_id, app.clock())
    return _told(chunks, lines, goes_on)


async def create(app: App, ask: BatchAsk, place: Place) -> Batch:
    """Take a batch in. Raises Refusal for lines that cannot be done, and what `batches.create`
    raises."""
    try:
        return await batches.create(app, ask)
    except BadItems as error:
        inline = bool(ask.wire.get("inline"))
        raise gemini_batches.bad_lines(error.details, place, inline=inline) from error


async def find(app: App, account_id: str, name: str) -> Batch:
    """The account's batch of that name, if it came this way. Raises Refusal."""
    batch = await batches.find(app, account_id, gemini_operations.batch_id(name))
    if batch is None or batch.surface != SURFACE:
        raise unknown_path()
    return batch


async def listed(app: App, account_id: str, page: tuple[int, str]) -> dict[str, Json]:
    """The batches that came this way, newest first, without the answers that stand in one. Raises
    InvalidRequest for a token that is none."""
    length, token = page
    found = await batches.listed(app, account_id, SURFACE, length, token or None)
    shown: list[Json] = [gemini_operations.operation(one, _file(one)) for one in found.items]
    more: dict[str, Json] = {"nextPageToken": found.cursor} if found.cursor else {}
    return ({"operations": shown} if shown else {}) | more


async def cancel(app: App, batch: Batch) -> None:
    """Begin nothing any more; as at Google, to cancel what has ended is no error."""
    if not batch.open:
        return
    try:
        await batches.cancel(app, batch)
    except InvalidRequest:
        # It ended meanwhile.
        return


async def delete(app: App, batch: Batch) -> None:
    """Forget an ended batch, its answers and its pictures. Raises Refusal."""
    try:
        await deletion.delete_batch(app, batch)
    except InProgress as error:
        raise Refusal(400, error.message, status="FAILED_PRECONDITION") from error


async def behind(app: App, account_id: str, file_id: str) -> Batch | None:
    """The ended batch whose answers a file is; None for the id of any other file. Raises
    Refusal."""
    found = batch_of(file_id)
    if found is None:
        return None
    batch = await batches.find(app, account_id, found)
    if batch is None or batch.surface != SURFACE or not gemini_operations.delivered(batch):
        raise no_permission(file_id)
    return batch


@dataclass(frozen=True)
class Answers:
    """The answers of one batch, as often as they are read."""

    app: App
    batch: Batch
    rendering: Rendering
    delivery: Delivery

    async def operation(self) -> Iterator[bytes]:
        """The batch as JSON, in pieces: with its answers in it, in the order of its requests, if
        those were in the body and the pictures are not too large together."""
        batch = self.batch
        if gemini_operations.delivered(batch) and batch.wire.get("inline"):
            found = [result async for result in batches.results(self.app, batch)]
            if self.delivery == "url" or _bytes(found) <= INLINE_BYTES:
                found.sort(key=lambda result: result.index)
                answers = [to_json(await self._answer(result)) for result in found]
                return gemini_operations.with_answers(batch, answers)
        output = gemini_operations.in_file(batch) if gemini_operations.delivered(batch) else None
        return iter([to_json(gemini_operations.operation(batch, output))])

    async def lines(self) -> AsyncIterator[bytes]:
        """A line for each request that has ended, in the order they did."""
        async for result in batches.results(self.app, self.batch):
            yield to_json({"key": result.custom_id, **await self._answer(result)}) + b"\n"

    async def _answer(self, result: ItemResult) -> dict[str, Json]:
        pictures = [await self._shown(image) for image in result.images]
        answer = gemini_operations.answer(self.batch, result, self.rendering, pictures)
        return {**gemini_operations.metadata_of(self.batch, result), **answer}

    async def _shown(self, image: Image) -> Shown:
        """A picture: in base64 where that is wanted and it is still there."""
        link, _ = self.app.links.image(image.id, self.app.clock())
        blob = await self.app.storage.get(image.name) if self.delivery == "b64_json" else None
        return Shown(image, link, base64.b64encode(blob.data).decode() if blob else None)


async def _told(
    pieces: AsyncIterator[bytes], lines: Lines, goes_on: GoesOn
) -> AsyncIterator[bytes]:
    """The same line by line; what one goes on from has been looked at when it comes."""
    async for line, _ in jsonl.lines(pieces, MAX_LINE_BYTES):
        if any(mark in line for mark in gemini_batches.SIGNED):
            earlier = await asyncio.to_thread(lines.goes_on_from, line)
            if earlier is not None and await goes_on(earlier):
                lines.continued.add(earlier)
        yield line + b"\n"


async def _each(lines: Iterator[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


def _file(batch: Batch) -> dict[str, Json] | None:
    """The output as a list shows it: a file's name, and nothing that stands in the batch."""
    shown = gemini_operations.delivered(batch) and not batch.wire.get("inline")
    return gemini_operations.in_file(batch) if shown else None


def _bytes(found: list[ItemResult]) -> int:
    """What the pictures have together."""
    return sum(image.bytes for result in found for image in result.images)

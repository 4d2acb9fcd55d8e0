"""OpenAI's Batch API over the engine: a batch of a file of lines, found again when an SDK sends it
once more, and its results as lines."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from shared import batches, body, files, log, names, routing
from shared.batch_domain import Batch
from shared.batch_items import BatchAsk
from shared.domain import Caller, Image, Json
from shared.errors import InvalidRequest, PayloadTooLarge
from shared.records.documents import to_cursor
from shared.repeats import WINDOW
from shared.storage import BadName
from shared.surfaces import openai_batch_lines, openai_files, openai_refs
from shared.surfaces import openai_batches as shapes
from shared.surfaces.openai_batch_lines import Kind
from shared.surfaces.openai_batches import ListQuery, Read

if TYPE_CHECKING:
    # The App's loader reads files, which are listed with the results here.
    from shared.app import App
    from shared.catalogue.rows import Model

_PAGE = 100
_FOR_BATCHES = ("", openai_files.BATCH)
"""What a batch's file may have been sent for: by other APIs it is for nothing."""


@dataclass(frozen=True)
class Made:
    """A batch, the names of what was passed over, and whether it was there before."""

    batch: Batch
    ignored: tuple[str, ...] = ()
    replayed: bool = False


async def create(
    app: App, caller: Caller, fields: Mapping[str, Any], key: str | None, *, repeated: bool
) -> Made:
    """Take a batch in. What its file has wrong is on record with it; everything else is raised:
    NotFound, InvalidRequest, InsufficientCredit, IdempotencyConflict … `repeated` says that it is
    sent again, and without a key the first one is found then."""
    read = shapes.read(fields)
    fingerprint = await asyncio.to_thread(body.fingerprint, shapes.BATCHES, fields, body.Files())
    if repeated and key is None:
        first = await _first(app, caller, fingerprint)
        if first is not None:
            return Made(first, read.ignored, replayed=True)
    sent = (caller.key_id, fingerprint)
    with app.tries.entering(sent, shapes.BATCHES, app.clock()):
        return await _taken_in(app, caller, read, fingerprint, key)


async def find(app: App, account_id: str, batch_id: str) -> Batch:
    """A batch of the account's that came by this API. Raises NotFound."""
    own = shapes.own(batch_id)
    batch = await app.records.batch(account_id, own) if own else None
    if batch is None or batch.surface != shapes.SURFACE:
        raise shapes.missing(batch_id)
    return batch


async def listed(app: App, account_id: str, asked: ListQuery) -> dict[str, Json]:
    """A page of batches, newest first. Raises NotFound for one to go on from that is not there."""
    cursor = None
    if asked.after is not None:
        last = await find(app, account_id, asked.after)
        cursor = to_cursor(last.created_at, last.id)
    page = await app.records.batches(account_id, shapes.SURFACE, asked.limit, cursor)
    ids = [shapes.id_of(batch) for batch in page.items]
    return openai_files.page([*map(shapes.shown, page.items)], ids, more=page.cursor is not None)


async def cancel(app: App, batch: Batch) -> Batch:
    """Begin nothing of it any more. Raises InvalidRequest for one that has ended."""
    if not batch.open:
        raise shapes.ended(batch)
    if batch.cancelling:
        return batch
    at: Mapping[str, Json] = {shapes.CANCELLING_AT: int(app.clock().timestamp())}
    return await batches.cancel(app, replace(batch, wire={**batch.wire, **at}))


async def every(app: App, account_id: str) -> AsyncIterator[Batch]:
    """All that came by this API, newest first."""
    cursor = None
    while True:
        page = await app.records.batches(account_id, shapes.SURFACE, _PAGE, cursor)
        for batch in page.items:
            yield batch
        cursor = page.cursor
        if cursor is None:
            return


async def pieces(app: App, batch: Batch, kind: Kind) -> AsyncIterator[bytes]:
    """A file of results, with one picture in memory at once."""
    async for piece in _pieces(app, batch, kind):
        yield await _inline(app, piece) if isinstance(piece, Image) else piece


async def size(app: App, batch: Batch, kind: Kind) -> int:
    """How many bytes it has. The results are read for it, their pictures are not."""
    return sum([openai_batch_lines.bytes_of(piece) async for piece in _pieces(app, batch, kind)])


async def _pieces(app: App, batch: Batch, kind: Kind) -> AsyncIterator[openai_batch_lines.Piece]:
    async for result in batches.results(app, batch):
        if openai_batch_lines.belongs(result, kind):
            for piece in openai_batch_lines.line(batch, result):
                yield piece


async def _inline(app: App, image: Image) -> bytes:
    blob = await app.storage.get(image.name)
    if blob is None:
        log.event("batch.picture_missing", severity="ERROR", image=image.id)
        return b"null"
    encoded = await asyncio.to_thread(base64.b64encode, blob.data)
    return b'"' + encoded + b'"'


async def _taken_in(
    app: App, caller: Caller, read: Read, fingerprint: str, key: str | None
) -> Made:
    unread: set[str] = set()

    def model(name: str) -> Model | None:
        return None if name == routing.AUTO else app.catalogue.resolve(name, app.today())

    source = await _source(app, caller.account_id, read.body.input_file_id)
    ask = BatchAsk(
        caller=caller,
        source=source,
        parse=openai_batch_lines.reader(read.body.endpoint, model, unread),
        fingerprint=fingerprint,
        metadata=read.body.metadata,
        idempotency_key=key,
        surface=shapes.SURFACE,
        wire=read.wire,
    )
    try:
        batch = await batches.create(app, ask)
    except (InvalidRequest, PayloadTooLarge) as error:
        batch = await batches.refuse(app, ask, error)
    return Made(batch, (*read.ignored, *sorted(unread)))


async def _source(app: App, account_id: str, file_id: str) -> AsyncIterator[bytes]:
    """The bytes of a batch's file, or of an upload. Raises NotFound, InvalidRequest."""
    missing = openai_files.missing(file_id, "input_file_id")
    if file_id.startswith(openai_refs.UPLOADS):
        try:
            found = await app.storage.list(names.uploads(account_id, file_id))
        except BadName as error:
            raise missing from error
        if not found:
            raise missing
        return app.storage.stream(found[0])
    file = await files.find(app, account_id, file_id)
    if file is None:
        raise missing
    if file.purpose not in _FOR_BATCHES:
        raise shapes.wrong_purpose(file_id, file.purpose)
    return files.chunks(app.storage, account_id, file_id, app.clock())


async def _first(app: App, caller: Caller, fingerprint: str) -> Batch | None:
    """The batch that the same key asked for with the same words, not long ago."""
    sent = (caller.key_id, fingerprint)
    await app.tries.through(sent)
    now = app.clock()
    if app.tries.refused(sent, now):
        return None
    async for batch in every(app, caller.account_id):
        if batch.created_at < now - WINDOW:
            return None
        if (batch.key_id, batch.fingerprint) == sent:
            return batch
    return None

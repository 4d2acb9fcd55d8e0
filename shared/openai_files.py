"""OpenAI's Files API over what an account has here: the files it keeps, and the results of its
batches, which are written while they are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from shared import files, openai_batches
from shared.batch_domain import Batch
from shared.domain import Json
from shared.file_objects import File
from shared.surfaces import openai_batches as batch_shapes
from shared.surfaces import openai_files
from shared.surfaces.openai_batch_lines import Kind
from shared.surfaces.openai_files import ListQuery

if TYPE_CHECKING:
    # The App's loader reads files.
    from shared.app import App

_PAGE = 100
Results = tuple[Batch, Kind]
"""A file of results: whose, and which of the two."""


@dataclass(frozen=True)
class Content:
    """A file's bytes, in order, and what it is called."""

    filename: str
    pieces: AsyncIterator[bytes]


@dataclass(frozen=True)
class _Entry:
    created_at: datetime
    id: str
    what: File | Results


async def keep(
    app: App, account_id: str, named: tuple[str, str], data: bytes, purpose: str
) -> File:
    """Store a file; `named` is what it and its type are called. Raises InvalidRequest,
    QuotaExceeded."""
    filename, mime_type = named
    upload = await files.begin(
        app,
        account_id,
        file_id=openai_files.new_id(app.new_id()),
        display_name=filename,
        mime_type=mime_type,
        size_bytes=len(data),
    )
    stored = await files.receive(app, replace(upload, purpose=purpose), 0, data, last=True)
    assert isinstance(stored, File)  # noqa: S101 # the last chunk makes it one
    return stored


async def shown(app: App, account_id: str, file_id: str) -> dict[str, Json]:
    """A file as JSON. Raises NotFound for what is not the account's."""
    made = await _results(app, account_id, file_id)
    if made is not None:
        return batch_shapes.results(*made, await openai_batches.size(app, *made))
    return openai_files.uploaded(await _uploaded(app, account_id, file_id))


async def content(app: App, account_id: str, file_id: str) -> Content:
    """A file's bytes. Raises NotFound."""
    made = await _results(app, account_id, file_id)
    if made is not None:
        return Content(batch_shapes.filename(*made), openai_batches.pieces(app, *made))
    file = await _uploaded(app, account_id, file_id)
    pieces = files.chunks(app.storage, account_id, file_id, app.clock())
    return Content(file.display_name or file.id, pieces)


async def forget(app: App, account_id: str, file_id: str) -> None:
    """Delete a file that was sent. Raises NotFound, InvalidRequest for results."""
    if await _results(app, account_id, file_id) is not None:
        raise openai_files.not_deletable()
    if not await files.delete(app, account_id, file_id):
        raise openai_files.missing(file_id)


async def listed(app: App, account_id: str, asked: ListQuery) -> dict[str, Json]:
    """A page of files. Raises NotFound for a file to go on from that is not in the list."""
    entries = [entry async for entry in _entries(app, account_id, asked.purpose)]
    entries.sort(key=lambda entry: (entry.created_at, entry.id), reverse=asked.order == "desc")
    if asked.after is not None:
        places = {entry.id: place for place, entry in enumerate(entries)}
        if asked.after not in places:
            raise openai_files.missing(asked.after)
        entries = entries[places[asked.after] + 1 :]
    some = entries[: min(asked.limit, openai_files.MOST_LISTED)]
    data: list[Json] = [await _shown(app, entry) for entry in some]
    return openai_files.page(data, [entry.id for entry in some], more=len(some) < len(entries))


async def _entries(app: App, account_id: str, purpose: str | None) -> AsyncIterator[_Entry]:
    """Everything of that purpose, in no order."""
    if purpose in (None, openai_files.RESULTS):
        async for batch in openai_batches.every(app, account_id):
            kinds: tuple[Kind, Kind] = ("output", "error")
            for kind in kinds:
                file_id = batch_shapes.file_of(batch, kind)
                if file_id is not None and batch.completed_at is not None:
                    yield _Entry(batch.completed_at, file_id, (batch, kind))
    cursor = None
    while purpose != openai_files.RESULTS:
        page = await files.listed(app, account_id, _PAGE, cursor)
        for file in page.items:
            if purpose in (None, openai_files.uploaded(file)["purpose"]):
                yield _Entry(file.created_at, file.id, file)
        cursor = page.cursor
        if cursor is None:
            return


async def _shown(app: App, entry: _Entry) -> Mapping[str, Json]:
    if isinstance(entry.what, File):
        return openai_files.uploaded(entry.what)
    return batch_shapes.results(*entry.what, await openai_batches.size(app, *entry.what))


async def _uploaded(app: App, account_id: str, file_id: str) -> File:
    file = await files.find(app, account_id, file_id)
    if file is None:
        raise openai_files.missing(file_id)
    return file


async def _results(app: App, account_id: str, file_id: str) -> Results | None:
    """The results that a file id stands for; None for that of a file that was sent. Raises
    NotFound."""
    named = batch_shapes.of_file(file_id)
    if named is None:
        return None
    batch_id, kind = named
    batch = await app.records.batch(account_id, batch_id)
    ours = batch is not None and batch.surface == batch_shapes.SURFACE
    if batch is None or not ours or batch_shapes.file_of(batch, kind) != file_id:
        raise openai_files.missing(file_id)
    return batch, kind

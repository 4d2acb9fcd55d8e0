"""From the images a caller names to their checked bytes, and the turns an edit continues."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from shared import files, names, pixels, turns
from shared.domain import ImageRef, ImageRequest, Record, Source, Turn
from shared.errors import InvalidRequest, NotFound, PayloadTooLarge
from shared.fetch import Fetcher
from shared.records import Records
from shared.storage import BadName, Missing, Storage

T = TypeVar("T")

MAX_TOTAL_BYTES = 64 * 1024 * 1024
MAX_TURNS = 16
AT_ONCE = 4

_UPLOAD_ID = re.compile(r"upl_[A-Za-z0-9_-]{1,100}", re.ASCII)
_REQUEST_ID = re.compile(r"req_[A-Za-z0-9_-]{1,100}", re.ASCII)
_PREVIOUS = "previous_request_id"


@dataclass(frozen=True)
class Loader:
    """Where one account's images come from, for a test key (`sandbox`) or a live one. By `now` its
    files must not have expired."""

    records: Records
    storage: Storage
    fetcher: Fetcher
    account_id: str
    sandbox: bool
    now: datetime


class _Budget:
    """The bytes one request may bring along. Raises PayloadTooLarge once they are used up."""

    def __init__(self) -> None:
        self._left = MAX_TOTAL_BYTES
        self.places = asyncio.Semaphore(AT_ONCE)

    def take(self, count: int, field: str) -> None:
        self._left -= count
        if self._left < 0:
            raise PayloadTooLarge(
                f"The images of a request may have {MAX_TOTAL_BYTES} bytes together.", param=field
            )


async def load(request: ImageRequest, loader: Loader) -> ImageRequest:
    """The request with `sources`, `mask` and `turns` in place of what names them.

    Raises NotFound for what is not the account's, UnsupportedImage, PayloadTooLarge, and
    InvalidRequest for a URL that cannot be read, a mask that does not fit the first image, or a
    request that cannot be continued. `param` names the field.
    """
    refs = {f"images[{n}]": ref for n, ref in enumerate(request.refs)}
    if request.mask_ref is not None:
        if not refs:
            raise InvalidRequest("A mask needs an image to lie on.", param="mask")
        refs["mask"] = request.mask_ref
    budget = _Budget()
    loaded = await _together([_source(ref, f, loader, budget) for f, ref in refs.items()])
    sources = tuple(loaded[: len(request.refs)])
    mask = loaded[-1] if request.mask_ref is not None else None
    if mask is not None:
        await asyncio.to_thread(pixels.check_mask, mask, sources[0], "mask")
    previous = await _continued(request.previous_request_id, loader)
    return replace(
        request,
        sources=sources,
        mask=mask,
        turns=await _turns(previous, request.max_turns, loader, budget),
        previous_request_id=previous.id if previous else None,
    )


async def _together(jobs: list[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order, or the first error, with the other jobs stopped."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


async def _source(ref: ImageRef, field: str, loader: Loader, budget: _Budget) -> Source:
    async with budget.places:
        data = await _bytes(ref, field, loader)
        budget.take(len(data), field)
        return await asyncio.to_thread(pixels.inspect, data, field)


async def _bytes(ref: ImageRef, field: str, loader: Loader) -> bytes:
    if ref.data is not None:
        return ref.data
    if ref.image_id is not None:
        return await _image(ref.image_id, f"{field}.image_id", loader)
    if ref.upload_id is not None:
        return await _upload(ref.upload_id, f"{field}.upload_id", loader)
    if ref.file_id is not None:
        return await _file(ref.file_id, f"{field}.file_id", loader)
    url = ref.url or ""
    if url[:5].lower() == "data:":
        return _data_url(url, f"{field}.url")
    return await loader.fetcher.fetch(url, f"{field}.url")


async def owns(records: Records, account_id: str, image_id: str) -> bool:
    """Whether a picture came of one of the account's requests or batches."""
    request_id = names.request_of(image_id)
    if request_id is None:
        return False
    batch_id = names.batch_of(request_id)
    if batch_id is not None:
        batch = await records.batch(account_id, batch_id)
        return batch is not None and not batch.deleted
    record = await records.request(account_id, request_id)
    return record is not None and image_id in {image.id for image in record.images}


async def _image(image_id: str, field: str, loader: Loader) -> bytes:
    """A picture the account got before."""
    missing = NotFound("You have no image of this id.", param=field)
    name = names.picture(image_id)
    known = name is not None and await owns(loader.records, loader.account_id, image_id)
    blob = await loader.storage.get(name) if name and known else None
    if blob is None:
        raise missing
    return blob.data


async def _upload(upload_id: str, field: str, loader: Loader) -> bytes:
    """A file the account has put into storage."""
    missing = NotFound("There is no upload of this id, or nothing was sent to it.", param=field)
    if not _UPLOAD_ID.fullmatch(upload_id):
        raise missing
    found = await loader.storage.list(names.uploads(loader.account_id, upload_id))
    if not found:
        raise missing
    data = bytearray()
    try:
        # A file of 2 GB may have been uploaded, which is no image.
        async for piece in loader.storage.stream(found[0]):
            data += piece
            if len(data) > pixels.MAX_BYTES:
                raise PayloadTooLarge(
                    f"An image has at most {pixels.MAX_BYTES} bytes.", param=field
                )
    except Missing as error:
        raise missing from error
    except BadName as error:
        # Not by our link: someone with access to the bucket put it there.
        raise InvalidRequest(
            "The file's name may have letters, digits, dots, hyphens and underscores only.",
            param=field,
        ) from error
    return bytes(data)


async def _file(file_id: str, field: str, loader: Loader) -> bytes:
    """A file the account keeps for a while."""
    most = pixels.MAX_BYTES
    try:
        return await files.read(loader.storage, loader.account_id, file_id, most, loader.now)
    except (NotFound, PayloadTooLarge) as error:
        error.param = field
        raise


def _data_url(url: str, field: str) -> bytes:
    """RFC 2397."""
    head, comma, body = url.partition(",")
    if not comma:
        raise InvalidRequest("The data: URL has no comma.", param=field)
    data = unquote_to_bytes(body)
    if not head.lower().endswith(";base64"):
        return data
    try:
        return base64.b64decode(b"".join(data.split()), validate=True)
    except binascii.Error as error:
        raise InvalidRequest("The data: URL is not valid base64.", param=field) from error


async def _continued(request_id: str | None, loader: Loader) -> Record | None:
    """The request to go on from, once it is known to be the caller's. One that was answered from
    the cache goes on where its pictures were made."""
    if request_id is None:
        return None
    known = _REQUEST_ID.fullmatch(request_id)
    record = await loader.records.request(loader.account_id, request_id) if known else None
    if record is None:
        raise NotFound("You have no request of this id.", param=_PREVIOUS)
    if record.status != "succeeded":
        raise InvalidRequest(
            f"The earlier request is {record.status}; only one that succeeded can be continued.",
            param=_PREVIOUS,
        )
    if record.sandbox != loader.sandbox:
        raise InvalidRequest(
            "A request made with a test key is continued with a test key, and a live one with a "
            "live key.",
            param=_PREVIOUS,
        )
    if record.basis != "cache":
        return record
    made_by = names.request_of(record.images[0].id) or ""
    return await loader.records.request(loader.account_id, made_by) or replace(record, id=made_by)


async def _turns(
    previous: Record | None, most: int | None, loader: Loader, budget: _Budget
) -> tuple[Turn, ...]:
    """The conversation so far, oldest first: all of it, or `most` turns at the end of it, or as
    many of these as there are and fit. Whose the requests before the last are has been checked for
    each, when the next was made."""
    found: list[Turn] = []
    earlier = previous.id if previous else None
    while earlier is not None and len(found) != most:
        try:
            if len(found) == MAX_TURNS:
                raise InvalidRequest(
                    f"The conversation has more than {MAX_TURNS} turns. Start a new one from its "
                    "last image.",
                    param=_PREVIOUS,
                )
            if found:
                previous = await loader.records.request(loader.account_id, earlier)
            kept = await _kept(earlier, previous, loader.storage)
            turn, earlier = await _turn(earlier, kept, loader.storage, budget)
        except (InvalidRequest, PayloadTooLarge):
            if most is None or not found:
                raise
            break
        found.append(turn)
    return tuple(reversed(found))


async def _kept(request_id: str, record: Record | None, storage: Storage) -> bytes:
    """What was kept of a turn, in its record or by itself."""
    if record is not None and record.turn is not None:
        return record.turn.encode()
    blob = await storage.get(names.turn(request_id))
    if blob is None:
        raise InvalidRequest(
            f"The request {request_id} cannot be continued: its model has no turns, or they were "
            "deleted. Send its image as a source instead.",
            param=_PREVIOUS,
        )
    return blob.data


async def _turn(
    request_id: str, kept: bytes, storage: Storage, budget: _Budget
) -> tuple[Turn, str | None]:
    made = await storage.get(f"{names.pictures(request_id)}0")
    picture = await asyncio.to_thread(pixels.measure, made.data) if made else None
    turn, earlier = await asyncio.to_thread(turns.decode, kept)
    turn = replace(turn, images=(picture,) if picture else ())
    budget.take(len(kept) + turns.size_bytes(turn), _PREVIOUS)
    return turn, earlier

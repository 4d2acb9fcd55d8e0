"""What things are called in storage and in links: every name follows from a request's id."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

FILES = "files/"
"""The prefix of every file that callers keep for their requests; accounts follow."""
_IMAGE_ID = re.compile(r"img_([A-Za-z0-9-]{1,100})_([0-9]{1,4})", re.ASCII)
_ITEM_ID = re.compile(r"req_([a-z0-9]+)-[0-9]+", re.ASCII)
_FILE_PART = re.compile(
    r"files/([^/]+)/([^/]+)/(?:file\.json|([0-9]{16})/(?:deleted|[0-9]{12}-([0-9]{12})))"
)


@dataclass(frozen=True)
class FilePart:
    """What the name of a kept file's object says. `begun_us` is None for the file's description;
    `length` is the bytes of a chunk, 0 for what is none."""

    account_id: str
    file_id: str
    begun_us: int | None
    length: int


def image_id(request_id: str, n: int) -> str:
    """The id of a request's picture, "img_…_0" for the first."""
    return f"img_{request_id.removeprefix('req_')}_{n}"


def request_of(image_id: str) -> str | None:
    """The id of the request that made a picture; None for what is no picture's id."""
    found = _IMAGE_ID.fullmatch(image_id)
    return f"req_{found[1]}" if found else None


def picture(image_id: str) -> str | None:
    """The object that holds a picture; None for what is no picture's id."""
    found = _IMAGE_ID.fullmatch(image_id)
    return f"{pictures(f'req_{found[1]}')}{found[2]}" if found else None


def pictures(request_id: str) -> str:
    """The prefix of a request's pictures; a number follows."""
    return f"images/{request_id}/"


def turn(request_id: str) -> str:
    """The object that a later turn continues from."""
    return f"turns/{request_id}"


def item(batch_id: str, index: int) -> str:
    """The id of a batch's item, as if it were a request: its pictures follow from it."""
    return f"req_{batch_id.removeprefix('bat_')}-{index}"


def batch_of(request_id: str) -> str | None:
    """The batch whose item this is; None for a request of its own."""
    found = _ITEM_ID.fullmatch(request_id)
    return f"bat_{found[1]}" if found else None


def batch_items(batch_id: str, intake: str) -> str:
    """The prefix of a batch's items, as one attempt to take it in wrote them."""
    return f"items/{batch_id}/{intake}/"


def batch_chunk(batch_id: str, intake: str, group: int, chunk: int) -> str:
    """The object that holds a chunk of a batch's items."""
    return f"{batch_items(batch_id, intake)}{group:03d}-{chunk:06d}"


def batch_result(batch_id: str, name: str) -> str:
    """The object that holds some of a batch's results."""
    return f"batches/{batch_id}/{name}"


def batch_begun(batch_id: str, index: int) -> str:
    """The object that says that an item was sent to a provider, or is about to be."""
    return f"{begun(batch_id)}{index}"


def begun(batch_id: str) -> str:
    """The prefix of what says which items of a batch were sent."""
    return f"begun/{batch_id}/"


def queued(request_id: str) -> str:
    """The object that holds a request until its turn."""
    return f"queue/{request_id}"


def job(provider_id: str, token: str) -> str:
    """The object that says whose a provider's batch is, by the provider's own name for it."""
    return f"jobs/{provider_id}/{hashlib.sha256(token.encode()).hexdigest()}"


def webhook(provider_id: str, webhook_id: str) -> str:
    """The object that says that a provider's webhook has been heeded."""
    return f"webhooks/{provider_id}/{hashlib.sha256(webhook_id.encode()).hexdigest()}"


def uploads(account_id: str, upload_id: str) -> str:
    """The prefix of a file that an account uploaded; its own name follows."""
    return f"uploads/{account_id}/{upload_id}/"


def files(account_id: str) -> str:
    """The prefix of the files an account keeps for its requests; an id follows."""
    return f"{FILES}{account_id}/"


def file(account_id: str, file_id: str) -> str:
    """The prefix of a kept file's objects."""
    return f"{files(account_id)}{file_id}/"


def file_description(account_id: str, file_id: str) -> str:
    """The object that says what a kept file is."""
    return f"{file(account_id, file_id)}file.json"


def file_chunks(account_id: str, file_id: str, begun_us: int) -> str:
    """The prefix of what one upload of a file brought, by when it was begun, in microseconds since
    1970; "<offset>-<length>" follows."""
    return f"{file(account_id, file_id)}{begun_us:016d}/"


def file_deleted(chunks: str) -> str:
    """The object that says that an upload's file was deleted, by the prefix of its chunks."""
    return f"{chunks}deleted"


def file_part(name: str) -> FilePart | None:
    """What an object is of a kept file; None for any other object."""
    found = _FILE_PART.fullmatch(name)
    if found is None:
        return None
    begun_us = int(found[3]) if found[3] else None
    return FilePart(found[1], found[2], begun_us, int(found[4] or 0))

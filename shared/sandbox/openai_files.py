"""OpenAI's Files API: upload in one form, then get, list, read and delete.

Facts: recorded uploads of 2026-08 and the types of openai 3.52, 2026-11. The wording of errors is
like that of other calls where no answer was found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import httpx

from shared.domain import Json
from shared.sandbox.batch import stamp
from shared.sandbox.openai_wire import Refusal, answer
from shared.sandbox.shelf import Contents, Shelf

PROVIDER = "openai"
PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
LARGEST_BATCH_BYTES = 200 * 10**6
SHORTEST_S, LONGEST_S = 3600, 2_592_000
"""How soon a file may expire; a batch's does in the longest time if nothing is said."""
ID = re.compile(r"file-[a-z0-9]{22}")
MOST_LISTED = 10_000


@dataclass(frozen=True)
class File:
    """A file that was uploaded, or one of results, which has no `content` of its own. `size` is in
    bytes."""

    id: str
    filename: str
    purpose: str
    size: int
    created_at: datetime
    expires_after_s: int | None
    content: str = ""

    def expired(self, now: datetime) -> bool:
        """Whether it is gone by now."""
        life_s = self.expires_after_s
        return life_s is not None and self.created_at + timedelta(seconds=life_s) <= now

    def resource(self) -> dict[str, Json]:
        """The file as JSON."""
        created_at = int(self.created_at.timestamp())
        life_s = self.expires_after_s
        return {
            "object": "file",
            "id": self.id,
            "purpose": self.purpose,
            "filename": self.filename,
            "bytes": self.size,
            "created_at": created_at,
            "expires_at": None if life_s is None else created_at + life_s,
            "status": "processed",
            "status_details": None,
        }


class Files:
    """The uploaded files of one sandbox, on a shelf. Thread-safe."""

    def __init__(self, clock: Callable[[], datetime], shelf: Shelf) -> None:
        self._clock = clock
        self._shelf = shelf
        self.contents = Contents(shelf, PROVIDER)

    def find(self, file_id: str) -> File | None:
        """What is known of a file."""
        known = ID.fullmatch(file_id)
        data = self._shelf.get(f"{PROVIDER}/files/{file_id}") if known else None
        if data is None:
            return None
        fields = json.loads(data)
        file = File(created_at=datetime.fromisoformat(fields.pop("created_at")), **fields)
        return None if file.expired(self._clock()) else file

    def every(self) -> list[File]:
        """Every file that was uploaded."""
        names = self._shelf.list(f"{PROVIDER}/files/")
        found = (self.find(name.rpartition("/")[2]) for name in names)
        return [file for file in found if file is not None]

    def read(self, file_id: str) -> bytes | None:
        """What is in a file."""
        file = self.find(file_id)
        return None if file is None else self.contents.read(file.content)

    def upload(self, request: httpx.Request) -> httpx.Response:
        """Take a file out of a form."""
        fields, filename, data = _form(request)
        purpose = fields.get("purpose")
        if filename is None or data is None:
            raise _missing("file")
        if not purpose:
            raise _missing("purpose")
        if purpose not in PURPOSES:
            raise _not_one_of(purpose, PURPOSES, "purpose")
        if purpose == "batch" and not filename.endswith(".jsonl"):
            raise Refusal(400, "Invalid file format for Batch API. Must be .jsonl", param="file")
        if purpose == "batch" and len(data) > LARGEST_BATCH_BYTES:
            raise Refusal(
                400, f"The file is larger than {LARGEST_BATCH_BYTES} bytes.", param="file"
            )
        life_s = LONGEST_S if purpose == "batch" else None
        said = fields.get("expires_after[seconds]")
        if said is not None:
            life_s = life(int(said) if re.fullmatch("[0-9]{1,9}", said) else None)
        now = self._clock()
        file = File(
            id=f"file-{stamp(now, 22)}",
            filename=filename,
            purpose=purpose,
            size=len(data),
            created_at=now,
            expires_after_s=life_s,
            content=self.contents.keep(data),
        )
        record = asdict(file) | {"created_at": now.isoformat()}
        self._shelf.put(f"{PROVIDER}/files/{file.id}", json.dumps(record).encode())
        return answer(file.resource())

    def download(self, file: File) -> httpx.Response:
        """Give back what was uploaded."""
        data = self.contents.read(file.content)
        if data is None:
            raise no_file(file.id)
        name = re.sub(r"[^ -~]|\\", "_", file.filename)
        headers = {
            "content-type": "application/octet-stream",
            "content-disposition": f'attachment; filename="{name}"',
        }
        return httpx.Response(200, headers=headers, content=data)

    def delete(self, file: File) -> None:
        """Forget it."""
        self._shelf.delete(f"{PROVIDER}/files/{file.id}")
        self.contents.drop(file.content)


def life(seconds: Json) -> int:
    """How long a file is to live. Raises Refusal."""
    if not isinstance(seconds, int) or not SHORTEST_S <= seconds <= LONGEST_S:
        words = f"Expected a value between {SHORTEST_S} and {LONGEST_S}."
        name = "expires_after.seconds"
        raise Refusal(400, f"Invalid '{name}'. {words}", code="invalid_value", param=name)
    return seconds


def listed(request: httpx.Request, files: Sequence[File]) -> httpx.Response:
    """A page of these files, newest first unless told otherwise."""
    query = request.url.params
    purpose, order = query.get("purpose"), query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise _not_one_of(order, ("asc", "desc"), "order")
    kept = [file for file in files if purpose in (None, file.purpose)]
    kept.sort(key=lambda file: (file.created_at, file.id), reverse=order == "desc")
    by_id = {file.id: file for file in kept}
    body, chosen = page(query, list(by_id), MOST_LISTED, MOST_LISTED)
    body["data"] = [by_id[file_id].resource() for file_id in chosen]
    return answer(body)


def page(
    query: Mapping[str, str], ids: Sequence[str], default: int, most: int
) -> tuple[dict[str, Json], list[str]]:
    """A list but for its `data`, and the ids that belong there, by `limit` and `after`."""
    limit = query.get("limit", str(default))
    if not re.fullmatch("[0-9]{1,6}", limit) or not 1 <= int(limit) <= most:
        words = f"Invalid 'limit'. Expected a value between 1 and {most}."
        raise Refusal(400, words, code="invalid_value", param="limit")
    after = query.get("after")
    rest = list(ids)
    if after:
        if after not in rest:
            raise Refusal(400, f"Invalid 'after': '{after[:100]}'.", param="after")
        rest = rest[rest.index(after) + 1 :]
    chosen = rest[: int(limit)]
    body: dict[str, Json] = {
        "object": "list",
        "data": [],
        "first_id": chosen[0] if chosen else None,
        "last_id": chosen[-1] if chosen else None,
        "has_more": len(rest) > len(chosen),
    }
    return body, chosen


def no_file(file_id: str) -> Refusal:
    """The error for a file that is not there."""
    return Refusal(404, f"No such File object: {file_id[:100]}", param="id")


def _form(request: httpx.Request) -> tuple[dict[str, str], str | None, bytes | None]:
    """The texts of a form, and the name and bytes of the part `file`, which are copied once."""
    content = request.content
    fields: dict[str, str] = {}
    filename, data = None, None
    for head, start, end in _parts(content, request.headers.get("content-type", "")):
        name = re.search(r'(?<!file)name="([^"]*)"', head)
        named = re.search(r'filename="([^"]*)"', head)
        if name and name[1] == "file":
            filename, data = named[1] if named else "", content[start:end]
        elif name:
            fields[name[1]] = content[start:end].decode(errors="replace")
    return fields, filename, data


def _parts(content: bytes, kind: str) -> Iterator[tuple[str, int, int]]:
    """The head of each part of a form, and where what is in it begins and ends."""
    boundary = re.search(r'boundary="?([^";,]+)"?', kind)
    mark = b"--" + boundary[1].encode() if boundary else b""
    at = content.find(mark) if mark and kind.lower().startswith("multipart/form-data") else -1
    while at >= 0:
        start = at + len(mark)
        if content.startswith(b"--", start):
            return
        at = content.find(b"\r\n" + mark, start)
        body = content.find(b"\r\n\r\n", start)
        if not start <= body < at:
            break
        yield content[start:body].decode(errors="replace"), body + 4, at
        at += 2
    raise Refusal(400, "We could not parse the multipart body of your request.")


def _missing(name: str) -> Refusal:
    words = f"Missing required parameter: '{name}'."
    return Refusal(400, words, code="missing_required_parameter", param=name)


def _not_one_of(value: str, allowed: Sequence[str], param: str) -> Refusal:
    choices = ", ".join(f"'{one}'" for one in allowed)
    words = f"Invalid value: '{value[:100]}'. Supported values are: {choices}."
    return Refusal(400, words, code="invalid_value", param=param)

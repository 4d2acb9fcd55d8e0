"""Google's Files API: resumable upload in chunks, then get, list and delete for 48 hours.

Facts: ai.google.dev/api/files and the upload client of google-genai 3.4.0, 2026-10.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta

import httpx

from shared.domain import Json
from shared.sandbox.google_proto import answer
from shared.sandbox.shelf import Contents, Memory, Shelf
from shared.surfaces.gemini_files import (
    FileMessage,
    Resource,
    StartMessage,
    no_permission,
    not_generated,
)
from shared.surfaces.google_json import Refusal, page, read

PROVIDER = "google"
KEPT_FOR = timedelta(hours=48)
LARGEST_BYTES = 512 * 2**20
MOST_SESSIONS = 32
NAME = re.compile(r"files/([a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?)")
ADDRESS = re.compile(r"/v1(?:beta)?/(files/[a-z0-9-]+)$")


@dataclass(frozen=True)
class File:
    """An uploaded file; `uri` is its address here. What is in it stands under the name `content`,
    and in `data` where it was asked for."""

    name: str
    display_name: str
    mime_type: str
    size: int
    sha256: str
    created_at: datetime
    uri: str
    content: str
    data: bytes = field(default=b"", repr=False)

    def resource(self) -> dict[str, Json]:
        """The file as JSON."""
        return Resource(
            name=self.name,
            display_name=self.display_name,
            mime_type=self.mime_type,
            size_bytes=self.size,
            sha256=self.sha256,
            created_at=self.created_at,
            expires_at=self.created_at + KEPT_FOR,
            uri=self.uri,
        ).body()


@dataclass
class Session:
    """An upload on its way. It ends with the process, as the files do not."""

    file: FileMessage
    uri: str
    size: int
    pieces: list[bytes] = field(default_factory=list)

    @property
    def received(self) -> int:
        """How many bytes have come."""
        return sum(map(len, self.pieces))


class Files:
    """The files of one sandbox, on a shelf."""

    def __init__(self, clock: Callable[[], datetime], shelf: Shelf | None = None) -> None:
        self._clock = clock
        self._shelf = Memory() if shelf is None else shelf
        self.contents = Contents(self._shelf, PROVIDER)
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, name: str) -> File:
        """A file by its name or address, with what is in it. Raises Refusal: what is not there is
        forbidden."""
        file = self.about(name)
        data = self.contents.read(file.content)
        if data is None:
            raise no_permission(name.rpartition("/")[2])
        return replace(file, data=data)

    def about(self, name: str) -> File:
        """The same without what is in it."""
        address = ADDRESS.search(name)
        file = self._read(address[1] if address else name)
        if file is None or not self._fresh(file):
            raise no_permission(name.rpartition("/")[2])
        return file

    def listed(
        self, request: httpx.Request, generated: Sequence[tuple[datetime, dict[str, Json]]]
    ) -> httpx.Response:
        """A page of files, newest first, among them the generated ones."""
        names = self._shelf.list(f"{PROVIDER}/files/")
        known = (self._read(name.removeprefix(f"{PROVIDER}/")) for name in names)
        fresh = [f for f in known if f is not None and self._fresh(f)]
        every = [*((f.created_at, f.resource()) for f in fresh), *generated]
        every.sort(key=lambda entry: entry[0])
        bodies: list[Json] = [body for _, body in reversed(every)]
        return answer(page(request.url.params, "files", bodies, default=10, most=100))

    def delete(self, name: str) -> httpx.Response:
        """Forget a file."""
        self._forget(self.about(name))
        return answer({})

    def download(self, name: str) -> httpx.Response:
        """Only files that Google made can be fetched, and these were uploaded."""
        self.about(name)
        raise not_generated()

    def upload(self, request: httpx.Request, version: str) -> httpx.Response:
        """One step of a resumable upload, as its `x-goog-upload-command` says. A step that is
        refused ends the upload."""
        commands = set(re.split(r"\s*,\s*", request.headers.get("x-goog-upload-command", "")))
        session_id = request.url.params.get("upload_id", "")
        with self._lock:
            if commands == {"start"}:
                return self._start(request, version)
            session = self._sessions.pop(session_id, None)
        if session is None:
            raise Refusal(404, "There is no such upload, or it has ended.")
        if commands == {"cancel"}:
            return _status("cancelled")
        if commands - {"upload", "finalize", "query"}:
            raise Refusal(400, f"x-goog-upload-command cannot be {', '.join(sorted(commands))}.")
        if "upload" in commands:
            _append(session, request)
        if "finalize" in commands:
            return self._finish(session)
        with self._lock:
            self._sessions[session_id] = session
        return _status("active", {"x-goog-upload-size-received": str(session.received)})

    def _start(self, request: httpx.Request, version: str) -> httpx.Response:
        headers = request.headers
        if headers.get("x-goog-upload-protocol") != "resumable":
            raise Refusal(400, "The sandbox takes x-goog-upload-protocol: resumable only.")
        file = read(StartMessage, request.content, version).file
        if file.name and not NAME.fullmatch(file.name):
            raise Refusal(400, "A file's name is files/ and at most 40 of a-z, 0-9 and dashes.")
        taken = self._read(file.name)
        if taken and self._fresh(taken):
            raise _taken(file.name)
        if taken:
            self._forget(taken)
        size = headers.get("x-goog-upload-header-content-length", "")
        if not size.isdecimal() or int(size) > LARGEST_BYTES:
            raise Refusal(400, "x-goog-upload-header-content-length must say how many bytes come.")
        kind = file.mime_type or headers.get("x-goog-upload-header-content-type", "")
        name = file.name or f"files/{secrets.token_hex(6)}"
        address = request.url.copy_with(query=None)
        uri = str(address).replace("/upload/", "/") + name.removeprefix("files")
        described = file.model_copy(update={"name": name, "mime_type": kind})
        session_id = secrets.token_urlsafe(32)
        self._sessions[session_id] = Session(described, uri, int(size))
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        url = address.copy_with(params={"upload_id": session_id, "upload_protocol": "resumable"})
        return _status("active", {"x-goog-upload-url": str(url)})

    def _finish(self, session: Session) -> httpx.Response:
        if session.received != session.size:
            raise Refusal(400, f"{session.received} of {session.size} announced bytes were sent.")
        said = session.file
        # The pieces of one chunk are joined without a copy.
        data = b"".join(session.pieces)
        session.pieces.clear()
        file = File(
            name=said.name,
            display_name=said.display_name,
            mime_type=said.mime_type,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            created_at=self._clock(),
            uri=session.uri,
            content=self.contents.keep(data),
        )
        fields = asdict(file) | {"created_at": file.created_at.isoformat()}
        del fields["data"]
        if not self._shelf.put(f"{PROVIDER}/{file.name}", json.dumps(fields).encode()):
            self.contents.drop(file.content)
            raise _taken(file.name)
        return answer({"file": file.resource()}, headers={"x-goog-upload-status": "final"})

    def _fresh(self, file: File) -> bool:
        return file.created_at + KEPT_FOR > self._clock()

    def _forget(self, file: File) -> None:
        self._shelf.delete(f"{PROVIDER}/{file.name}")
        self.contents.drop(file.content)

    def _read(self, name: str) -> File | None:
        data = self._shelf.get(f"{PROVIDER}/{name}") if NAME.fullmatch(name) else None
        if data is None:
            return None
        fields = json.loads(data)
        created_at = datetime.fromisoformat(fields.pop("created_at"))
        return File(created_at=created_at, **fields)


def _taken(name: str) -> Refusal:
    return Refusal(409, f"Requested entity already exists: {name}")


def _append(session: Session, request: httpx.Request) -> None:
    offset = request.headers.get("x-goog-upload-offset", "")
    if offset != str(session.received):
        raise Refusal(400, f"Offset {offset!r} is not the {session.received} bytes received.")
    if session.received + len(request.content) > session.size:
        raise Refusal(400, f"More bytes were sent than the {session.size} announced.")
    if request.content:
        session.pieces.append(request.content)


def _status(status: str, headers: dict[str, str] | None = None) -> httpx.Response:
    plain = {"content-type": "text/plain; charset=utf-8", "x-goog-upload-status": status}
    return httpx.Response(200, headers={**plain, **(headers or {})}, content=b"")

"""Google's Files API: resumable upload in chunks, then get, list and delete for 48 hours.

Facts: ai.google.dev/api/files and the upload client of google-genai 3.4.0, 2026-10.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx

from shared.domain import Json
from shared.sandbox.google_proto import answer
from shared.surfaces.gemini_files import (
    FileMessage,
    Resource,
    StartMessage,
    no_permission,
    not_generated,
)
from shared.surfaces.google_json import Refusal, page, read

KEPT_FOR = timedelta(hours=48)
MOST_FILES = 256
MOST_BYTES = 512 * 2**20
MOST_SESSIONS = 32
NAME = re.compile(r"files/([a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?)")
ADDRESS = re.compile(r"/v1(?:beta)?/(files/[a-z0-9-]+)$")


@dataclass(frozen=True)
class File:
    """An uploaded file; `uri` is its address here."""

    name: str
    display_name: str
    mime_type: str
    data: bytes = field(repr=False)
    created_at: datetime
    uri: str

    def resource(self) -> dict[str, Json]:
        """The file as JSON."""
        return Resource(
            name=self.name,
            display_name=self.display_name,
            mime_type=self.mime_type,
            size_bytes=len(self.data),
            sha256=hashlib.sha256(self.data).hexdigest(),
            created_at=self.created_at,
            expires_at=self.created_at + KEPT_FOR,
            uri=self.uri,
        ).body()


@dataclass
class Session:
    """An upload on its way."""

    file: FileMessage
    uri: str
    size: int
    data: bytearray = field(default_factory=bytearray)


class Files:
    """The files of one sandbox, in memory; the oldest make room for new ones."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._files: OrderedDict[str, File] = OrderedDict()
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, name: str) -> File:
        """A file by its name or address. Raises Refusal: what is not there is forbidden."""
        address = ADDRESS.search(name)
        with self._lock:
            file = self._files.get(address[1] if address else name)
        if file is None or file.created_at + KEPT_FOR <= self._clock():
            raise no_permission(name.rpartition("/")[2])
        return file

    def listed(self, request: httpx.Request) -> httpx.Response:
        """A page of files, newest first."""
        with self._lock:
            known = list(reversed(self._files.values()))
        now = self._clock()
        fresh: list[Json] = [f.resource() for f in known if f.created_at + KEPT_FOR > now]
        return answer(page(request.url.params, "files", fresh, default=10, most=100))

    def delete(self, name: str) -> httpx.Response:
        """Forget a file."""
        found = self.find(name)
        with self._lock:
            self._files.pop(found.name, None)
        return answer({})

    def download(self, name: str) -> httpx.Response:
        """Only files that Google made can be fetched; here are none yet."""
        self.find(name)
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
                raise Refusal(
                    400, f"x-goog-upload-command cannot be {', '.join(sorted(commands))}."
                )
            if "upload" in commands:
                _append(session, request)
            if "finalize" in commands:
                return self._finish(session)
            self._sessions[session_id] = session
        return _status("active", {"x-goog-upload-size-received": str(len(session.data))})

    def _start(self, request: httpx.Request, version: str) -> httpx.Response:
        headers = request.headers
        if headers.get("x-goog-upload-protocol") != "resumable":
            raise Refusal(400, "The sandbox takes x-goog-upload-protocol: resumable only.")
        file = read(StartMessage, request.content, version).file
        if file.name and not NAME.fullmatch(file.name):
            raise Refusal(400, "A file's name is files/ and at most 40 of a-z, 0-9 and dashes.")
        if file.name in self._files:
            raise Refusal(409, f"Requested entity already exists: {file.name}")
        size = headers.get("x-goog-upload-header-content-length", "")
        if not size.isdecimal() or int(size) > MOST_BYTES:
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
        if len(session.data) != session.size:
            raise Refusal(400, f"{len(session.data)} of {session.size} announced bytes were sent.")
        said = session.file
        file = File(
            name=said.name,
            display_name=said.display_name,
            mime_type=said.mime_type,
            data=bytes(session.data),
            created_at=self._clock(),
            uri=session.uri,
        )
        self._files[file.name] = file
        self._make_room()
        return answer({"file": file.resource()}, headers={"x-goog-upload-status": "final"})

    def _make_room(self) -> None:
        while len(self._files) > 1 and (
            len(self._files) > MOST_FILES
            or sum(len(file.data) for file in self._files.values()) > MOST_BYTES
        ):
            self._files.popitem(last=False)


def _append(session: Session, request: httpx.Request) -> None:
    offset = request.headers.get("x-goog-upload-offset", "")
    if offset != str(len(session.data)):
        raise Refusal(400, f"Offset {offset!r} is not the {len(session.data)} bytes received.")
    if len(session.data) + len(request.content) > session.size:
        raise Refusal(400, f"More bytes were sent than the {session.size} announced.")
    session.data += request.content


def _status(status: str, headers: dict[str, str] | None = None) -> httpx.Response:
    plain = {"content-type": "text/plain; charset=utf-8", "x-goog-upload-status": status}
    return httpx.Response(200, headers={**plain, **(headers or {})}, content=b"")

"""Files as Google's Files API shows them: those that were uploaded, and the pictures made here,
which are its generated ones.

Facts: ai.google.dev/api/files and google-genai 3.4.0, 2026-10.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from shared.domain import Image, Json
from shared.surfaces import Support
from shared.surfaces.google_json import Message, Refusal, cut, stamp

if TYPE_CHECKING:
    # The sandbox, which reads this too, keeps no files in storage.
    from shared.file_objects import File

SUPPORT: Support = {
    "POST /upload/{version}/files": {
        "file.name": ("honoured", "files/ and 1 to 40 of a-z, 0-9 and dashes"),
        "file.displayName": ("honoured", "up to 512 characters"),
        "file.mimeType": ("honoured", "else as the start says, else as the bytes look"),
        "file.sizeBytes": ("honoured", "where X-Goog-Upload-Header-Content-Length is missing"),
        "X-Goog-Upload-Protocol": ("honoured", "resumable"),
        "X-Goog-Upload-Command": ("honoured", "start, upload, finalize, query, cancel"),
        "X-Goog-Upload-Offset": ("honoured", ""),
        "X-Goog-Upload-Header-Content-Length": ("honoured", ""),
        "X-Goog-Upload-Header-Content-Type": ("honoured", ""),
        "X-Goog-Upload-File-Name": ("honoured", "the display name, where the body has none"),
    },
    "GET /{version}/files": {
        "pageSize": ("honoured", "10, at most 100"),
        "pageToken": ("honoured", ""),
    },
    "GET /{version}/files/{file}": {},
    "GET /{version}/files/{file}:download": {
        "alt": ("honoured", "media: pictures, and batches' answers; uploads stay, as at Google"),
    },
    "GET /download/{version}/files/{file}:download": {
        "alt": ("honoured", "media: pictures, and batches' answers; uploads stay, as at Google"),
    },
    "DELETE /{version}/files/{file}": {},
}

_NAME = re.compile(r"files/([a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?)")
_MADE = re.compile(r"img([a-z2-7]{26})(?:i([0-9]{1,5}))?n([0-9]{1,4})")
"""A picture's file id: of a request, or of a batch and an item of it. Without a dash: SDKs cut the
id in a URI off at the first one."""
_RESULTS = re.compile(r"batch-([a-z2-7]{26})")
JSONL = "application/jsonl"


class FileMessage(Message):
    """What a client may say of a file it uploads."""

    name: str = ""
    display_name: str = ""
    mime_type: str = ""
    size_bytes: int = 0


class StartMessage(Message):
    """The body that starts an upload."""

    file: FileMessage = FileMessage()


@dataclass(frozen=True)
class Resource:
    """A file as JSON shows it; `sha256` is in hex. A `download_uri` has what was generated, and no
    `size_bytes` what is made while it is read."""

    name: str
    display_name: str
    mime_type: str
    size_bytes: int | None
    sha256: str
    created_at: datetime
    expires_at: datetime | None
    uri: str
    download_uri: str = ""

    def body(self) -> dict[str, Json]:
        """The File."""
        fields: dict[str, Json] = {
            "name": self.name,
            "displayName": self.display_name,
            "mimeType": self.mime_type,
            "sizeBytes": "" if self.size_bytes is None else str(self.size_bytes),
            "createTime": stamp(self.created_at),
            "updateTime": stamp(self.created_at),
            "expirationTime": stamp(self.expires_at) if self.expires_at else "",
            # Google's hash is the base64 of the digest's hexadecimal text.
            "sha256Hash": base64.b64encode(self.sha256.encode()).decode(),
            "uri": self.uri,
            "downloadUri": self.download_uri,
            "state": "ACTIVE",
            "source": "GENERATED" if self.download_uri else "UPLOADED",
        }
        return {name: value for name, value in fields.items() if value}


def uploaded(file: File, root: str, version: str) -> dict[str, Json]:
    """A file of a caller's. `root` is the surface's own address."""
    return Resource(
        name=f"files/{file.id}",
        display_name=file.display_name,
        mime_type=file.mime_type,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        created_at=file.created_at,
        expires_at=file.expires_at,
        uri=f"{root}/{version}/files/{file.id}",
    ).body()


def generated(image: Image, made_at: datetime, root: str, version: str) -> dict[str, Json]:
    """A picture that was made here."""
    name = f"files/{file_of(image.id)}"
    return Resource(
        name=name,
        display_name="",
        mime_type=image.content_type,
        size_bytes=image.bytes,
        sha256=image.sha256,
        created_at=made_at,
        expires_at=None,
        uri=f"{root}/{version}/{name}",
        download_uri=f"{root}/download/{version}/{name}:download?alt=media",
    ).body()


def results(batch_id: str, made_at: datetime, root: str, version: str) -> dict[str, Json]:
    """The answers of a batch, whose size nobody knows before they were read."""
    name = f"files/{results_file(batch_id)}"
    return Resource(
        name=name,
        display_name="",
        mime_type=JSONL,
        size_bytes=None,
        sha256="",
        created_at=made_at,
        expires_at=None,
        uri=f"{root}/{version}/{name}",
        download_uri=f"{root}/download/{version}/{name}:download?alt=media",
    ).body()


def file_of(image_id: str) -> str:
    """The file id of a picture: "img_…_0" → "img…n0", "img_…-12_0" → "img…i12n0"."""
    _, owner, number = image_id.split("_")
    return f"img{owner.replace('-', 'i')}n{number}"


def image_of(file_id: str) -> str | None:
    """The picture that a file id stands for; None for that of any other file."""
    found = _MADE.fullmatch(file_id)
    if found is None:
        return None
    item = f"-{found[2]}" if found[2] else ""
    return f"img_{found[1]}{item}_{found[3]}"


def results_file(batch_id: str) -> str:
    """The file id of a batch's answers: "bat_…" → "batch-…"."""
    return f"batch-{batch_id.removeprefix('bat_')}"


def batch_of(file_id: str) -> str | None:
    """The batch whose answers a file id stands for; None for that of any other file."""
    found = _RESULTS.fullmatch(file_id)
    return f"bat_{found[1]}" if found else None


def id_of(name: str) -> str | None:
    """The id in the name that a client chose for its file; None where it chose none. Raises
    Refusal."""
    if not name:
        return None
    found = _NAME.fullmatch(name)
    if found is None or image_of(found[1]) or batch_of(found[1]):
        raise Refusal(400, "A file's name is files/ and at most 40 of a-z, 0-9 and inner dashes.")
    return found[1]


def no_permission(name: str) -> Refusal:
    """The error for a file that is not there, or not the caller's: the same to who asks."""
    permission = "You do not have permission to access the File"
    return Refusal(403, f"{permission} {cut(name)} or it may not exist.")


def not_generated() -> Refusal:
    """The error for downloading what was uploaded."""
    return Refusal(400, "Only files with source GENERATED can be downloaded.")

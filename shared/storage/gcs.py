"""Objects in Cloud Storage: one request to write an object and one to read it, whatever its size;
one for each piece where it is never whole in memory.

Written and listed by the JSON API, read by the XML API: only its answers have the labels beside the
bytes (docs of Google, "JSON API reference" and "XML API reference headers", 2026-11).
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import google_crc32c

from shared.storage import (
    PIECE_BYTES,
    Blob,
    Described,
    Missing,
    Ticket,
    check_name,
    check_prefix,
)
from shared.storage.gcs_client import CACHE_CONTROL, Client, Place
from shared.storage.gcs_session import Answer, Call, Host, Sessions

if TYPE_CHECKING:
    from google.cloud import storage

UPLOADS = "uploads/"
PAGE = 1000
"""How many names one answer may list: Cloud Storage's own most."""
_LABEL = "x-goog-meta-"
_ANY_TYPE = "application/octet-stream"
_OK, _GONE, _EXISTS = frozenset({200}), frozenset({404}), 412
_PAST_THE_END = 416
_FACTS = "size,contentType,metadata,generation,crc32c"


class Gcs:
    """Satisfies `Storage` with a bucket, and another for the names under `uploads/` where one is
    given: a bucket says of every object that it has come, and only uploads are worth saying.

    `client` is what signs and writes in pieces, where it is not to be made from the environment.
    """

    def __init__(
        self,
        bucket: str,
        host: Host,
        *,
        uploads_bucket: str | None = None,
        client: storage.Client | None = None,
    ) -> None:
        self._bucket = bucket
        self._uploads_bucket = uploads_bucket or bucket
        self._sessions = Sessions(host)
        self._client = Client(host, client)

    async def put(
        self, name: str, data: bytes, content_type: str, labels: Mapping[str, str]
    ) -> bool:
        """What was there before and is the same counts as written where a first try's answer was
        lost: it may be ours, and nobody could tell the difference."""
        place, crc32c = self._place(name), _crc32c(data)
        facts = {
            "name": name,
            "metadata": dict(labels),
            "cacheControl": CACHE_CONTROL,
            "crc32c": crc32c,
        }
        answer = await self._sessions.send(_upload(place.bucket, facts, data, content_type))
        if answer.status != _EXISTS:
            return True
        if not answer.repeated:
            return False
        found = await self._facts(place)
        wanted = (crc32c, content_type or _ANY_TYPE, dict(labels))
        return found is not None and wanted == (
            found.get("crc32c"),
            found.get("contentType", _ANY_TYPE),
            found.get("metadata", {}),
        )

    async def put_stream(
        self, name: str, pieces: AsyncIterator[bytes], content_type: str, labels: Mapping[str, str]
    ) -> bool:
        if await self.describe(name) is not None:
            return False
        return await self._client.write(self._place(name), pieces, content_type, labels)

    async def get(self, name: str) -> Blob | None:
        answer = await self._sessions.send(Call("GET", _path(self._place(name)), _OK | _GONE))
        if answer.status in _GONE:
            return None
        _check(name, answer)
        labels = {
            header.removeprefix(_LABEL): value
            for header, value in answer.headers.items()
            if header.startswith(_LABEL)
        }
        return Blob(answer.body, answer.headers.get("content-type", _ANY_TYPE), labels)

    async def stream(self, name: str) -> AsyncIterator[bytes]:
        """Every piece is read from the object that the first one came from."""
        path, start, last = _path(self._place(name)), 0, False
        expected = frozenset({200, 206, 404, _PAST_THE_END})
        while not last:
            wanted = {"range": f"bytes={start}-{start + PIECE_BYTES - 1}"}
            answer = await self._sessions.send(Call("GET", path, expected, wanted))
            if answer.status in _GONE:
                raise Missing(name)
            if answer.status == _PAST_THE_END:
                return
            if start == 0:
                path += f"?generation={answer.headers['x-goog-generation']}"
            start += len(answer.body)
            last = len(answer.body) < PIECE_BYTES
            if answer.body:
                yield answer.body

    async def describe(self, name: str) -> Described | None:
        facts = await self._facts(self._place(name))
        if facts is None:
            return None
        return Described(
            size_bytes=int(facts["size"]),
            content_type=facts.get("contentType", _ANY_TYPE),
            labels=facts.get("metadata", {}),
            generation=str(facts["generation"]),
        )

    async def list(self, prefix: str) -> tuple[str, ...]:
        check_prefix(prefix)
        found: list[str] = []
        for bucket in self._buckets(prefix):
            query = {"prefix": prefix, "fields": "items(name),nextPageToken", "maxResults": PAGE}
            more = True
            while more:
                call = Call("GET", f"/storage/v1/b/{bucket}/o?{urlencode(query)}", _OK)
                page = _parsed(await self._sessions.send(call))
                found += [item["name"] for item in page.get("items", ())]
                query["pageToken"] = page.get("nextPageToken", "")
                more = bool(query["pageToken"])
        return tuple(sorted(found))

    async def delete(self, name: str) -> None:
        path = _resource(self._place(name))
        await self._sessions.send(Call("DELETE", path, frozenset({200, 204, 404})))

    async def ticket(
        self,
        name: str,
        content_type: str,
        labels: Mapping[str, str],
        max_bytes: int,
        life: timedelta,
    ) -> Ticket | None:
        """A V4 signed PUT, which the service refuses with other headers or more bytes. None where
        the credentials cannot sign, as with an emulator."""
        headers = {
            "content-type": content_type,
            "x-goog-content-length-range": f"0,{max_bytes}",
            # Once: a link in wrong hands cannot replace what was uploaded by it.
            "x-goog-if-generation-match": "0",
            **{f"{_LABEL}{label}": value for label, value in labels.items()},
        }
        url = await self._client.sign(self._place(name), headers, life)
        return None if url is None else Ticket(url, headers)

    async def close(self) -> None:
        await self._sessions.close()
        await self._client.close()

    def _place(self, name: str) -> Place:
        """Where an object lies. Raises BadName."""
        check_name(name)
        return Place(self._uploads_bucket if name.startswith(UPLOADS) else self._bucket, name)

    def _buckets(self, prefix: str) -> tuple[str, ...]:
        """The buckets of the objects under a prefix."""
        if prefix.startswith(UPLOADS):
            return (self._uploads_bucket,)
        apart = self._uploads_bucket != self._bucket and UPLOADS.startswith(prefix)
        return (self._bucket, self._uploads_bucket) if apart else (self._bucket,)

    async def _facts(self, place: Place) -> dict[str, Any] | None:
        """What Cloud Storage says of an object; None where there is none."""
        call = Call("GET", f"{_resource(place)}?{urlencode({'fields': _FACTS})}", _OK | _GONE)
        answer = await self._sessions.send(call)
        return None if answer.status in _GONE else _parsed(answer)


def _path(place: Place) -> str:
    """Of the XML API."""
    return f"/{place.bucket}/{quote(place.name)}"


def _resource(place: Place) -> str:
    """Of the JSON API."""
    return f"/storage/v1/b/{place.bucket}/o/{quote(place.name, safe='')}"


def _upload(bucket: str, facts: Mapping[str, object], data: bytes, content_type: str) -> Call:
    """An object with what belongs to it, in one request (docs of Google, "Uploads", multipart)."""
    boundary = secrets.token_hex(16)
    before = (
        f"--{boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n"
        f"{json.dumps(facts)}\r\n--{boundary}\r\ncontent-type: {content_type}\r\n\r\n"
    )
    query = {"uploadType": "multipart", "ifGenerationMatch": "0", "fields": "generation"}
    return Call(
        "POST",
        f"/upload/storage/v1/b/{bucket}/o?{urlencode(query)}",
        _OK | {_EXISTS},
        {"content-type": f'multipart/related; boundary="{boundary}"'},
        (before.encode(), data, f"\r\n--{boundary}--".encode()),
    )


def _crc32c(data: bytes) -> str:
    """As the APIs write it: base64, the highest byte first."""
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def _check(name: str, answer: Answer) -> None:
    """Raise DataLoss where the bytes are not those that were stored."""
    hashes = answer.headers.get("x-goog-hash", "").replace(" ", "").split(",")
    stored = [text.removeprefix("crc32c=") for text in hashes if text.startswith("crc32c=")]
    if stored and stored[0] != _crc32c(answer.body):
        from google.api_core.exceptions import DataLoss

        raise DataLoss(f"{name} came with other bytes than were stored")


def _parsed(answer: Answer) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(answer.body)
    return facts

"""Objects in Cloud Storage, through Google's client: one request to write an object and one to read
it, whatever its size; one for each piece where it is never whole in memory. The client blocks, so
its calls run in a bounded pool of threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Lock
from typing import Any, TypeVar

import google.auth.compute_engine
from google.api_core.exceptions import (
    NotFound,
    PreconditionFailed,
    RequestRangeNotSatisfiable,
)
from google.auth import iam
from google.auth.credentials import Signing
from google.auth.transport.requests import Request
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from google.oauth2 import service_account
from requests.adapters import HTTPAdapter

from shared.storage import (
    PIECE_BYTES,
    Blob,
    Described,
    Missing,
    Ticket,
    check_name,
    check_prefix,
)

T = TypeVar("T")

THREADS = 16
UPLOADS = "uploads/"
CACHE_CONTROL = "private, max-age=31536000, immutable"
_RETRY = DEFAULT_RETRY.with_timeout(30.0)
_LABEL = "x-goog-meta-"
_ANY_TYPE = "application/octet-stream"
_SIGNING_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class Gcs:
    """Satisfies `Storage` with a bucket, and another for the names under `uploads/` where one is
    given: a bucket says of every object that it has come, and only uploads are worth saying.

    Without a `client`, one is made on first use from the environment: STORAGE_EMULATOR_HOST, or the
    credentials the process runs under.
    """

    def __init__(
        self,
        bucket: str,
        client: storage.Client | None = None,
        *,
        uploads_bucket: str | None = None,
    ) -> None:
        self._name = bucket
        self._uploads_name = uploads_bucket or bucket
        self._client: Any = client
        self._opened = False
        self._opening = Lock()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="storage")

    async def put(
        self, name: str, data: bytes, content_type: str, labels: Mapping[str, str]
    ) -> bool:
        check_name(name)

        def write() -> bool:
            blob = _Object(name, self._bucket(name))
            blob.cache_control = CACHE_CONTROL
            blob.metadata = dict(labels)
            try:
                blob.upload_from_string(
                    data,
                    content_type=content_type,
                    checksum="crc32c",
                    if_generation_match=0,
                    retry=_RETRY,
                )
            except PreconditionFailed:
                return False
            return True

        return await self._run(write)

    async def put_stream(
        self, name: str, pieces: AsyncIterator[bytes], content_type: str, labels: Mapping[str, str]
    ) -> bool:
        """By a resumable upload, which is given up when `pieces` fail: two requests and one for
        each PIECE_BYTES."""
        if await self.describe(name) is not None:
            return False
        blob = _Object(name, await self._run(partial(self._bucket, name)))
        blob.cache_control = CACHE_CONTROL
        blob.metadata = dict(labels)
        writer = blob.open(
            "wb",
            chunk_size=PIECE_BYTES,
            content_type=content_type,
            if_generation_match=0,
            retry=_RETRY,
        )
        try:
            async for piece in pieces:
                await self._run(partial(writer.write, piece))
            await self._run(writer.close)
        except BaseException as error:
            # Or it would be finished, as far as it came, when it is forgotten.
            await self._run(writer.terminate)
            if isinstance(error, PreconditionFailed):
                return False
            raise
        return True

    async def get(self, name: str) -> Blob | None:
        check_name(name)

        def read() -> Blob | None:
            blob = _Object(name, self._bucket(name))
            try:
                # Raw: what was uploaded as gzip must not unfold to any size in memory.
                data = blob.download_as_bytes(raw_download=True)
            except NotFound:
                return None
            content_type = blob.content_type or _ANY_TYPE
            return Blob(data, content_type, blob.metadata)

        return await self._run(read)

    async def stream(self, name: str) -> AsyncIterator[bytes]:
        """Every piece is read from the object that the first one came from."""
        check_name(name)
        blob = _Object(name, await self._run(partial(self._bucket, name)))
        start, last = 0, False
        while not last:
            piece = await self._run(partial(_piece, blob, start))
            start += len(piece)
            last = len(piece) < PIECE_BYTES
            if piece:
                yield piece

    async def describe(self, name: str) -> Described | None:
        check_name(name)

        def look() -> Described | None:
            blob = self._bucket(name).get_blob(name)
            if blob is None:
                return None
            content_type = blob.content_type or _ANY_TYPE
            return Described(blob.size, content_type, blob.metadata or {}, str(blob.generation))

        return await self._run(look)

    async def list(self, prefix: str) -> tuple[str, ...]:
        check_prefix(prefix)

        def names() -> tuple[str, ...]:
            found = (
                blob.name
                for bucket in self._buckets(prefix)
                for blob in bucket.list_blobs(
                    prefix=prefix, fields="items(name),nextPageToken", page_size=1000
                )
            )
            return tuple(sorted(found))

        return await self._run(names)

    async def delete(self, name: str) -> None:
        check_name(name)

        def remove() -> None:
            try:
                self._bucket(name).blob(name).delete()
            except NotFound:
                return

        await self._run(remove)

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
        check_name(name)
        length_range = f"0,{max_bytes}"
        headers = {
            "content-type": content_type,
            "x-goog-content-length-range": length_range,
            # Once: a link in wrong hands cannot replace what was uploaded by it.
            "x-goog-if-generation-match": "0",
            **{f"{_LABEL}{label}": value for label, value in labels.items()},
        }

        def sign() -> Ticket | None:
            bucket = self._bucket(name)
            credentials = signing(bucket.client._credentials, Request())
            if credentials is None:
                return None
            url = bucket.blob(name).generate_signed_url(
                version="v4",
                method="PUT",
                expiration=life,
                headers=dict(headers),
                credentials=credentials,
            )
            return Ticket(url, headers)

        return await self._run(sign)

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        if self._client is not None:
            self._client.close()

    def _bucket(self, name: str) -> Any:
        """The bucket of an object."""
        self._open()
        named = self._uploads_name if name.startswith(UPLOADS) else self._name
        return self._client.bucket(named)

    def _buckets(self, prefix: str) -> tuple[Any, ...]:
        """The buckets of the objects under a prefix."""
        here = self._bucket(prefix)
        apart = self._uploads_name != self._name and here.name == self._name
        return (here, self._bucket(UPLOADS)) if apart and UPLOADS.startswith(prefix) else (here,)

    def _open(self) -> None:
        with self._opening:
            if self._opened:
                return
            self._client = self._client or storage.Client()
            # For traces it would ask for the bucket's place, once on a thread of its own and again
            # after every object that is not found, even with traces off (3.17).
            self._client._bucket_metadata_cache = None
            # Ten kept connections, the default, would be fewer than the threads that use them.
            for scheme in ("https://", "http://"):
                self._client._http.mount(scheme, HTTPAdapter(pool_maxsize=THREADS))
            self._opened = True

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


class _Object(storage.Blob):  # type: ignore[misc]  # the library has no types
    """The library's blob, written and read in one request each.

    Above 8 MiB it would open a resumable upload, two requests; a multipart one has no such limit.
    It downloads through the JSON API, whose answer lacks the labels; the XML API's has them as
    headers (docs of Google, "XML API reference headers", 2026-11). The two methods and the hook
    are private, so the tests count the requests.
    """

    def _do_resumable_upload(self, *args: Any, **options: Any) -> Any:
        options.pop("crc32c_checksum_value", None)
        return self._do_multipart_upload(*args, **options)

    def _get_download_url(self, *_: Any, **__: Any) -> str:
        url: str = self.public_url
        # Known once something was read: what follows has to be of the same object.
        return url if self.generation is None else f"{url}?generation={self.generation}"

    def _extract_headers_from_download(self, response: Any) -> None:
        super()._extract_headers_from_download(response)
        headers = {key.lower(): value for key, value in response.headers.items()}
        self._properties["metadata"] = {
            key.removeprefix(_LABEL): value
            for key, value in headers.items()
            if key.startswith(_LABEL)
        }


def _piece(blob: _Object, start: int) -> bytes:
    """The bytes of an object from `start` on, PIECE_BYTES of them or up to its end."""
    end = start + PIECE_BYTES - 1
    try:
        data: bytes = blob.download_as_bytes(start=start, end=end, raw_download=True, checksum=None)
    except NotFound as error:
        raise Missing(blob.name) from error
    except RequestRangeNotSatisfiable:
        return b""
    return data


def signing(credentials: Any, request: Any) -> Signing | None:
    """Credentials that can sign: a service account's own, or for a machine's, which have no key,
    the IAM API's signBlob (the account needs roles/iam.serviceAccountTokenCreator on itself)."""
    if isinstance(credentials, Signing):
        return credentials
    if not isinstance(credentials, google.auth.compute_engine.Credentials):
        return None
    caller = credentials.with_scopes([_SIGNING_SCOPE])
    caller.refresh(request)
    email = caller.service_account_email
    signer = iam.Signer(request, caller, email)
    return service_account.Credentials(signer, email, token_uri="")

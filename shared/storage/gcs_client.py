"""What Google's client for Cloud Storage does here, for objects that are never whole in memory and
for signing. It blocks, so its calls run in threads, and it is imported at its first use.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from shared.storage import PIECE_BYTES
from shared.storage.gcs_session import DEADLINE_S, Host

if TYPE_CHECKING:
    from google.auth.credentials import Signing
    from google.cloud import storage

T = TypeVar("T")

THREADS = 16
CACHE_CONTROL = "private, max-age=31536000, immutable"
_SIGNING_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(frozen=True)
class Place:
    """An object's bucket and name."""

    bucket: str
    name: str


class Client:
    """Writes in pieces, and signs. Without a `library`, one is made on first use: anonymous where
    the host has no account, else with the credentials that the process runs under."""

    def __init__(self, host: Host, library: storage.Client | None = None) -> None:
        self._host = host
        self._library: Any = library
        self._opening = Lock()
        self._opened = False
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="storage")

    async def write(
        self,
        place: Place,
        pieces: AsyncIterator[bytes],
        content_type: str,
        labels: Mapping[str, str],
    ) -> bool:
        """As `Storage.put_stream`, by a resumable upload, which is given up when `pieces` fail: a
        request to begin and one for each PIECE_BYTES."""
        blob = await self._run(partial(self._blob, place))
        blob.cache_control = CACHE_CONTROL
        blob.metadata = dict(labels)
        # Both are loaded by now.
        from google.api_core.exceptions import PreconditionFailed
        from google.cloud.storage.retry import DEFAULT_RETRY

        writer = blob.open(
            "wb",
            chunk_size=PIECE_BYTES,
            content_type=content_type,
            if_generation_match=0,
            retry=DEFAULT_RETRY.with_timeout(DEADLINE_S),
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

    async def sign(self, place: Place, headers: Mapping[str, str], life: timedelta) -> str | None:
        """A V4 signed URL to PUT the object with these headers. None where the credentials cannot
        sign."""

        def signed() -> str | None:
            from google.auth.transport.requests import Request

            blob = self._blob(place)
            credentials = signing(self._library._credentials, Request())
            if credentials is None:
                return None
            url: str = blob.generate_signed_url(
                version="v4",
                method="PUT",
                expiration=life,
                headers=dict(headers),
                credentials=credentials,
            )
            return url

        return await self._run(signed)

    async def close(self) -> None:
        """Wait for the threads, and close the connections."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._library is not None:
            self._library.close()

    def _blob(self, place: Place) -> Any:
        with self._opening:
            if not self._opened:
                self._open()
                self._opened = True
        return self._library.bucket(place.bucket).blob(place.name)

    def _open(self) -> None:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage
        from requests.adapters import HTTPAdapter

        if self._library is None and self._host.account is None:
            self._library = storage.Client(
                project="none",
                credentials=AnonymousCredentials(),
                client_options={"api_endpoint": self._host.url},
            )
        self._library = self._library or storage.Client()
        # For traces it would ask for the bucket's place, once on a thread of its own and again
        # after every object that is not found, even with traces off (3.17).
        self._library._bucket_metadata_cache = None
        # Ten kept connections, the default, would be fewer than the threads that use them.
        for scheme in ("https://", "http://"):
            self._library._http.mount(scheme, HTTPAdapter(pool_maxsize=THREADS))

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def signing(credentials: Any, request: Any) -> Signing | None:
    """Credentials that can sign: a service account's own, or for a machine's, which have no key,
    the IAM API's signBlob (the account needs roles/iam.serviceAccountTokenCreator on itself)."""
    import google.auth.compute_engine
    from google.auth import iam
    from google.auth.credentials import Signing
    from google.oauth2 import service_account

    if isinstance(credentials, Signing):
        return credentials
    if not isinstance(credentials, google.auth.compute_engine.Credentials):
        return None
    caller = credentials.with_scopes([_SIGNING_SCOPE])
    caller.refresh(request)
    email = caller.service_account_email
    signer = iam.Signer(request, caller, email)
    return service_account.Credentials(signer, email, token_uri="")

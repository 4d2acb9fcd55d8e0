"""A connection to one Firestore database: documents by path, lists newest first, and commits that
may be sent twice. What is stored there is `firestore`'s to know.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Any

from google.api_core import exceptions
from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from google.api_core.retry import AsyncRetry
from google.cloud.firestore import AsyncClient, FieldFilter, Query

from shared.records import documents

_TRIES = 8
_TRY_S = 10.0
# The library's own would have a caller wait 300 seconds for a database that is down.
READ: Mapping[str, Any] = {"retry": AsyncRetry(initial=0.1, timeout=20.0), "timeout": _TRY_S}
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_REFUSED = (exceptions.FailedPrecondition, exceptions.AlreadyExists, exceptions.NotFound)
_UNSURE = (exceptions.ServerError, exceptions.Aborted, exceptions.TooManyRequests)


class Conflict(Exception):
    """A precondition of the commit did not hold: nothing was written."""


class FirestoreDatabase:
    """One database of one project (None: the environment's own). It connects at the first call, to
    the emulator where FIRESTORE_EMULATOR_HOST names one."""

    def __init__(
        self,
        project: str | None,
        database: str,
        random: Random,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._project = project
        self._database = database
        self._random = random
        self._sleep = sleep
        self._opened: AsyncClient | None = None

    async def close(self) -> None:
        if self._opened is not None:
            # AsyncClient.close() closes nothing (google-cloud-firestore 2.34).
            await self._opened._firestore_api.transport.close()
            self._opened = None

    async def _written(
        self,
        ref: Any,
        document: Mapping[str, Any],
        version: str | None = None,
        also: Callable[[Any], None] = lambda writes: None,
    ) -> str:
        """Create a document, or replace the one of that version, together with the writes that
        `also` adds; returns its new version. Raises as `_written_all`."""
        return (await self._written_all([(ref, document, version)], also))[0]

    async def _written_all(
        self,
        changes: Sequence[tuple[Any, Mapping[str, Any], str | None]],
        also: Callable[[Any], None],
    ) -> Sequence[str]:
        """The same for several documents, all or nothing. Raises Conflict, and ValueError for what
        Firestore does not take: then nothing was written."""
        writer, writes = secrets.token_hex(10), self._client.batch()
        for ref, document, version in changes:
            if version is None:
                writes.create(ref, {**document, "writer": writer})
            else:
                unchanged = self._unchanged(version)
                writes.update(ref, {**document, "writer": writer}, option=unchanged)
        also(writes)
        return await self._commit(writes, [ref for ref, _, _ in changes], writer)

    async def _commit(self, writes: Any, refs: Sequence[Any], writer: str) -> Sequence[str]:
        """Commit writes of which the first are to `refs` and carry `writer`; returns these
        documents' new versions. A commit whose answer was lost is sent again, which its
        preconditions make safe."""
        for attempt in range(1, _TRIES + 1):
            try:
                results = await writes.commit(retry=None, timeout=_TRY_S)
                return [str(result.update_time.rfc3339()) for result in results[: len(refs)]]
            except _REFUSED as error:
                stored = await self._found(refs) if attempt > 1 else {}
                if stored and all(one.get("writer") == writer for one in stored.values()):
                    return [version_of(stored[ref.path]) for ref in refs]
                raise Conflict from error
            except exceptions.InvalidArgument as error:
                raise ValueError(f"this cannot be stored: {error}") from error
            except _UNSURE:
                if attempt == _TRIES:
                    raise
                longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt)
                await self._sleep(self._random.uniform(0, longest))
        raise AssertionError("the last try returns or raises")

    async def _found(self, refs: Sequence[Any]) -> Mapping[str, Any]:
        """Those of some documents that exist, by their paths, as of one moment."""
        read = self._client.get_all(refs, **READ)
        return {one.reference.path: one async for one in read if one.exists}

    async def _newest(
        self, query: Any, collection: Any, time: str, limit: int, cursor: str | None
    ) -> Any:
        """One document more than `limit`, from after the cursor."""
        ordered = query.order_by(time, direction=Query.DESCENDING)
        ordered = ordered.order_by("__name__", direction=Query.DESCENDING)
        if cursor:
            at, last = documents.from_cursor(cursor)
            ordered = ordered.start_after([at, collection.document(_document_id(last))])
        return await ordered.limit(limit + 1).get(**READ)

    @property
    def _client(self) -> AsyncClient:
        # Made inside the running loop, to which its channel belongs.
        if self._opened is None:
            self._opened = AsyncClient(project=self._project, database=self._database)
        return self._opened

    def _ref(self, *path: str) -> Any:
        """The document at collection, id, collection, id …"""
        ids = [_document_id(part) if n % 2 else part for n, part in enumerate(path)]
        return self._client.document(*ids)

    def _unchanged(self, version: str) -> Any:
        at = DatetimeWithNanoseconds.from_rfc3339(version)
        return self._client.write_option(last_update_time=at.timestamp_pb())

    def _where(self, query: Any, **fields: object) -> Any:
        for name, value in fields.items():
            query = query.where(filter=FieldFilter(name, "==", value))
        return query


def version_of(snapshot: Any) -> str:
    """What `_unchanged` takes, of a document that was read."""
    return str(snapshot.update_time.rfc3339())


def _document_id(text: str) -> str:
    """An id that Firestore takes, whatever the text: callers can name any request in a path."""
    if _PLAIN.fullmatch(text):
        return text
    return "~" + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()

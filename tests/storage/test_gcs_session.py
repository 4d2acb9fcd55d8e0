"""Requests to Cloud Storage: what is sent, sent again and given up, whose token it is shown, and
how many go at once."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from aiohttp import web
from google.api_core import exceptions as api

from shared.oauth import NoToken, ServiceAccount, Token
from shared.storage import gcs_session
from shared.storage.gcs import Gcs
from shared.storage.gcs_session import TRIES, Host, _proxy
from tests.storage import bucket as faulty
from tests.storage.bucket import Bucket, Object, damaged, dropped, lost, serving, silent, status

UPLOAD = "POST /upload/storage/v1/b/bucket/o"
LOOK = "GET /storage/v1/b/bucket/o/a"
READ = "GET /bucket/a"


@dataclass
class Google:
    """Gives numbered tokens, and none once it has given so many."""

    most: int = 9
    asked: int = 0

    def __call__(self) -> Token:
        if self.asked == self.most:
            raise NoToken("no account here")
        self.asked += 1
        return Token(f"token-{self.asked}", datetime.now(UTC) + timedelta(hours=1))


@dataclass
class Scene:
    """A store, the bucket behind it, and how long it paused."""

    gcs: Gcs
    bucket: Bucket
    pauses: list[float] = field(default_factory=list)

    async def put(self, data: bytes = b"abc") -> bool:
        return await self.gcs.put("a", data, "image/png", {"route": "r"})


def played(story: Callable[[Scene], Awaitable[None]], google: Google | None = None) -> None:
    """A store with a bucket of its own, of whom it has tokens if there is one to ask."""

    async def scenario() -> None:
        async with serving() as bucket:
            pauses: list[float] = []

            async def sleep(seconds: float) -> None:
                pauses.append(seconds)

            account = None if google is None else lambda: ServiceAccount(google)
            gcs = Gcs("bucket", Host(bucket.url, account, sleep, Random(1)))
            await story(Scene(gcs, bucket, pauses))
            await gcs.close()

    asyncio.run(scenario())


def test_a_write_says_what_it_is_and_what_it_expects() -> None:
    async def story(scene: Scene) -> None:
        # More than a slice, and what looks like the end of a part.
        data = b"\r\n--\r\n\0" + b"x" * 600_000
        assert await scene.put(data)
        (request,) = scene.bucket.requests
        assert dict(request.query) == {
            "uploadType": "multipart",
            "ifGenerationMatch": "0",
            "fields": "generation",
        }
        assert "transfer-encoding" not in request.headers
        assert "authorization" not in request.headers
        found = scene.bucket.objects["a"]
        assert (found.data, found.content_type) == (data, "image/png")
        assert found.facts == {
            "name": "a",
            "metadata": {"route": "r"},
            "cacheControl": "private, max-age=31536000, immutable",
            "crc32c": found.facts["crc32c"],
        }
        await scene.gcs.put("b", b"abc", "image/png", {})
        assert scene.bucket.objects["b"].facts["crc32c"] == "Nks/tw=="

    played(story)


def test_a_write_whose_answer_was_lost_is_a_write() -> None:
    async def story(scene: Scene) -> None:
        scene.bucket.faults += [lost]
        assert await scene.put()
        assert scene.bucket.lines == [UPLOAD, UPLOAD, LOOK]
        assert not await scene.put()
        assert scene.bucket.lines[3:] == [UPLOAD]

    played(story)


@pytest.mark.parametrize(
    "there",
    [
        Object({"metadata": {"route": "r"}, "crc32c": "AAAAAA=="}, b"abd", "image/png"),
        Object({"metadata": {"route": "s"}, "crc32c": "Nks/tw=="}, b"abc", "image/png"),
        Object({"metadata": {"route": "r"}, "crc32c": "Nks/tw=="}, b"abc", "image/jpeg"),
    ],
)
def test_what_another_wrote_is_not_taken_for_ours(there: Object) -> None:
    async def story(scene: Scene) -> None:
        scene.bucket.objects["a"] = there
        scene.bucket.faults += [dropped]
        assert not await scene.put()
        assert scene.bucket.lines == [UPLOAD, UPLOAD, LOOK]

    played(story)


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again_after_a_pause(code: int) -> None:
    async def story(scene: Scene) -> None:
        scene.bucket.faults += [status(code), dropped, status(code)]
        assert await scene.put()
        assert scene.bucket.lines == [UPLOAD] * 4
        assert [pause <= 0.5 * 2**n for n, pause in enumerate(scene.pauses)] == [True] * 3
        scene.bucket.faults += [status(code)]
        blob = await scene.gcs.get("a")
        assert blob is not None
        assert blob.data == b"abc"

    played(story)


@pytest.mark.parametrize("fault", [status(503), dropped])
def test_it_is_given_up_after_so_many_tries(fault: faulty.Fault) -> None:
    async def story(scene: Scene) -> None:
        scene.bucket.faults += [fault] * 9
        with pytest.raises(api.ServiceUnavailable):
            await scene.put()
        assert scene.bucket.lines == [UPLOAD] * TRIES
        assert len(scene.pauses) == TRIES - 1

    played(story)


def test_nothing_is_tried_again_after_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(scene: Scene) -> None:
        scene.bucket.faults += [status(503)] * 2
        with pytest.raises(api.ServiceUnavailable):
            await scene.put()
        assert (scene.bucket.lines, scene.pauses) == ([UPLOAD], [])

    monkeypatch.setattr(gcs_session, "DEADLINE_S", 0.0)
    played(story)


def test_who_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(scene: Scene) -> None:
        scene.bucket.faults += [silent]
        assert await scene.put()
        scene.bucket.faults += [silent]
        assert await scene.gcs.get("a") is not None
        assert scene.bucket.lines == [UPLOAD] * 2 + [READ] * 2
        scene.bucket.full.set()

    monkeypatch.setattr(gcs_session, "IDLE_S", 0.05)
    played(story)


@pytest.mark.parametrize(("code", "error"), [(403, api.Forbidden), (404, api.NotFound)])
def test_what_will_not_pass_is_said_at_once_and_without_the_token(
    code: int, error: type[Exception]
) -> None:
    async def story(scene: Scene) -> None:
        scene.bucket.faults += [status(code)]
        with pytest.raises(error) as caught:
            await scene.put()
        assert scene.bucket.lines == [UPLOAD]
        assert "a fault of the test" in str(caught.value)
        assert "token" not in f"{caught.value!r} {caught.value.__dict__}"

    played(story, Google())


def test_a_token_is_shown_and_another_one_where_it_is_refused() -> None:
    google = Google()

    async def story(scene: Scene) -> None:
        await asyncio.gather(*(scene.gcs.get("none") for _ in range(20)))
        assert google.asked == 1
        scene.bucket.requests.clear()
        scene.bucket.faults += [status(401)]
        assert await scene.put()
        shown = [request.headers["authorization"] for request in scene.bucket.requests]
        assert shown == ["Bearer token-1", "Bearer token-2"]
        scene.bucket.faults += [status(401)] * 3
        with pytest.raises(api.Unauthorized):
            await scene.put()
        assert google.asked == 3
        assert scene.pauses == []

    played(story, google)


def test_without_a_token_nothing_is_sent() -> None:
    async def story(scene: Scene) -> None:
        with pytest.raises(api.Unauthenticated, match="no account here"):
            await scene.put()
        assert scene.bucket.lines == []

    played(story, Google(most=0))


def test_bytes_that_were_damaged_are_no_object() -> None:
    async def story(scene: Scene) -> None:
        await scene.put()
        scene.bucket.faults += [damaged(b"abd")]
        with pytest.raises(api.DataLoss):
            await scene.gcs.get("a")

    played(story)


def test_as_many_go_at_once_as_there_are_connections_and_nobody_takes_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many, connections = 23, 8
    monkeypatch.setattr(gcs_session, "CONNECTIONS", connections)

    async def story(scene: Scene) -> None:
        async def held(bucket: Bucket, request: web.BaseRequest) -> web.StreamResponse:
            await bucket.full.wait()
            return await bucket.usual(request)

        threads = threading.active_count()
        scene.bucket.faults += [held] * many
        puts = [scene.gcs.put(f"a/{n}", b"abc", "image/png", {}) for n in range(many)]
        written = asyncio.gather(*puts)
        # All of it is on this loop: whoever may come has come after so many turns.
        for _ in range(200):
            await asyncio.sleep(0)
        assert scene.bucket.now == connections
        scene.bucket.full.set()
        assert all(await written)
        assert scene.bucket.most == connections
        assert threading.active_count() == threads

    played(story)


def test_a_store_serves_one_loop_after_another_and_leaves_nothing_open() -> None:
    gcs: list[Gcs] = []

    async def scenario() -> None:
        async with serving() as bucket:
            gcs.append(Gcs("bucket", Host(bucket.url, account=None)))
            for _ in range(2):
                await gcs[0].get("a")
            assert len({request.protocol for request in bucket.requests}) == 1

    asyncio.run(scenario())
    gc.collect()
    asyncio.run(gcs[0].close())


def test_a_proxy_is_used_where_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("no_proxy", "inside.test")
    assert _proxy("https://storage.googleapis.com") == "http://proxy.test:3128"
    assert _proxy("https://inside.test") is None
    assert _proxy("http://127.0.0.1:4443") is None

    async def scenario() -> None:
        async with serving() as bucket:
            monkeypatch.setenv("http_proxy", bucket.url)
            gcs = Gcs("bucket", Host("http://storage.test", account=None))
            assert await gcs.get("a") is None
            assert bucket.requests[0].headers["host"] == "storage.test"
            await gcs.close()

    asyncio.run(scenario())


def test_labels_go_as_json() -> None:
    async def story(scene: Scene) -> None:
        labels = {"darkroom-prompt": 'a "cup"\r\n--'}
        assert await scene.gcs.put("a", b"x", "text/plain", labels)
        assert scene.bucket.objects["a"].facts["metadata"] == labels

    played(story)

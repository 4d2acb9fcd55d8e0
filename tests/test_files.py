"""Files that callers send ahead: in chunks, through any instance, whole or not at all, for two days
and for their own account."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from functions import __main__ as server
from shared import files, names, sources
from shared.app import App, build
from shared.domain import Caller, ImageRef, ImageRequest
from shared.errors import (
    DarkroomError,
    Forbidden,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    QuotaExceeded,
)
from shared.file_objects import File
from shared.files import KEPT_FOR, LEAST_CHUNK_BYTES, UPLOAD_LIFE, Upload
from shared.storage import Storage
from shared.storage.disk import Disk
from tests.darkroom import Darkroom, photo, play
from tests.emulators.storage import on_emulator

ME = "acc_me"
STEP = LEAST_CHUNK_BYTES
MOMENT = timedelta(microseconds=1)


def of_bytes(count: int, first: int = 0) -> bytes:
    """Bytes of which no two chunks are the same."""
    return b"".join(n.to_bytes(4, "big") for n in range(first, first + count // 4 + 1))[:count]


async def begun(
    app: App, file_id: str | None = None, size: int | None = None, kind: str = "text/plain"
) -> Upload:
    """A new upload of ours."""
    return await files.begin(
        app, ME, file_id=file_id, display_name="a name", mime_type=kind, size_bytes=size
    )


async def sent(app: App, data: bytes, file_id: str | None = None, kind: str = "text/plain") -> File:
    """A file of ours, all of it sent in chunks of the least size."""
    upload = await begun(app, file_id, len(data), kind)
    cuts = range(0, max(len(data), 1), STEP)
    for at in cuts:
        part, last = data[at : at + STEP], at == cuts[-1]
        done = await files.receive(app, upload, at, part, last=last)
    assert isinstance(done, File)
    return done


async def refused(
    app: App, upload: Upload, offset: int, data: bytes, *, last: bool
) -> DarkroomError:
    """The error that a chunk meets."""
    with pytest.raises(DarkroomError) as caught:
        await files.receive(app, upload, offset, data, last=last)
    return caught.value


async def whole(app: App, file_id: str) -> bytes:
    """What the file holds now."""
    return await files.read(app.storage, ME, file_id, files.MAX_BYTES, app.clock())


async def left(app: App) -> tuple[str, ...]:
    """Every object of ours."""
    return await app.storage.list(names.files(ME))


@asynccontextmanager
async def another_instance(darkroom: Darkroom) -> AsyncIterator[App]:
    """A second App over the same data."""
    app = build(darkroom.app.settings, clock=lambda: darkroom.now)
    yield app
    await app.close()


@pytest.fixture(params=["disk", pytest.param("gcs", marks=pytest.mark.emulator)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """An empty store."""
    if request.param == "disk":
        yield Disk(tmp_path)
    else:
        url: str = request.getfixturevalue("storage_emulator")
        yield on_emulator(url)


def test_chunks_may_go_to_any_instance_and_come_back_whole(
    tmp_path: Path, storage: Storage
) -> None:
    data = os.urandom(2 * STEP + 100_000)

    async def story(darkroom: Darkroom) -> None:
        one = darkroom.app
        one.storage = storage
        async with another_instance(darkroom) as two:
            two.storage = storage
            token = files.sealed(one, await begun(one, size=len(data), kind=""))
            upload = files.opened(two, token)
            assert await files.received(two, upload) == 0
            assert await files.receive(two, upload, 0, data[:STEP], last=False) == STEP
            assert await files.received(one, upload) == STEP
            again = await files.receive(one, upload, 0, data[:STEP], last=False)
            assert again == STEP
            half = await files.receive(one, upload, STEP, data[STEP : 2 * STEP], last=False)
            assert half == 2 * STEP
            assert await files.find(one, ME, upload.file_id) is None
            darkroom.pass_time(timedelta(hours=1))
            file = await files.receive(two, upload, half, data[half:], last=True)
            assert file == File(
                id=upload.file_id,
                display_name="a name",
                mime_type="application/octet-stream",
                size_bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                created_at=darkroom.now,
                expires_at=darkroom.now + KEPT_FOR,
            )
            for app in (one, two):
                assert await files.find(app, ME, upload.file_id) == file
                assert (await files.listed(app, ME, 10, None)).items == (file,)
                assert await whole(app, upload.file_id) == data
            parts = files.chunks(storage, ME, upload.file_id, darkroom.now)
            assert [len(part) async for part in parts] == [STEP, STEP, 100_000]
            assert await files.delete(two, ME, upload.file_id)
            assert not await files.delete(one, ME, upload.file_id)
            (stone,) = await left(one)
            assert stone.endswith("/deleted")

    play(tmp_path, story)


def test_ids_are_ours_or_the_callers(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        ids = {(await begun(darkroom.app)).file_id for _ in range(50)}
        assert len(ids) == 50
        assert {len(file_id) for file_id in ids} == {12}
        assert all(file_id.isalnum() and file_id.islower() for file_id in ids)
        for file_id in ("a", "my-id", "0--0", "a" * 40):
            assert (await sent(darkroom.app, b"x", file_id)).id == file_id

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        *(
            ({"file_id": file_id}, "file.name")
            for file_id in ("", "-a", "a-", "A", "a_b", "a/b", "a" * 41, "é", "a\n", "..")
        ),
        ({"display_name": "é" * 513}, "file.displayName"),
        ({"display_name": "\ud800"}, "file.displayName"),
        ({"mime_type": "x" * 128}, "file.mimeType"),
        ({"size_bytes": 2 * 2**30 + 1}, "file.sizeBytes"),
        ({"size_bytes": -1}, "file.sizeBytes"),
    ],
)
def test_what_cannot_be_kept_is_refused_at_the_start(
    tmp_path: Path, fields: dict[str, str | int], param: str
) -> None:
    async def story(darkroom: Darkroom) -> None:
        usual = {"file_id": None, "display_name": "é" * 512, "mime_type": "", "size_bytes": 2**31}
        assert await files.begin(darkroom.app, ME, **usual)  # type: ignore[arg-type] # by name
        with pytest.raises(InvalidRequest) as caught:
            await files.begin(darkroom.app, ME, **usual | fields)  # type: ignore[arg-type]
        assert caught.value.param == param

    play(tmp_path, story)


def test_a_token_opens_its_upload_for_a_day(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        app = darkroom.app
        darkroom.pass_time(MOMENT)
        upload = replace(await begun(app), display_name="🍵" * 512, size_bytes=None)
        token = files.sealed(app, upload)
        assert len(token) < 4096, "some clients take no longer header lines"
        darkroom.pass_time(UPLOAD_LIFE - MOMENT)
        assert files.opened(app, token) == upload
        darkroom.pass_time(MOMENT)
        with pytest.raises(Forbidden, match="more than a day ago"):
            files.opened(app, token)
        other = app.links.seal("another purpose", app.links.unseal("file upload", token))
        for wrong in (other, token[1:], ""):
            with pytest.raises(Forbidden, match="was not made here"):
                files.opened(app, wrong)

    play(tmp_path, story)


def test_an_id_is_taken_until_its_file_is_gone(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        app = darkroom.app
        for passed, data in enumerate((b"first", b"second", b"third")):
            await sent(app, data, "mine")
            with pytest.raises(InvalidRequest) as caught:
                await begun(app, "mine")
            assert caught.value.param == "file.name"
            assert caught.value.details == {"reason": "ALREADY_EXISTS"}
            assert await whole(app, "mine") == data
            if passed == 0:
                await files.delete(app, ME, "mine")
            darkroom.pass_time(KEPT_FOR)

    play(tmp_path, story)


def test_two_uploads_of_one_id_do_not_mix(tmp_path: Path) -> None:
    mine, yours = of_bytes(2 * STEP), of_bytes(2 * STEP, first=10**6)

    async def story(darkroom: Darkroom) -> None:
        app = darkroom.app
        slow = await begun(app, "mine", size=2 * STEP)
        await files.receive(app, slow, 0, mine[:STEP], last=False)
        darkroom.pass_time(MOMENT)
        fast = await begun(app, "mine", size=2 * STEP)
        assert await files.received(app, fast) == 0
        await files.receive(app, fast, 0, yours[:STEP], last=False)
        file = await files.receive(app, fast, STEP, yours[STEP:], last=True)
        assert isinstance(file, File)
        assert await whole(app, "mine") == yours
        late = await refused(app, slow, STEP, mine[STEP:], last=True)
        assert late.details == {"reason": "ALREADY_EXISTS"}
        await files.abandon(app, slow)
        assert await files.received(app, slow) == 0
        assert await files.find(app, ME, "mine") == file
        assert await whole(app, "mine") == yours

    play(tmp_path, story)


def test_of_two_uploads_of_one_id_that_finish_together_one_is_the_file(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        app = darkroom.app
        uploads = []
        for _ in range(4):
            darkroom.pass_time(MOMENT)
            uploads.append(await begun(app, "mine"))
        ended = await asyncio.gather(
            *(
                files.receive(app, upload, 0, b"%d" % n, last=True)
                for n, upload in enumerate(uploads)
            ),
            return_exceptions=True,
        )
        (won,) = [n for n, end in enumerate(ended) if isinstance(end, File)]
        assert await whole(app, "mine") == b"%d" % won
        lost = [end for end in ended if isinstance(end, InvalidRequest)]
        assert [error.details for error in lost] == [{"reason": "ALREADY_EXISTS"}] * 3

    play(tmp_path, story)


def test_a_chunk_goes_on_where_the_others_end(tmp_path: Path) -> None:
    data = of_bytes(2 * STEP)

    async def story(darkroom: Darkroom) -> None:
        app, offset = darkroom.app, "x-goog-upload-offset"
        upload = await begun(app, size=2 * STEP)
        assert (await refused(app, upload, STEP, data[STEP:], last=False)).param == offset
        await files.receive(app, upload, 0, data[:STEP], last=False)
        for at in (-1, 1, STEP - 1, STEP + 1, 10**15):
            error = await refused(app, upload, at, data[:STEP], last=False)
            assert isinstance(error, InvalidRequest)
            assert error.param == offset
            assert str(STEP) in error.message
        # What was taken once is taken again, but is not the end.
        assert await files.receive(app, upload, 0, data[:STEP], last=False) == STEP
        await files.receive(app, upload, STEP, data[STEP:], last=False)
        assert (await refused(app, upload, 0, data[:STEP], last=True)).param == offset
        assert isinstance(await files.receive(app, upload, STEP, data[STEP:], last=True), File)

    play(tmp_path, story)


def test_sizes_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = of_bytes(3 * STEP)

    async def story(darkroom: Darkroom) -> None:
        app = darkroom.app
        upload = await begun(app, size=STEP + 1)
        small = await refused(app, upload, 0, data[: STEP - 1], last=False)
        assert isinstance(small, InvalidRequest)
        assert (await refused(app, upload, 0, b"", last=False)).status == 400
        assert await files.receive(app, upload, 0, data[:STEP], last=False) == STEP
        much = await refused(app, upload, STEP, data[:2], last=True)
        assert isinstance(much, PayloadTooLarge)
        short = await refused(app, upload, STEP, b"", last=True)
        assert isinstance(short, InvalidRequest)
        assert await files.received(app, upload) == STEP
        assert isinstance(await files.receive(app, upload, STEP, b"x", last=True), File)

        monkeypatch.setattr(files, "MAX_BYTES", 2 * STEP)
        unannounced = await begun(app)
        await files.receive(app, unannounced, 0, data[: 2 * STEP], last=False)
        most = await refused(app, unannounced, 2 * STEP, b"x", last=True)
        assert isinstance(most, PayloadTooLarge)

    play(tmp_path, story)


def test_an_upload_is_finished_once(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        app = darkroom.app
        upload = await begun(app, size=STEP)
        assert await files.receive(app, upload, 0, of_bytes(STEP), last=False) == STEP
        file = await files.receive(app, upload, STEP, b"", last=True)
        assert isinstance(file, File)
        assert file.sha256 == hashlib.sha256(of_bytes(STEP)).hexdigest()
        objects = await left(app)
        darkroom.pass_time(timedelta(minutes=1))
        assert await files.receive(app, upload, STEP, b"", last=True) == file
        assert await files.receive(app, upload, 0, of_bytes(STEP), last=True) == file
        assert await files.receive(app, upload, STEP, b"x" * STEP, last=False) == file
        assert await left(app) == objects
        await files.abandon(app, upload)
        assert await left(app) == objects

    play(tmp_path, story)


def test_a_file_may_be_empty(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        file = await sent(darkroom.app, b"", "nothing", kind="")
        assert (file.size_bytes, file.mime_type) == (0, "application/octet-stream")
        assert await whole(darkroom.app, "nothing") == b""
        assert await left(darkroom.app) == (names.file_description(ME, "nothing"),)

    play(tmp_path, story)


def test_a_chunk_given_up_on_may_still_arrive(tmp_path: Path) -> None:
    half, data = STEP // 2, of_bytes(5 * STEP)

    async def story(darkroom: Darkroom) -> None:
        app = darkroom.app
        upload = await begun(app)
        assert await files.receive(app, upload, 0, data[:STEP], last=False) == STEP
        second = await files.receive(app, upload, STEP, data[STEP : 2 * STEP], last=False)
        assert second == 2 * STEP
        folder = (await left(app))[0].rpartition("/")[0]

        async def arrives(at: int, end: int) -> int:
            name = f"{folder}/{at:012d}-{end - at:012d}"
            await app.storage.put(name, data[at:end], "text/plain", {})
            return await files.received(app, upload)

        assert await arrives(0, 3 * half) == 2 * STEP
        assert await arrives(9 * half, 5 * STEP) == 2 * STEP
        assert await arrives(STEP, 4 * STEP) == 4 * STEP
        assert await arrives(3 * half, 5 * half) == 4 * STEP
        file = await files.receive(app, upload, 4 * STEP, data[4 * STEP :], last=True)
        assert isinstance(file, File)
        assert file.sha256 == hashlib.sha256(data).hexdigest()
        assert await whole(app, file.id) == data

    play(tmp_path, story)


def test_an_instance_that_dies_before_the_end_leaves_no_file(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        app = darkroom.app
        put, upload = app.storage.put, await begun(app)

        async def dies(name: str, *rest: object) -> bool:
            if name.endswith("file.json"):
                raise OSError("the instance dies")
            return await put(name, *rest)  # type: ignore[arg-type] # what came

        app.storage.put = dies  # type: ignore[method-assign, assignment] # a fault
        with pytest.raises(OSError, match="dies"):
            await files.receive(app, upload, 0, b"all of it", last=True)
        app.storage.put = put  # type: ignore[method-assign]
        assert await files.find(app, ME, upload.file_id) is None
        assert (await files.listed(app, ME, 10, None)).items == ()
        file = await files.receive(app, upload, 0, b"all of it", last=True)
        assert isinstance(file, File)
        assert await whole(app, file.id) == b"all of it"

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("data", "said", "kept"),
    [
        (photo(kind="PNG"), "", "image/png"),
        (photo(kind="JPEG"), "", "image/jpeg"),
        (photo(kind="WEBP"), "", "image/webp"),
        (b"RIFF????WAVE", "", "application/octet-stream"),
        (photo(kind="PNG"), "jsonl", "jsonl"),
    ],
)
def test_a_type_that_was_not_said_is_seen(
    tmp_path: Path, data: bytes, said: str, kept: str
) -> None:
    async def story(darkroom: Darkroom) -> None:
        assert (await sent(darkroom.app, data, kind=said)).mime_type == kept

    play(tmp_path, story)


def test_nobody_sees_anothers_file_or_one_that_expired(tmp_path: Path) -> None:
    async def gone(app: App, account_id: str) -> None:
        assert await files.find(app, account_id, "mine") is None
        assert (await files.listed(app, account_id, 10, None)).items == ()
        assert not await files.delete(app, account_id, "mine")
        with pytest.raises(NotFound):
            await files.read(app.storage, account_id, "mine", 100, app.clock())
        with pytest.raises(NotFound):
            await anext(files.chunks(app.storage, account_id, "mine", app.clock()))

    async def story(darkroom: Darkroom) -> None:
        app = darkroom.app
        file = await sent(app, b"secret", "mine")
        for other in ("acc_m", "acc_me2", "acc_other"):
            await gone(app, other)
        for odd in ("../acc_me/mine", "", "mine/", "mine/file.json", "a" * 600):
            assert await files.find(app, ME, odd) is None
        darkroom.pass_time(KEPT_FOR - MOMENT)
        assert await files.find(app, ME, "mine") == file
        darkroom.pass_time(MOMENT)
        await gone(app, ME)

    play(tmp_path, story)


def test_a_list_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        app = darkroom.app
        for old in ("a-0", "b", "c0"):
            await sent(app, b"x", old)
        darkroom.pass_time(KEPT_FOR)
        await files.receive(app, await begun(app, "b-unfinished"), 0, of_bytes(STEP), last=False)
        ids = ["a", "a-b", "a0", "b0", "c"]
        for file_id in ids:
            await sent(app, b"x", file_id)
        for limit in (1, 2, 3, 4, 5, 6):
            seen: list[str] = []
            cursor: str | None = None
            for _ in range(len(ids)):
                page = await files.listed(app, ME, limit, cursor)
                assert 0 < len(page.items) <= limit
                seen += [file.id for file in page.items]
                cursor = page.cursor
                if cursor is None:
                    break
            assert seen == ids, limit
        with pytest.raises(InvalidRequest) as caught:
            await files.listed(app, ME, 10, "no such cursor")
        assert caught.value.param == "cursor"

    play(tmp_path, story)


def test_a_file_is_read_whole_only_where_it_is_small_enough(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        app = darkroom.app
        await sent(app, b"12345", "mine")
        assert await files.read(app.storage, ME, "mine", 5, app.clock()) == b"12345"
        with pytest.raises(PayloadTooLarge):
            await files.read(app.storage, ME, "mine", 4, app.clock())

    play(tmp_path, story)


def test_a_file_that_lost_a_chunk_is_not_cut_short(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        app = darkroom.app
        await sent(app, of_bytes(2 * STEP), "mine")
        await app.storage.delete((await left(app))[1])
        with pytest.raises(NotFound):
            await whole(app, "mine")

    play(tmp_path, story)


def test_an_upload_may_be_called_off(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        app = darkroom.app
        upload = await begun(app)
        await files.receive(app, upload, 0, of_bytes(STEP), last=False)
        await files.abandon(app, upload)
        assert await files.received(app, upload) == 0
        assert await left(app) == ()
        await files.abandon(app, upload)

    play(tmp_path, story)


def test_an_account_keeps_so_much_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_ACCOUNT_BYTES", 3 * STEP)

    async def story(darkroom: Darkroom) -> None:
        app = darkroom.app
        await app.storage.put("files/acc_me2/mine/0000000000000000/deleted", b"", "text/plain", {})
        await sent(app, of_bytes(STEP), "kept")
        with pytest.raises(QuotaExceeded):
            await begun(app)  # says nothing of its size: 2 GiB
        with pytest.raises(QuotaExceeded, match="Delete some files"):
            await begun(app, size=2 * STEP + 1)
        one, two = await begun(app, size=2 * STEP), await begun(app, size=2 * STEP)
        assert await files.receive(app, one, 0, of_bytes(STEP), last=False) == STEP
        assert await files.receive(app, two, 0, of_bytes(STEP), last=False) == STEP
        full = await refused(app, one, STEP, of_bytes(STEP), last=True)
        assert isinstance(full, QuotaExceeded)
        assert full.retry_after_s is None
        # What lies there already is not counted again, and others have their own room.
        assert await files.receive(app, two, 0, of_bytes(STEP), last=False) == STEP
        assert await files.begin(
            app, "acc_other", file_id=None, display_name="", mime_type="", size_bytes=3 * STEP
        )
        await files.delete(app, ME, "kept")
        assert isinstance(await files.receive(app, one, STEP, of_bytes(STEP), last=True), File)
        await files.abandon(app, two)
        assert await begun(app, size=STEP)

    play(tmp_path, story)


def test_an_upload_does_not_bring_back_what_was_deleted(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        app = darkroom.app
        upload = await begun(app, "mine", size=5)
        await files.receive(app, upload, 0, b"12345", last=True)
        await files.delete(app, ME, "mine")
        for last in (True, False):
            error = await refused(app, upload, 0, b"12345", last=last)
            assert isinstance(error, Forbidden)
        with pytest.raises(Forbidden, match="was deleted"):
            await files.received(app, upload)
        await files.abandon(app, upload)
        assert await files.find(app, ME, "mine") is None
        assert (await files.listed(app, ME, 10, None)).items == ()
        darkroom.pass_time(MOMENT)
        again = await begun(app, "mine", size=5)
        await files.receive(app, again, 0, b"67890", last=True)
        assert isinstance(await refused(app, upload, 0, b"12345", last=True), Forbidden)
        assert await whole(app, "mine") == b"67890"
        await files.delete(app, ME, "mine")
        darkroom.pass_time(KEPT_FOR - MOMENT)
        await files.expire(app)
        assert len(await left(app)) == 1
        darkroom.pass_time(MOMENT)
        await files.expire(app)
        assert await left(app) == ()

    play(tmp_path, story)


def test_a_file_deleted_while_another_instance_finishes_it_stays_deleted(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        app = darkroom.app
        put, upload = app.storage.put, await begun(app, "mine")

        async def late(name: str, *rest: object) -> bool:
            if name.endswith("file.json"):
                app.storage.put = put  # type: ignore[method-assign]
                await files.receive(app, upload, 0, b"12345", last=True)
                await files.delete(app, ME, "mine")
            return await put(name, *rest)  # type: ignore[arg-type] # what came

        app.storage.put = late  # type: ignore[method-assign, assignment] # a fault
        assert isinstance(await refused(app, upload, 0, b"12345", last=True), Forbidden)
        assert await files.find(app, ME, "mine") is None
        (stone,) = await left(app)
        assert stone.endswith("/deleted")

    play(tmp_path, story)


def test_what_is_too_old_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        app, hour = darkroom.app, timedelta(hours=1)
        await app.storage.put("images/req_1/0", b"x", "image/png", {})
        await sent(app, b"x", "old")
        await sent(app, b"", "old-and-empty")
        stuck, slow = await begun(app, "stuck"), await begun(app, "slow")
        for upload in (stuck, slow):
            await files.receive(app, upload, 0, of_bytes(STEP), last=False)
        darkroom.pass_time(20 * hour)
        file = await files.receive(app, slow, STEP, b"x", last=True)
        loser = await files.receive(app, await begun(app, "young"), 0, of_bytes(STEP), last=False)
        assert loser == STEP
        before = await left(app)
        darkroom.pass_time(28 * hour - MOMENT)
        await files.expire(app)
        assert await left(app) == before
        darkroom.pass_time(MOMENT)
        await files.expire(app)
        assert {name.split("/")[2] for name in await left(app)} == {"slow", "young"}
        assert await files.find(app, ME, "slow") == file
        assert await whole(app, "slow") == of_bytes(STEP) + b"x"
        darkroom.pass_time(20 * hour)
        await files.expire(app)
        assert await app.storage.list("") == ("images/req_1/0",)

    play(tmp_path, story)


def test_a_local_server_deletes_old_files_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expire = files.expire
    monkeypatch.setattr(server, "_SWEEP_EVERY_S", 0.0)

    async def story(darkroom: Darkroom) -> None:
        swept = asyncio.Event()

        async def expire_and_tell(app: App) -> None:
            await expire(app)
            swept.set()

        monkeypatch.setattr(files, "expire", expire_and_tell)
        await sent(darkroom.app, b"x", "old")
        darkroom.pass_time(KEPT_FOR)
        sweeper = asyncio.create_task(server._keep_sweeping(darkroom.app))
        await swept.wait()
        sweeper.cancel()
        assert await left(darkroom.app) == ()

    play(tmp_path, story)


def test_a_file_becomes_an_image_of_a_request(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        app, data = darkroom.app, photo((900, 900), "PNG")
        await sent(app, data, "mine")
        request = ImageRequest(
            operation="edit", model="m", prompt="p", refs=(ImageRef(file_id="mine"),)
        )
        loader = app.loader(Caller(ME, "key_1", test=False))
        assert (await sources.load(request, loader)).sources[0].data == data

    play(tmp_path, story)

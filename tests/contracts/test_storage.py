"""What every storage backend does, on a folder and on Google's client over a real connection."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared.storage import PIECE_BYTES, BadName, Blob, Described, Missing, Storage
from shared.storage.disk import Disk
from tests.emulators.storage import on_emulator

ODD: tuple[str, ...] = (
    "",
    "/",
    "/etc/passwd",
    "../up",
    "a/../b",
    "a/..",
    ".",
    "a//b",
    "a/",
    "a b",
    "a\\b",
    "é",
)
ODD += ("a\n", "a\0", "%2e%2e/a", "a" * 300, "a/" * 300 + "a", "~", "a?b", "a#b")


@pytest.fixture(params=["disk", pytest.param("gcs", marks=pytest.mark.emulator)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """An empty store."""
    if request.param == "disk":
        backend: Storage = Disk(tmp_path)
    else:
        url: str = request.getfixturevalue("storage_emulator")
        backend = on_emulator(url)
    yield backend
    asyncio.run(backend.close())


def test_an_object_comes_back_with_its_type_and_labels(storage: Storage) -> None:
    async def scenario() -> Blob | None:
        labels = {"route": "google:gemini-3-pro-image", "n": "0"}
        assert await storage.put("images/req_1/0", b"\x89PNG\0\xff", "image/png", labels)
        return await storage.get("images/req_1/0")

    blob = asyncio.run(scenario())
    assert blob == Blob(
        b"\x89PNG\0\xff", "image/png", {"route": "google:gemini-3-pro-image", "n": "0"}
    )


@pytest.mark.parametrize("data", [b"", b'{"a": 1}\n', b"\0\0\0\0", b"x" * 4])
def test_bytes_come_back_whatever_they_are(storage: Storage, data: bytes) -> None:
    async def scenario() -> Blob | None:
        assert await storage.put("a", data, "application/json", {})
        return await storage.get("a")

    assert asyncio.run(scenario()) == Blob(data, "application/json", {})


def test_an_object_is_written_once(storage: Storage) -> None:
    async def scenario() -> Blob | None:
        assert await storage.put("a/b", b"first", "image/png", {"by": "first"})
        assert not await storage.put("a/b", b"second", "image/jpeg", {"by": "second"})
        return await storage.get("a/b")

    assert asyncio.run(scenario()) == Blob(b"first", "image/png", {"by": "first"})


def test_of_twelve_writers_one_wins_and_its_bytes_are_whole(storage: Storage) -> None:
    async def race(name: str) -> None:
        contents = [bytes([n]) * 50_000 for n in range(12)]
        won = await asyncio.gather(
            *(
                storage.put(name, content, f"image/{n}", {"by": str(n)})
                for n, content in enumerate(contents)
            )
        )
        assert won.count(True) == 1
        winner = won.index(True)
        expected = Blob(contents[winner], f"image/{winner}", {"by": str(winner)})
        assert await storage.get(name) == expected

    async def scenario() -> None:
        for n in range(5):
            await race(f"race/{n}")

    asyncio.run(scenario())


def test_nine_megabytes_come_back_as_they_went_and_once(storage: Storage) -> None:
    data = os.urandom(9 * 1024 * 1024)

    async def scenario() -> Blob | None:
        assert await storage.put("big.png", data, "image/png", {})
        assert not await storage.put("big.png", data[::-1], "image/png", {})
        return await storage.get("big.png")

    blob = asyncio.run(scenario())
    assert blob is not None
    assert blob.data == data


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1])
def test_an_object_is_read_in_pieces(storage: Storage, size: int) -> None:
    data = os.urandom(size)

    async def scenario() -> list[bytes]:
        assert await storage.put("uploads/a", data, "application/jsonl", {"k": "v"})
        return [piece async for piece in storage.stream("uploads/a")]

    pieces = asyncio.run(scenario())
    assert b"".join(pieces) == data
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)


def test_there_are_no_pieces_of_what_is_not_there(storage: Storage) -> None:
    async def scenario() -> None:
        for name in ("none", "none/either"):
            with pytest.raises(Missing):
                await anext(storage.stream(name))

    asyncio.run(scenario())


def test_pieces_are_of_one_object_though_its_name_goes_to_another(storage: Storage) -> None:
    async def scenario() -> bytes:
        await storage.put("a", b"1" * (PIECE_BYTES + 1), "text/plain", {})
        pieces = storage.stream("a")
        begun = await anext(pieces)
        await storage.delete("a")
        await storage.put("a", b"2" * (PIECE_BYTES + 1), "text/plain", {})
        try:
            return begun + b"".join([piece async for piece in pieces])
        except Missing:
            return begun

    assert set(asyncio.run(scenario())) == set(b"1")


def test_an_object_is_described_without_its_bytes(storage: Storage) -> None:
    async def scenario() -> tuple[Described | None, Described | None]:
        assert await storage.describe("a") is None
        assert await storage.describe("a/b") is None
        await storage.put("a", b"12345", "image/png", {"k": "v"})
        first = await storage.describe("a")
        assert first == await storage.describe("a")
        await storage.delete("a")
        await storage.put("a", b"", "image/png", {})
        return first, await storage.describe("a")

    first, second = asyncio.run(scenario())
    assert first is not None and second is not None
    assert first == Described(5, "image/png", {"k": "v"}, first.generation)
    assert (second.size_bytes, second.labels) == (0, {})
    assert first.generation != second.generation


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_object_is_written_in_pieces(storage: Storage, count: int) -> None:
    piece = os.urandom(2 * 2**20)

    async def scenario() -> Blob | None:
        labels = {"darkroom-mode": "auto"}
        assert await storage.put_stream("uploads/a", several(piece, count), "text/plain", labels)
        return await storage.get("uploads/a")

    blob = asyncio.run(scenario())
    assert blob == Blob(piece * count, "text/plain", {"darkroom-mode": "auto"})


def test_what_is_there_is_not_written_over_in_pieces(storage: Storage) -> None:
    async def scenario() -> Blob | None:
        assert await storage.put_stream("a", several(b"1", 2), "text/plain", {})
        assert not await storage.put_stream("a", several(b"2", 2), "text/plain", {})
        assert not await storage.put("a", b"3", "text/plain", {})
        return await storage.get("a")

    assert asyncio.run(scenario()) == Blob(b"11", "text/plain", {})


@pytest.mark.parametrize("size", [3, 5 * 2**20])
def test_pieces_that_fail_leave_no_object(storage: Storage, size: int) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x" * size
        raise ConnectionError

    async def scenario() -> None:
        with pytest.raises(ConnectionError):
            await storage.put_stream("a", failing(), "text/plain", {})
        gc.collect()
        assert await storage.list("") == ()
        assert await storage.put_stream("a", several(b"x", 1), "text/plain", {})

    asyncio.run(scenario())


async def several(piece: bytes, count: int) -> AsyncIterator[bytes]:
    """The same piece again and again."""
    for _ in range(count):
        yield piece


def test_what_does_not_exist_is_none_and_can_be_deleted(storage: Storage) -> None:
    async def scenario() -> None:
        assert await storage.get("none") is None
        assert await storage.get("none/either") is None
        await storage.delete("none")
        await storage.delete("none/either")

    asyncio.run(scenario())


def test_a_deleted_object_is_gone_and_its_name_free(storage: Storage) -> None:
    async def scenario() -> Blob | None:
        await storage.put("a/b", b"first", "image/png", {})
        await storage.delete("a/b")
        assert await storage.get("a/b") is None
        assert await storage.list("a/") == ()
        assert await storage.put("a/b", b"second", "image/png", {})
        return await storage.get("a/b")

    blob = asyncio.run(scenario())
    assert blob is not None
    assert blob.data == b"second"


def test_a_list_has_the_names_under_a_prefix_in_order(storage: Storage) -> None:
    async def scenario() -> None:
        for name in ("u/1/b.png", "u/10/a.png", "u/1/a/x.png", "u/1/A.png", "u/2.png", "v/1"):
            await storage.put(name, b"x", "image/png", {})
        assert await storage.list("u/1/") == ("u/1/A.png", "u/1/a/x.png", "u/1/b.png")
        assert await storage.list("u/1") == (
            "u/1/A.png",
            "u/1/a/x.png",
            "u/1/b.png",
            "u/10/a.png",
        )
        assert len(await storage.list("")) == 6
        assert await storage.list("w/") == ()

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_refused_by_every_verb(storage: Storage, name: str) -> None:
    async def scenario() -> None:
        with pytest.raises(BadName):
            await storage.put(name, b"x", "image/png", {})
        with pytest.raises(BadName):
            await storage.get(name)
        with pytest.raises(BadName):
            await storage.delete(name)
        with pytest.raises(BadName):
            await storage.put_stream(name, several(b"x", 1), "image/png", {})
        with pytest.raises(BadName):
            await anext(storage.stream(name))
        with pytest.raises(BadName):
            await storage.describe(name)

    asyncio.run(scenario())


@pytest.mark.parametrize("prefix", ["..", "../", "/", "a/../", "a//", "a*"])
def test_odd_prefixes_are_refused(storage: Storage, prefix: str) -> None:
    with pytest.raises(BadName):
        asyncio.run(storage.list(prefix))


def test_dots_inside_a_name_are_plain(storage: Storage) -> None:
    async def scenario() -> None:
        for name in ("a..b", ".hidden", "..a", "a.", "a/b..png"):
            assert await storage.put(name, b"x", "image/png", {})
            assert await storage.get(name) is not None

    asyncio.run(scenario())

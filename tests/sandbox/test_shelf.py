"""Shelves: bytes by name, written once, in memory and in a folder."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from shared.sandbox.shelf import Contents, Folder, Memory, Shelf


@pytest.fixture(params=["memory", "folder"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    return Memory() if request.param == "memory" else Folder(tmp_path)


def test_what_is_put_is_got_and_never_overwritten(shelf: Shelf) -> None:
    assert shelf.get("google/files/a") is None
    assert shelf.put("google/files/a", b"first")
    assert not shelf.put("google/files/a", b"second")
    assert shelf.get("google/files/a") == b"first"
    assert shelf.get("google/files") is None
    shelf.delete("google/files/a")
    shelf.delete("google/files/a")
    assert shelf.get("google/files/a") is None
    assert shelf.put("google/files/a", b"third")


def test_a_folder_lists_its_own_oldest_first(shelf: Shelf) -> None:
    for name in ("google/files/b", "google/files/a", "google/batches/c"):
        shelf.put(name, b"")
    assert set(shelf.list("google/files/")) == {"google/files/b", "google/files/a"}
    assert shelf.list("google/batches/") == ("google/batches/c",)
    assert shelf.list("openai/files/") == ()


def test_of_many_writers_one_wins(shelf: Shelf) -> None:
    barrier, won = threading.Barrier(4), []

    def write(number: int) -> None:
        barrier.wait()
        if shelf.put("x/y", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shelf.get("x/y") == str(won[0]).encode()
    assert len(won) == 1


def test_memory_lets_the_oldest_go() -> None:
    shelf = Memory(most_bytes=10, most_entries=3)
    for name in "abc":
        shelf.put(name, b"1234")
    assert [shelf.get(name) for name in "abc"] == [None, b"1234", b"1234"]
    shelf.delete("b")
    for name in "def":
        shelf.put(name, b"")
    assert shelf.get("c") is None
    shelf.put("large", bytes(100))
    assert shelf.get("large") == bytes(100)
    assert shelf.get("f") is None


def test_a_folder_holds_for_the_next_process(tmp_path: Path) -> None:
    Folder(tmp_path).put("google/files/a", b"kept")
    again = Folder(tmp_path)
    assert again.get("google/files/a") == b"kept"
    assert list((tmp_path / "unfinished").iterdir()) == []


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd", "", "a//b", ".a", "a\0", "é"])
def test_a_folder_is_never_left(tmp_path: Path, name: str) -> None:
    shelf = Folder(tmp_path / "shelf")
    (tmp_path / "a").write_bytes(b"secret")
    assert shelf.get(name) is None
    assert shelf.list(f"{name}/") == ()
    shelf.delete(name)
    with pytest.raises(ValueError, match="no name"):
        shelf.put(name, b"")
    assert (tmp_path / "a").exists()


def test_contents_stay_while_a_batch_uses_them(shelf: Shelf) -> None:
    contents = Contents(shelf, "google")
    name = contents.keep(b"requests")
    for batch_id in ("one", "two"):
        contents.use(name, batch_id)
    contents.release(name, "one")
    contents.drop(name)
    assert contents.read(name) == b"requests"
    contents.release(name, "two")
    contents.drop(name)
    assert contents.read(name) is None

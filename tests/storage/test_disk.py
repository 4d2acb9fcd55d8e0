"""What only the folder has: files that survive a kill, and pictures that open where they lie."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from shared.storage import Blob
from shared.storage.disk import Disk


def test_another_process_reads_what_was_written(tmp_path: Path) -> None:
    asyncio.run(Disk(tmp_path).put("a/b", b"x", "image/png", {"k": "v"}))
    assert asyncio.run(Disk(tmp_path).get("a/b")) == Blob(b"x", "image/png", {"k": "v"})


def test_a_write_that_dies_before_its_last_step_leaves_no_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise OSError("no space left")

    disk = Disk(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(os, "link", dies)
        asyncio.run(disk.put("a/b", b"x", "image/png", {}))
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(os, "link", dies)
        asyncio.run(disk.put_stream("a/b", _once(b"x"), "image/png", {}))
    assert asyncio.run(disk.get("a/b")) is None
    assert asyncio.run(disk.list("")) == ()
    assert list((tmp_path / "unfinished").iterdir()) == []
    assert asyncio.run(disk.put("a/b", b"x", "image/png", {}))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_stored_picture_opens_as_a_file(tmp_path: Path, kind: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), "red").save(buffer, kind)
    asyncio.run(Disk(tmp_path).put("images/r/0", buffer.getvalue(), "image/png", {"k": "v"}))
    with Image.open(tmp_path / "objects" / "images" / "r" / "0") as picture:
        picture.load()
        assert picture.size == (20, 10)


def test_a_folder_is_no_object(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    asyncio.run(disk.put("a/b", b"x", "image/png", {}))
    assert asyncio.run(disk.get("a")) is None


def test_bytes_have_to_come_through_us(tmp_path: Path) -> None:
    ticket = Disk(tmp_path).ticket("a", "image/png", {}, 10, timedelta(minutes=1))
    assert asyncio.run(ticket) is None


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data

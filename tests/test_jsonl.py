"""Lines of a stream, however it is cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import jsonl
from shared.errors import PayloadTooLarge


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    """The data, cut."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def read(data: bytes, size: int, most: int = 1000) -> list[tuple[bytes, int]]:
    """Its lines."""
    return [line async for line in jsonl.lines(pieces(data, size), most)]


@given(st.lists(st.binary(max_size=20).filter(lambda b: b"\n" not in b)), st.integers(1, 30))
def test_every_line_comes_once_with_the_place_after_it(lines: list[bytes], size: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    got = asyncio.run(read(data, size))
    assert [line for line, _ in got] == lines
    for line, end in got:
        assert data[end - len(line) - 1 : end] == line + b"\n"


def test_the_last_line_needs_no_end() -> None:
    assert asyncio.run(read(b"a\nbc", 2)) == [(b"a", 2), (b"bc", 4)]


def test_a_line_that_never_ends_is_refused() -> None:
    with pytest.raises(PayloadTooLarge):
        asyncio.run(read(b"x" * 100, 10, most=50))

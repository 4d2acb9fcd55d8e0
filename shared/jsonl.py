"""Lines of a stream, one at a time, however long the stream is."""

from __future__ import annotations

from collections.abc import AsyncIterator

from shared.errors import PayloadTooLarge


async def lines(pieces: AsyncIterator[bytes], most: int) -> AsyncIterator[tuple[bytes, int]]:
    """Each line without its end, and how many bytes the stream had when it was over; the last one
    may have no end. Raises PayloadTooLarge for a line of more than `most` bytes."""
    rest, passed = bytearray(), 0
    async for piece in pieces:
        looked = len(rest)
        rest += piece
        start = 0
        while (end := rest.find(b"\n", max(start, looked))) >= 0:
            yield bytes(rest[start:end]), passed + end + 1
            start = end + 1
        if start:
            del rest[:start]
            passed += start
        if len(rest) > most:
            raise PayloadTooLarge(f"A line has at most {most} bytes.")
    if rest:
        yield bytes(rest), passed + len(rest)

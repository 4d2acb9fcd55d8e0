"""Lines of a stream, one at a time, however long the stream is."""

from __future__ import annotations

from collections.abc import AsyncIterator

from shared.errors import PayloadTooLarge


async def lines(
    pieces: AsyncIterator[bytes], most: int, *, skip: bool = False
) -> AsyncIterator[tuple[bytes, int]]:
    """Each line without its end, and how many bytes the stream had when it was over; the last one
    may have no end. For a line of more than `most` bytes it raises PayloadTooLarge, or gives an
    empty one in its place if such are to `skip`."""
    rest, passed, skipping = bytearray(), 0, False
    async for piece in pieces:
        looked = len(rest)
        rest += piece
        start = 0
        while (end := rest.find(b"\n", max(start, looked))) >= 0:
            yield (b"" if skipping else bytes(rest[start:end])), passed + end + 1
            start, skipping = end + 1, False
        del rest[:start]
        passed += start
        if len(rest) > most:
            if not skip:
                raise PayloadTooLarge(f"A line has at most {most} bytes.")
            passed += len(rest)
            rest.clear()
            skipping = True
    if rest or skipping:
        yield (b"" if skipping else bytes(rest)), passed + len(rest)

"""Server-sent events out of bytes as they come (html.spec.whatwg.org, "Server-sent events", 2026).

Of an event only its data is kept: providers say in it what it is. Lines end with LF or CRLF.
"""

from __future__ import annotations

_BEGINNINGS = (b"data:", b"event:", b"id:", b"retry:", b":")


class Splitter:
    """Cuts one stream, given in pieces of any size, into the data of its events."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: bytearray | None = None

    def feed(self, piece: bytes) -> list[bytes]:
        """The events that end in this piece."""
        ended, start = [], 0
        while (end := piece.find(b"\n", start)) >= 0:
            self._line += piece[start:end]
            line, self._line = self._line, bytearray()
            start = end + 1
            if (event := self._take(line)) is not None:
                ended.append(event)
        self._line += piece[start:]
        return ended

    def _take(self, line: bytearray) -> bytes | None:
        """The event that a line ends, if it does. A line may be all of a picture, so it is cut in
        place."""
        if line.endswith(b"\r"):
            del line[-1:]
        if line:
            if line.startswith(b"data:") or line == b"data":
                del line[: 6 if line[5:6] == b" " else 5]
                if self._data is None:
                    self._data = line
                else:
                    self._data += b"\n" + line
            return None
        event, self._data = self._data, None
        return None if event is None else bytes(event)


def is_stream(body: bytes) -> bool:
    """Whether a body is events, by its first line: what content-type says is not to be relied
    on."""
    return body[:64].lstrip().startswith(_BEGINNINGS)


def events(body: bytes) -> list[bytes]:
    """The data of every event of a whole body, and of one that is cut off at its end: who reads it
    will see whether it is all there."""
    splitter = Splitter()
    return [*splitter.feed(body), *splitter.feed(b"\n\n")]

"""The sandbox on a port, for benchmarks: `python -m tests.benchmarks.painted --port 0`. It speaks
as ever, but of each size and kind of picture it paints one and gives that out from then on:
painting takes longer than all that a picture costs a gateway."""

from __future__ import annotations

import functools
from dataclasses import replace

from shared.sandbox import __main__, painter

SIZES = 16
"""Of which a picture is kept."""


@functools.lru_cache(SIZES)
def _once(picture: painter.Picture) -> bytes:
    return _PAINT(picture)


def paint(picture: painter.Picture) -> bytes:
    """The picture that all of its model, size and kind share."""
    return _once(replace(picture, key=b"the same", caption="a benchmark", sources=()))


_PAINT = painter.paint

if __name__ == "__main__":
    # Before the speakers are loaded, which happens with the first request.
    painter.paint = paint
    __main__.main()

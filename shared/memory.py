"""What this process keeps of memory it has freed: with pictures of megabytes that decides what they
cost. Nothing here but on Linux with glibc.

Left to itself glibc gives memory back and asks for it anew picture by picture, and each page of it
costs a fault: 6 of 19 ms a picture (measured 2026-11-22, docs in tests/benchmarks/README.md).
"""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Any

KEPT_BYTES = 64 * 2**20
"""Of freed memory, what is kept for the next pictures."""
LARGE_BYTES = 32 * 2**20
"""What is asked of the system alone, and given back at once: the most that glibc allows."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def settle() -> None:
    """Keep some of what is freed, and never look through what was loaded by now for garbage."""
    gc.freeze()
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


def give_back() -> None:
    """Give all that is freed back to the system. It takes some milliseconds, so it wants a
    thread."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") else None

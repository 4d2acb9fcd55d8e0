"""Work that takes longer than handing it to a thread does goes to one, so that others get their
turn meanwhile; the rest, and that is most of it, is done at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

TEXT_BYTES = 2**16
"""A caller's JSON of so many bytes is read and checked in about a millisecond (2026-11)."""
ANSWER_BYTES = 2**22
"""And so is a provider's answer, which is base64 for the most part."""


async def run(little: bool, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """What work returns, or raises; done here and now where it is only a little."""
    if little:
        return work(*args, **options)
    return await asyncio.to_thread(work, *args, **options)

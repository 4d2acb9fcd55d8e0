"""Only what takes long goes to a thread."""

from __future__ import annotations

import asyncio
import threading

from shared import apart


def test_a_little_is_done_here_and_more_in_a_thread() -> None:
    async def both() -> tuple[bool, bool]:
        here = await apart.run(True, threading.get_ident)
        there = await apart.run(False, threading.get_ident)
        return here == threading.get_ident(), there == threading.get_ident()

    assert asyncio.run(both()) == (True, False)

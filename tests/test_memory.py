"""Memory is kept for the next picture, and given back after a burst."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
from pathlib import Path

import pytest

from shared import app as root
from shared import memory
from tests.darkroom import Darkroom, play


def test_what_was_loaded_is_never_looked_through_again() -> None:
    before = gc.get_freeze_count()
    try:
        memory.settle()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


def test_there_is_nothing_to_do_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(name: object) -> None:
        raise AssertionError("a library was opened")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", asked)
    memory.give_back()


@pytest.mark.parametrize(("at_once", "times"), [(7, 0), (8, 1)])
def test_memory_is_given_back_once_after_a_burst(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, times: int
) -> None:
    given: list[bool] = []
    monkeypatch.setattr(root, "_SENT_AFTER_S", 0.0)
    monkeypatch.setattr(memory, "give_back", lambda: given.append(True))

    async def story(darkroom: Darkroom) -> None:
        go = asyncio.Event()

        async def work() -> None:
            await go.wait()

        tasks = [darkroom.app.spawn(f"req_{n}", work()) for n in range(at_once)]
        go.set()
        await asyncio.gather(*tasks)
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.get_running_loop().shutdown_default_executor()
        assert len(given) == times

    play(tmp_path, story)

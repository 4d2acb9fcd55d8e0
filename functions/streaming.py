"""An answer while it is still being made: sketches as they come, signs of life meanwhile, and the
pictures at the end. The connection may break at any of these; the work goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Protocol

from starlette.responses import Response, StreamingResponse

from functions import http
from shared import log
from shared.domain import Delivery
from shared.errors import DarkroomError, Internal
from shared.generate import Admitted, Answer
from shared.providers import Inline
from shared.surfaces import Shown

KEEP_ALIVE_S = 10.0
"""How long a stream may be silent: proxies and clients take longer silence for the end of it."""
MOST_SKETCHES = 32
_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class Frames(Protocol):
    """How a surface writes a stream."""

    @property
    def media_type(self) -> str:
        """What the body is."""

    def waiting(self) -> bytes:
        """A sign of life."""

    def sketch(self, picture: Inline) -> bytes:
        """A partial picture; nothing where the vendor has none."""

    def refusal(self, answer: Answer) -> DarkroomError | None:
        """The error that an ended request comes to, where the vendor calls it one."""

    def ended(self, answer: Answer, pictures: Sequence[Shown]) -> Iterable[bytes]:
        """The whole answer, to its closing frame."""

    def failed(self, error: DarkroomError) -> bytes:
        """An error in the middle of a stream, to its closing frame."""


def sketchbook() -> asyncio.Queue[Inline]:
    """Where a request may put its sketches. Those that nobody takes in time are lost."""
    return asyncio.Queue(MOST_SKETCHES)


async def stream(
    admitted: Admitted,
    sketches: asyncio.Queue[Inline],
    frames: Frames,
    delivery: Delivery,
    headers: Mapping[str, str],
) -> Response:
    """The stream of a request. One that fails before anything was sent is raised, so that the
    answer has a status."""
    work = asyncio.ensure_future(admitted.end())
    steps = _steps(work, sketches)
    try:
        first: list[Inline | None] = [await anext(steps)]
    except StopAsyncIteration:
        first = []
        refused = frames.refusal(work.result())
        if refused is not None:
            raise refused from None

    async def body() -> AsyncIterator[bytes]:
        try:
            for step in first:
                yield _frame(frames, step)
            async for step in steps:
                yield _frame(frames, step)
            async for chunk in _closing(work, frames, delivery):
                yield chunk
        finally:
            work.cancel()

    return StreamingResponse(body(), headers={**_HEADERS, **headers}, media_type=frames.media_type)


def _frame(frames: Frames, step: Inline | None) -> bytes:
    return frames.waiting() if step is None else frames.sketch(step)


async def _steps(
    work: asyncio.Future[Answer], sketches: asyncio.Queue[Inline]
) -> AsyncIterator[Inline | None]:
    """What comes before the end: sketches, and None for each silence."""
    listening = asyncio.ensure_future(sketches.get())
    try:
        while True:
            both: tuple[asyncio.Future[Any], ...] = (work, listening)
            await asyncio.wait(both, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                yield listening.result()
                listening = asyncio.ensure_future(sketches.get())
            elif work.done():
                return
            else:
                yield None
    finally:
        listening.cancel()


async def _closing(
    work: asyncio.Future[Answer], frames: Frames, delivery: Delivery
) -> AsyncIterator[bytes]:
    """The answer, or its error. Nothing is raised: the status has long been sent."""
    try:
        answer = work.result()
        refused = frames.refusal(answer)
        if refused is not None:
            raise refused
        pictures = await http.shown(answer, delivery)
        for chunk in frames.ended(answer, pictures):
            yield chunk
    except DarkroomError as error:
        log.event("stream.failed", severity="WARNING", code=error.code, private=error.private)
        yield frames.failed(error)
    except Exception as error:
        log.crash("stream.crashed", error)
        yield frames.failed(Internal("Something broke here. Try again."))

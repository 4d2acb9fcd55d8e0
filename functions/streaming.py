"""An answer while it is still being made: sketches as they come, signs of life meanwhile, and the
pictures at the end. The connection may break at any of these; the work goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Protocol

from starlette.responses import Response, StreamingResponse

from functions import http
from shared import log
from shared.domain import Delivery
from shared.errors import DarkroomError, Internal
from shared.generate import Admitted
from shared.providers import Inline
from shared.surfaces import Shown
from shared.work import Answer

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
    sketches: asyncio.Queue[Inline] | None,
    frames: Frames,
    delivery: Delivery,
    headers: Mapping[str, str],
) -> Response:
    """The stream of a request, with its sketches where there are to be some. One that fails before
    anything was sent is raised, so that the answer has a status."""
    work = asyncio.ensure_future(admitted.end())
    # Whoever hangs up before the first byte leaves nobody to hear of an error.
    work.add_done_callback(lambda done: done.cancelled() or done.exception())
    steps = _steps(work, sketches or sketchbook())
    try:
        first: list[Inline | None] = [await anext(steps)]
    except StopAsyncIteration:
        first = []
        refused = frames.refusal(work.result())
        if refused is not None:
            raise refused from None

    async def body() -> AsyncIterator[bytes]:
        try:
            async with contextlib.aclosing(steps):
                for step in first:
                    yield _frame(frames, step)
                async for step in steps:
                    yield _frame(frames, step)
            for chunk in await _end(work, frames, delivery):
                yield chunk
        except DarkroomError as error:
            log.event("stream.failed", severity="WARNING", code=error.code, private=error.private)
            yield frames.failed(error)
        except Exception as error:
            # The status has long been sent: nothing may be raised any more.
            log.crash("stream.crashed", error)
            yield frames.failed(Internal("Something broke here. Try again."))
        finally:
            work.cancel()

    return StreamingResponse(body(), headers={**_HEADERS, **headers}, media_type=frames.media_type)


def _frame(frames: Frames, step: Inline | None) -> bytes:
    return frames.waiting() if step is None else frames.sketch(step)


async def _steps(
    work: asyncio.Future[Answer], sketches: asyncio.Queue[Inline]
) -> AsyncGenerator[Inline | None, None]:
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


async def _end(work: asyncio.Future[Answer], frames: Frames, delivery: Delivery) -> Iterable[bytes]:
    """The whole answer. Raises the error it came to."""
    answer = work.result()
    refused = frames.refusal(answer)
    if refused is not None:
        raise refused
    return frames.ended(answer, await http.shown(answer, delivery, streamed=True))

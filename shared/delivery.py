"""From what a provider made to what lies in storage: pictures in the format asked for, each written
under a name of its own, and the turn that a later edit continues from."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from shared import apart, glb, log, names, pixels, turns
from shared.app import App
from shared.catalogue.rows import Route
from shared.domain import IMAGE_TYPES, Image, ImageRequest, Picture, Record, Turn
from shared.errors import ProviderError
from shared.providers import Done, Inline
from shared.results import Result
from shared.settlement import image_of

_STORE_TRIES = 3


async def converted(request: ImageRequest, result: Result) -> tuple[Picture, ...]:
    """The pictures in the format asked for, without those that cannot be brought into it. A
    provider's own bytes are left as they are, with what they say of their origin."""
    wanted = request.output_format
    if wanted is None:
        return result.pictures
    done_there = request.output_quality is None or wanted in result.route.makes

    async def one(picture: Picture) -> Picture | None:
        if picture.content_type == IMAGE_TYPES[wanted] and done_there:
            return picture
        try:
            quality = request.output_quality
            return await asyncio.to_thread(pixels.converted, picture, wanted, quality)
        except ProviderError as error:
            log.event("picture.not_converted", severity="WARNING", private=error.private)
            return None

    found = await asyncio.gather(*map(one, result.pictures))
    return tuple(picture for picture in found if picture is not None)


async def store(
    app: App, owner: str, pictures: tuple[Picture, ...], route: Route
) -> tuple[tuple[Image, Picture], ...]:
    """Write every picture under a name that follows from its owner's id, a request's or a batch
    item's, so that writing it again changes nothing. One that cannot be written does not take the
    others with it."""
    wanted = [_put(app, image_of(owner, n, p), p, route) for n, p in enumerate(pictures)]
    stored = await asyncio.gather(*wanted, return_exceptions=True)
    failed = [one for one in stored if isinstance(one, BaseException)]
    if failed and len(failed) == len(stored):
        raise failed[0]
    return tuple(one for one in stored if not isinstance(one, BaseException))


async def _put(app: App, image: Image, picture: Picture, route: Route) -> tuple[Image, Picture]:
    for attempt in range(1, _STORE_TRIES + 1):
        try:
            labels = {"route": route.key}
            await app.storage.put(image.name, picture.data, picture.content_type, labels)
            break
        except Exception as error:
            log.event("storage.put_failed", severity="WARNING", private=repr(error))
            if attempt == _STORE_TRIES:
                raise
            await app.sleep(2.0 ** (attempt - 1))
    return image, picture


async def keep_turn(
    app: App, record: Record, request: ImageRequest, result: Result, first: Picture
) -> Record:
    """Keep what a later edit has to give back to the provider, in the record if it is short;
    `first` is the first picture as it was stored. A paid picture never fails for the want of it."""
    if not app.catalogue.models[result.route.model].multi_turn:
        return record
    turn = Turn(
        prompt=request.prompt,
        sources=request.sources,
        images=(),
        wire=result.route.wire,
        wire_model=result.route.wire_model,
        reply=_reply(result.first, first) if result.first else None,
    )
    try:
        previous = request.previous_request_id
        bare = not request.sources
        data = await apart.run(bare, turns.encode, turn, previous)
        if len(data) <= turns.LITTLE_BYTES:
            return replace(record, turn=data.decode())
        await app.storage.put(names.turn(record.id), data, "application/json", {})
    except Exception as error:
        log.crash("turn.not_kept", error)
    return record


def _reply(done: Done, stored: Picture) -> tuple[str | int, ...] | None:
    """The provider's answer, with the pictures in it that are not what was stored first."""
    inline = {n: image.data for n, image in enumerate(done.images) if isinstance(image, Inline)}
    if inline.get(0) is stored.data:
        del inline[0]
    return turns.filled(done.reply, inline) if done.reply else None


async def forget(app: App, owner: str) -> None:
    """Delete the pictures of a request that nobody wants any more, and its turn."""
    await app.storage.delete(names.turn(owner))
    for name in await app.storage.list(names.pictures(owner)):
        await app.storage.delete(name)


async def found(app: App, owner: str) -> tuple[tuple[Image, ...], str]:
    """The pictures already stored for a request or an item, in order, and the route they came
    by."""
    images: dict[int, Image] = {}
    route_key = ""
    for name in await app.storage.list(names.pictures(owner)):
        n = name.removeprefix(names.pictures(owner))
        blob = await app.storage.get(name) if n.isdecimal() else None
        picture = await asyncio.to_thread(_measured, blob.data) if blob else None
        if blob is not None and picture is not None:
            route_key = blob.labels.get("route", "")
            images[int(n)] = image_of(owner, int(n), picture)
    return tuple(images[n] for n in sorted(images)), route_key


def _measured(data: bytes) -> Picture | None:
    return pixels.measure(data) or glb.measure(data)

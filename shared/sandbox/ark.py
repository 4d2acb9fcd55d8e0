"""ByteDance's Ark as it serves Seedream: one address for pictures from words and from pictures.

Sources: docs.byteplus.com/en/docs/ModelArk/1541523 (fields, limits) and volcengine.com/docs/82379
/1299023 (error codes) as quoted in 2026, byteplus-python-sdk-v2 3.0.63, and answers in public
probes of 2026-06. The real one passes over fields it does not know; this one refuses them, so that
nobody relies on them. In a group it makes as many pictures as it may.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import math
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx

from shared.catalogue import Catalogue
from shared.catalogue.rows import Model, Route
from shared.domain import IMAGE_TYPES, Json, Size
from shared.sandbox import directives
from shared.sandbox.ark_proto import (
    KEYS,
    MOST_IMAGES,
    OUTPUT_BLOCKED,
    REFUSALS,
    Refusal,
    Request,
    answer,
    events,
    invalid,
    read,
    refused,
)
from shared.sandbox.directives import BadDirective, Calls, Orders
from shared.sandbox.faults import declared, disturbed, packed
from shared.sandbox.painter import BadPicture, Picture, Source, fitting, look, paint

NAME = "ark"
PATH = re.compile(r"(?:/api)?/v3/images/generations")
FILE = re.compile(r"/files/([0-9a-f]{64}\.(?:png|jpeg))")
KEPT_FOR = timedelta(hours=24)
MOST_BYTES = 256 * 2**20
LARGEST_REFERENCE_BYTES = 10 * 2**20
PIXELS_PER_TOKEN = 256
SAME = {"seedream-5-0-260128": "seedream-5-0-lite-260128"}
"""An older name of a model → the one in the catalogue."""
URI = re.compile(r"data:image/(png|jpeg|jpg|webp|gif|bmp|tiff);base64,(.+)", re.DOTALL)
EMPTY = ("no_image", "text_only")


@dataclass(frozen=True)
class Traits:
    """What a model takes that its catalogue row has no column for: pixels in all, references."""

    least: int
    most: int = 16_777_216
    references: int = 14
    groups: bool = True


TRAITS = {
    "-5-0-pro-": Traits(921_600, 4_624_220, references=10, groups=False),
    "-4-0-": Traits(921_600),
    "": Traits(3_686_400),
}
"""By a part of the wire id; the first that fits counts."""


@dataclass(frozen=True)
class Scene:
    """A request understood: what to paint, `size` in pixels, and how to hand it over."""

    route: Route
    asked: Request
    size: Size
    sources: tuple[Source, ...] = field(repr=False)
    call: bytes
    prefix: httpx.URL


class Files:
    """Pictures to be fetched for a day, by names that nobody guesses; the oldest make room."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, tuple[bytes, datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, data: bytes, kind: str) -> str:
        """Keep a picture and name it."""
        name = f"{hashlib.sha256(data).hexdigest()}.{kind}"
        with self._lock:
            self._kept[name] = (data, self._clock() + KEPT_FOR)
            while len(self._kept) > 1 and sum(len(d) for d, _ in self._kept.values()) > MOST_BYTES:
                self._kept.popitem(last=False)
        return name

    def answer(self, request: httpx.Request, name: str) -> httpx.Response:
        """The picture. The address itself is the right to it: a key beside it is one too many."""
        with self._lock:
            data, until = self._kept.get(name, (b"", self._clock()))
        if "authorization" in request.headers:
            return httpx.Response(400, text="<Error><Code>InvalidRequest</Code></Error>")
        if self._clock() >= until:
            return httpx.Response(403, text="<Error><Code>AccessDenied</Code></Error>")
        kind = IMAGE_TYPES[name.rpartition(".")[2]]
        return httpx.Response(200, headers={"content-type": kind}, content=data)


class Ark:
    """The sandbox's Ark. Thread-safe; pictures to be fetched live in memory."""

    def __init__(self, catalogue: Catalogue, clock: Callable[[], datetime], calls: Calls) -> None:
        self._routes = catalogue.played_as(NAME)
        self._clock = clock
        self._calls = calls
        self._files = Files(clock)
        self._count = itertools.count(1)

    def handle(self, request: httpx.Request, path: str) -> httpx.Response:
        """Answer a request for `path`, which is what follows the sandbox's prefix."""
        if request.method == "GET" and (file := FILE.fullmatch(path)):
            return self._files.answer(request, file[1])
        call = str(next(self._count)).encode()
        request_id = self._request_id(call)
        try:
            if request.method != "POST" or not PATH.fullmatch(path):
                raise Refusal(404, "NotFound", "The requested resource is not found.")
            _check_key(request)
            return self._made(request, path, call, request_id)
        except Refusal as refusal:
            return refused(refusal, request_id)

    def _request_id(self, call: bytes) -> str:
        moment = int(self._clock().timestamp() * 1000)
        return f"02{moment}{hashlib.sha256(call).hexdigest()[:37]}"

    def _made(
        self, request: httpx.Request, path: str, call: bytes, request_id: str
    ) -> httpx.Response:
        asked = read(request.content)
        model, route = self._find(asked.model)
        prefix = request.url.copy_with(path=request.url.path.removesuffix(path), query=None)
        sources = _references(asked, _traits(route))
        size = _size(asked, model, _traits(route), sources)
        _check_extras(asked, model, route)
        scene = Scene(route, asked, size, sources, call, prefix)
        try:
            orders = self._calls.orders(directives.parse(asked.prompt), NAME, request)
        except BadDirective as error:
            raise invalid("prompt", str(error)) from error
        if orders.fault == "timeout":
            return disturbed(httpx.Response(200), orders)
        try:
            response = self._response(scene, self._items(scene, orders), request_id)
        except Refusal as refusal:
            response = refused(refusal, request_id)
        return disturbed(response, orders)

    def _find(self, name: str) -> tuple[Model, Route]:
        today, wire_model = self._clock().date(), SAME.get(name, name)
        for model, route in self._routes:
            if route.wire_model == wire_model and route.live(today):
                return model, route
        raise Refusal(
            404,
            "InvalidEndpointOrModel.NotFound",
            f"The model or endpoint {name} does not exist or you do not have access to it.",
        )

    def _items(self, scene: Scene, orders: Orders) -> list[dict[str, Json]]:
        """The entries of `data`: pictures, and for a failed one its error."""
        if orders.fault in REFUSALS:
            raise Refusal(*REFUSALS[orders.fault])
        if orders.fault in EMPTY:
            return []
        code, message = OUTPUT_BLOCKED
        kept = scene.asked.count - (orders.fault == "partial")
        if not kept:
            raise Refusal(400, code, message)
        items = [self._item(scene, number, orders) for number in range(kept)]
        failed: dict[str, Json] = {"error": {"code": code, "message": message}}
        return items + [failed] * (scene.asked.count - kept)

    def _item(self, scene: Scene, number: int, orders: Orders) -> dict[str, Json]:
        kind = scene.asked.output_format or "jpeg"
        data = _painted(scene, number, kind, orders.min_bytes)
        item: dict[str, Json] = {"size": "{}x{}".format(*scene.size)}
        if scene.route.makes:
            item["output_format"] = declared(kind, orders)
        if scene.asked.response_format == "b64_json":
            return {"b64_json": packed(data, orders), **item}
        name = self._files.keep(data, kind)
        address = scene.prefix.copy_with(path=f"{scene.prefix.path.rstrip('/')}/files/{name}")
        return {"url": str(address), **item}

    def _response(
        self, scene: Scene, items: list[dict[str, Json]], request_id: str
    ) -> httpx.Response:
        made = sum("error" not in item for item in items)
        tokens = made * (math.prod(scene.size) // PIXELS_PER_TOKEN)
        usage: Json = {"generated_images": made, "output_tokens": tokens, "total_tokens": tokens}
        now = int(self._clock().timestamp())
        about: dict[str, Json] = {"model": scene.asked.model, "created": now}
        if scene.asked.stream:
            return events(about, items, usage, request_id)
        return answer({**about, "data": items, "usage": usage}, 200, request_id)


def _check_key(request: httpx.Request) -> None:
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key.strip():
        raise Refusal(*KEYS["bad"])
    for start, refusal in KEYS.items():
        if key.startswith(start):
            raise Refusal(*refusal)


def _traits(route: Route) -> Traits:
    return next(traits for part, traits in TRAITS.items() if part in route.wire_model)


def _references(asked: Request, traits: Traits) -> tuple[Source, ...]:
    """The references, opened."""
    if len(asked.image) > traits.references:
        raise invalid("image", f"at most {traits.references} images are supported.")
    if len(asked.image) + asked.count > MOST_IMAGES:
        words = "input images and output images together must not be more than"
        raise invalid("sequential_image_generation_options", f"{words} {MOST_IMAGES}.")
    return tuple(map(_opened, asked.image))


def _opened(uri: str) -> Source:
    form = URI.fullmatch(uri)
    if form is None:
        raise invalid("image", "it must be data:image/<format>;base64,<image>: nothing is fetched.")
    try:
        data = base64.b64decode(form[2], validate=True)
        if len(data) > LARGEST_REFERENCE_BYTES:
            raise invalid("image", "image file size must be at most 10 MB.")
        return look(data)
    except (binascii.Error, ValueError, BadPicture) as error:
        raise invalid("image", "the image cannot be decoded.") from error


def _size(asked: Request, model: Model, traits: Traits, sources: Sequence[Source]) -> Size:
    """The size in pixels; a resolution leaves the ratio to the model."""
    if asked.size in model.resolutions:
        return model.sizes[fitting(sources, model.aspect_ratios)][asked.size]
    form = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", asked.size)
    if form is None:
        raise invalid("size", f"it is one of {', '.join(model.resolutions)} or WIDTHxHEIGHT.")
    size = int(form[1]), int(form[2])
    if math.prod(size) < traits.least:
        raise invalid("size", f"image size must be at least {traits.least} pixels.")
    if math.prod(size) > traits.most:
        raise invalid("size", f"image size must be at most {traits.most} pixels.")
    if max(size) > 16 * min(size):
        raise invalid("size", "image aspect ratio must be between 1/16 and 16.")
    return size


def _check_extras(asked: Request, model: Model, route: Route) -> None:
    """Raise Refusal for what this model does not have."""
    sent = asked.model_fields_set
    if asked.output_format and asked.output_format not in route.makes:
        raise invalid("output_format")
    if not _traits(route).groups and "sequential_image_generation" in sent:
        raise invalid("sequential_image_generation", "the model does not support it.")
    option = model.options.get("optimize_prompt")
    mode = asked.optimize_prompt_options.mode
    if mode not in (option.values if option else ("standard",)):
        raise invalid("optimize_prompt_options.mode", "the model does not support it.")


def _painted(scene: Scene, number: int, kind: str, min_bytes: int) -> bytes:
    asked = scene.asked
    marked = "AI generated" if asked.watermark else ""
    said = f"{scene.size}\n{kind}\n{number}\n{marked}\n{asked.prompt}".encode()
    return paint(
        Picture(
            key=hashlib.sha256(scene.call + b"\n" + said).digest(),
            model=asked.model,
            caption=f"{marked}  {directives.without(asked.prompt)}".strip(),
            size=scene.size,
            format=kind,
            sources=scene.sources,
            min_bytes=min_bytes,
        )
    )

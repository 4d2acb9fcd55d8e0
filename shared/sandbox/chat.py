"""chat/completions as it is asked for pictures: which model, what to paint, from what, how large.

Shapes: OpenAI's chat/completions (openai-openapi, 2026-08) with `image_config` as OpenRouter takes
it and `extra_body.google.image_config` as new-api does (2026-10).
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.catalogue.rows import Model
from shared.domain import Json, Size
from shared.sandbox import directives
from shared.sandbox.directives import Orders
from shared.sandbox.painter import BadPicture, Picture, Source, fitting, look

CHARACTERS_PER_TOKEN = 4
WORDS = "I would rather describe this picture than draw it."

B = TypeVar("B", bound=BaseModel)


class Malformed(Exception):
    """A request that cannot be understood; the message says why."""


class _Body(BaseModel):
    """Fields that are not known are passed over, as these hosts do."""

    model_config = ConfigDict(frozen=True)


class _Address(_Body):
    url: str = Field(min_length=1)


class _Text(_Body):
    type: Literal["text"]
    text: str


class _Image(_Body):
    type: Literal["image_url"]
    image_url: _Address


class _Message(_Body):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Annotated[_Text | _Image, Field(discriminator="type")]]

    @property
    def text(self) -> str:
        """Everything said in it."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, _Text))

    @property
    def addresses(self) -> list[str]:
        """The pictures in it."""
        if isinstance(self.content, str):
            return []
        return [part.image_url.url for part in self.content if isinstance(part, _Image)]


class ImageConfig(_Body):
    """The shape that is wanted."""

    aspect_ratio: str | None = None
    image_size: str | None = None


class _Google(_Body):
    image_config: ImageConfig = ImageConfig()


class _Extra(_Body):
    google: _Google = _Google()


class ChatRequest(_Body):
    """The body of chat/completions."""

    model: str
    messages: list[_Message] = Field(min_length=1)
    stream: bool = False
    seed: int | None = None
    modalities: list[Literal["text", "image"]] | None = None
    image_config: ImageConfig = ImageConfig()
    extra_body: _Extra = _Extra()


@dataclass(frozen=True)
class Scene:
    """A request understood. `config` is the shape it asks for; `identity` is the same for the
    same request with a seed, and else for this call alone."""

    prompt: str
    stream: bool
    config: ImageConfig
    sources: tuple[Source, ...] = field(repr=False)
    shown: int
    characters: int
    identity: bytes


def read(kind: type[B], body: bytes) -> B:
    """A request's body as it stands. Raises Malformed."""
    try:
        return kind.model_validate(json.loads(body or b"{}"))
    except ValidationError as error:
        raise Malformed(complaint(error)) from error
    except (ValueError, RecursionError) as error:
        raise Malformed(f"invalid JSON: {error}") from error


def complaint(error: ValidationError) -> str:
    """The first thing that is wrong, and where."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}"


def understand(request: ChatRequest, call: bytes) -> Scene:
    """What is to be painted. Raises Malformed."""
    last = request.messages[-1]
    if last.role != "user" or not last.text.strip():
        raise Malformed("messages: the last one must be a user's and say something")
    shown = [[picture(address) for address in m.addresses] for m in request.messages]
    nested, plain = request.extra_body.google.image_config, request.image_config
    seed = call if request.seed is None else f"seed {request.seed}".encode()
    said = "\n".join(f"{m.role}\n{m.text}" for m in request.messages)
    pictures = "".join(a for m in request.messages for a in m.addresses)
    return Scene(
        prompt=last.text,
        stream=request.stream,
        config=nested if nested != ImageConfig() else plain,
        sources=tuple(next((found for found in reversed(shown) if found), [])),
        shown=sum(map(len, shown)),
        characters=len(said),
        identity=digest(request.model.encode(), seed, said.encode(), pictures.encode()),
    )


def picture(address: str) -> Source:
    """A picture that was sent. One that lies elsewhere is taken on trust. Raises Malformed."""
    if address.startswith(("http://", "https://")):
        return Source(1, 1, None)
    header, comma, data = address.partition(",")
    if not comma or not header.startswith("data:image/") or not header.endswith(";base64"):
        raise Malformed("images[0] must be an http/https URL or image data URI")
    try:
        return look(base64.b64decode(data, validate=True))
    except (ValueError, BadPicture) as error:
        raise Malformed("the image data is not a picture") from error


def size(scene: Scene, whole: Model, offer: Model) -> Size:
    """The size of the picture in pixels: as asked for, else of the first source's shape and as
    large as the route makes it unasked. Raises Malformed for a shape the model has not."""
    ratio = scene.config.aspect_ratio or fitting(scene.sources, offer.aspect_ratios)
    resolution = scene.config.image_size or offer.resolutions[0]
    found = whole.sizes.get(ratio, {}).get(resolution)
    if found is None:
        raise Malformed(f"image_config: {whole.id} has no {ratio} at {resolution}")
    return found


def painting(scene: Scene, wire_model: str, size: Size, kind: str, orders: Orders) -> Picture:
    """What to paint, for `painter.paint`."""
    return Picture(
        key=digest(scene.identity, repr(size).encode()),
        model=wire_model,
        caption=directives.without(scene.prompt),
        size=size,
        format=kind,
        sources=scene.sources,
        min_bytes=orders.min_bytes,
    )


def counts(scene: Scene, model: Model, made: int) -> tuple[int, int]:
    """Tokens in, and image tokens of `made` pictures."""
    text = max(1, scene.characters // CHARACTERS_PER_TOKEN)
    image = model.image_tokens.get(scene.config.image_size or model.resolutions[0], 0)
    return text + scene.shown * model.source_tokens, made * image


def digest(*pieces: bytes) -> bytes:
    """SHA-256 over the pieces, each by its own digest so that no two lists look alike."""
    return hashlib.sha256(b"".join(hashlib.sha256(piece).digest() for piece in pieces)).digest()


def events(chunks: list[Json], comment: str = "") -> bytes:
    """Chunks as server-sent events, with the closing one."""
    lines = [f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks]
    return "".join([f": {comment}\n\n" * bool(comment), *lines, "data: [DONE]\n\n"]).encode()

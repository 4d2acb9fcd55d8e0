"""Google's generateContent as an image model answers it: one picture a call, refusals as HTTP 200.

Shapes: captured answers of gemini-2.5-flash-image and gemini-3-pro-image; ai.google.dev
/api/generate-content, 2026-10.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from shared.catalogue.rows import Model
from shared.domain import IMAGE_TYPES, Json
from shared.sandbox import directives
from shared.sandbox.directives import Orders
from shared.sandbox.faults import declared, packed
from shared.sandbox.gemini_checks import (
    aspect_ratio,
    check_config,
    check_contents,
    pictures,
    resolution,
    sign,
    traits,
)
from shared.sandbox.google_files import Files
from shared.sandbox.painter import Picture, Source, fitting, paint
from shared.surfaces.gemini_messages import Content, CountTokensRequest, GenerateContentRequest
from shared.surfaces.gemini_reply import Candidate, Counts, Reply
from shared.surfaces.gemini_tokens import (
    CHARACTERS_PER_TOKEN,
    contents_of,
    counted,
    text_tokens,
    tokens,
)
from shared.surfaces.google_json import Refusal, read

NO_PICTURE = {
    "no_image": ("NO_IMAGE", "No image was generated. Try rephrasing the prompt."),
    "partial": (
        "IMAGE_SAFETY",
        "Unable to show the generated image. The generated image may contain unsafe content. You "
        "will not be charged for this request. Try rephrasing the prompt.",
    ),
}
"""Fault → the finishReason and finishMessage of a candidate without content."""


@dataclass(frozen=True)
class Scene:
    """A request understood: what to paint, and what to say about it. Sizes in pixels; `identity`
    is the same for the same request, `call` for this answer alone."""

    model: Model
    wire_model: str
    prompt: str
    size: tuple[int, int]
    image_tokens: int
    text_tokens: int
    source_count: int
    sources: tuple[Source, ...] = field(repr=False)
    modalities: tuple[str, ...]
    include_thoughts: bool
    max_output_tokens: int | None
    searches: bool
    identity: bytes
    call: bytes

    @property
    def thinks(self) -> bool:
        """Whether the model thinks, and signs what it makes."""
        return traits(self.wire_model).thinks


def understand(
    body: bytes, model: Model, wire_model: str, version: str, files: Files, call: bytes
) -> Scene:
    """Read and check a request. `call` makes pictures without a seed differ. Raises Refusal."""
    request = read(GenerateContentRequest, body, version)
    config, thinks = request.generation_config, traits(wire_model).thinks
    check_contents(request.contents, thinks)
    check_config(request, wire_model)
    chosen = resolution(config, model, thinks, version)
    ratio = aspect_ratio(config, model, version)
    shown = [pictures(content, files) for content in request.contents]
    # How many 2.5 takes is advice, not a limit: "works best with up to 3".
    if thinks and len(shown[-1]) > model.max_sources:
        raise Refusal(400, f"Too many images: at most {model.max_sources} are supported.")
    latest = next((found for found in reversed(shown) if found), ())
    sources = tuple(source for _, source in latest)
    size = model.sizes[ratio or fitting(sources, model.aspect_ratios)][chosen]
    seed = call if config.seed is None else f"seed {config.seed}".encode()
    told = request.system_instruction.text().encode()
    spoken = (told, *_spoken(request.contents, shown))
    identity = _digest(wire_model.encode(), repr(size).encode(), seed, *spoken)
    return Scene(
        model=model,
        wire_model=wire_model,
        prompt=request.contents[-1].text(),
        size=size,
        image_tokens=model.image_tokens.get(chosen, 0),
        text_tokens=_text_tokens([*request.contents, request.system_instruction], model),
        source_count=sum(map(len, shown)),
        sources=sources,
        modalities=config.response_modalities,
        include_thoughts=config.thinking_config.include_thoughts,
        max_output_tokens=config.max_output_tokens,
        searches=any(tool.google_search for tool in request.tools),
        identity=identity,
        call=_digest(identity, call),
    )


def respond(scene: Scene, orders: Orders) -> Reply:
    """What the model makes of it."""
    if orders.fault == "blocked":
        return replace(_empty(scene), blocked="PROHIBITED_CONTENT")
    if orders.fault in NO_PICTURE:
        reason, message = NO_PICTURE[orders.fault]
        return replace(_empty(scene), candidates=(Candidate(reason=reason, message=message),))
    if orders.fault == "text_only" or scene.modalities == ("TEXT",):
        return _said(scene, "I would rather describe this picture than draw it.")
    if scene.max_output_tokens is not None and scene.max_output_tokens < scene.image_tokens:
        return replace(_empty(scene), candidates=(Candidate(reason="MAX_TOKENS"),))
    return _drawn(scene, orders)


def count_tokens(body: bytes, model: Model, version: str) -> dict[str, Json]:
    """The answer of countTokens: what goes in."""
    contents = contents_of(read(CountTokensRequest, body, version))
    _text_tokens(contents, model)
    return counted(contents, model.source_tokens)


def _empty(scene: Scene) -> Reply:
    return Reply(
        model=scene.wire_model,
        response_id=base64.urlsafe_b64encode(scene.call).decode("ascii")[:23],
        counts=Counts(
            text=scene.text_tokens, sources=scene.source_count * scene.model.source_tokens
        ),
    )


def _said(scene: Scene, text: str) -> Reply:
    empty = _empty(scene)
    counts = replace(empty.counts, words=tokens(text), thoughts=_thoughts(scene))
    candidate = Candidate(parts=(_text(scene, text),), reason="STOP")
    return replace(empty, candidates=(candidate,), counts=counts)


def _drawn(scene: Scene, orders: Orders) -> Reply:
    image = _image(scene, orders)
    said = "" if scene.thinks or scene.modalities == ("IMAGE",) else "Here is your picture. "
    parts = [_text(scene, said), image] if said else [image]
    if scene.thinks and scene.include_thoughts:
        idea: dict[str, Json] = {"text": "**Composing the scene**\n\n", "thought": True}
        parts = [idea, {"inlineData": image["inlineData"], "thought": True}, *parts]
    empty = _empty(scene)
    words = tokens(said) if said else 0
    counts = replace(empty.counts, words=words, image=scene.image_tokens, thoughts=_thoughts(scene))
    extra = _grounding(scene) if scene.searches else {}
    candidate = Candidate(parts=tuple(parts), reason="STOP", extra=extra)
    return replace(empty, candidates=(candidate,), counts=counts)


def _image(scene: Scene, orders: Orders) -> dict[str, Json]:
    kind = scene.model.output_formats[0]
    data = paint(
        Picture(
            key=scene.identity,
            model=scene.wire_model,
            caption=directives.without(scene.prompt),
            size=scene.size,
            format=kind,
            sources=scene.sources,
            min_bytes=orders.min_bytes,
        )
    )
    blob: Json = {"mimeType": IMAGE_TYPES[declared(kind, orders)], "data": packed(data, orders)}
    return {"inlineData": blob} | _signature(scene, data)


def _text(scene: Scene, text: str) -> dict[str, Json]:
    return {"text": text} | _signature(scene, text.encode())


def _signature(scene: Scene, data: bytes) -> dict[str, Json]:
    if not scene.thinks:
        return {}
    return {"thoughtSignature": base64.b64encode(sign(data)).decode("ascii")}


def _grounding(scene: Scene) -> dict[str, Json]:
    query = directives.without(scene.prompt)[:80]
    page: Json = {"web": {"uri": "https://example.com/", "title": "example.com"}}
    return {"groundingMetadata": {"groundingChunks": [page], "webSearchQueries": [query]}}


def _thoughts(scene: Scene) -> int:
    return 100 + scene.identity[0] if scene.thinks else 0


def _text_tokens(contents: Sequence[Content], model: Model) -> int:
    count, most = text_tokens(contents), model.prompt_limit // CHARACTERS_PER_TOKEN
    if count > most:
        raise Refusal(
            400,
            f"The input token count ({count}) exceeds the maximum number of tokens allowed "
            f"({most}).",
        )
    return count


def _spoken(
    contents: Sequence[Content], shown: Sequence[Sequence[tuple[bytes, Source]]]
) -> list[bytes]:
    """Everything that was said and shown, in order."""
    return [
        piece
        for content, found in zip(contents, shown, strict=True)
        for piece in (content.role.encode(), content.text().encode(), *(data for data, _ in found))
    ]


def _digest(*pieces: bytes) -> bytes:
    """SHA-256 over the pieces, each by its own digest so that no two lists look alike."""
    whole = b"".join(hashlib.sha256(piece).digest() for piece in pieces)
    return hashlib.sha256(whole).digest()

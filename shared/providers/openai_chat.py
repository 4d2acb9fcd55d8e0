"""Pictures by chat/completions, as relays and OpenRouter sell image models (OpenAI's message shape;
docs.laozhang.ai/api-capabilities, new-api's relay-gemini.go, openrouter.ai/docs/guides/overview/
multimodal/image-generation, 2026-10).

One call makes one picture. Ratio and resolution have no field of their own, so they go by dialect:
"google" is new-api's `extra_body.google.image_config`, "openrouter" OpenRouter's `image_config`;
the plain one has none. An answer is read as a stream of events too: some relays send one unasked.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import httpx
from pydantic import JsonValue
from pydantic_core import from_json

from shared import sse
from shared.domain import Endpoint, ImageRequest, Json, Source, Turn, Usage
from shared.errors import HTTP_STATUS, ContentBlocked, DarkroomError, NoImage, ProviderError
from shared.providers import Done, mask, no_poll, no_sketch, no_uploads, openai_errors
from shared.providers.bodies import Message, pack, post, present
from shared.providers.chat_pictures import Found, collect
from shared.providers.chat_usage import Counted, Lenient

_BLOCKED = ("CONTENT_FILTER", "SAFETY", "PROHIBITED", "BLOCKLIST", "RECITATION", "SPII")
"""In a finish reason, it is a judgement on the content."""


class _Chunk(Message):
    """A whole answer, or one event of a streamed one."""

    choices: tuple[dict[str, JsonValue], ...] = ()
    media: JsonValue = None
    usage: Lenient = Counted()


@dataclass
class _Answer:
    """What an answer, or all events of one, say of its first choice. `pieces` are what came as
    `content`, in order; `fault` is an error in place of a choice."""

    pieces: list[object] = field(default_factory=list)
    pictures: list[object] = field(default_factory=list)
    media: list[object] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    refusal: str = ""
    usage: Counted = Counted()
    fault: object = None

    def add(self, chunk: _Chunk) -> None:
        """Take in one more piece."""
        if "usage" in chunk.model_fields_set:
            self.usage = chunk.usage
        self.media += _items(chunk.media.get("outputs") if isinstance(chunk.media, dict) else None)
        for choice in chunk.choices[:1]:
            self.fault = self.fault or choice.get("error")
            names = (choice.get("finish_reason"), choice.get("native_finish_reason"))
            self.reasons += [name.upper() for name in names if isinstance(name, str)]
            said = choice.get("message") or choice.get("delta")
            if isinstance(said, dict):
                self.pieces += _items(said.get("content"))
                self.pictures += _items(said.get("images")) + _items(said.get("image_b64_json"))
                refusal = said.get("refusal")
                self.refusal += refusal if isinstance(refusal, str) else ""

    def found(self) -> Found:
        """Its pictures and words. Text that came in pieces is one text."""
        text = "".join(piece for piece in self.pieces if isinstance(piece, str))
        parts = [piece for piece in self.pieces if not isinstance(piece, str)]
        return collect(self.pictures, [text, *parts], self.media)


def submit(request: ImageRequest, endpoint: Endpoint) -> httpx.Request:
    """Ask for one picture. What is said is always a list of parts: one relay refuses a string."""
    turns = [_message(_earlier(turn)) for turn in request.turns]
    body: dict[str, Json] = {
        "model": endpoint.wire_model,
        "stream": False,
        "messages": [*turns, _message(_ask(request))],
        "seed": request.seed,
        **_shape(request, endpoint.dialect),
    }
    return post(endpoint.address("chat/completions"), endpoint, present(body))


def read(response: httpx.Response) -> Done:
    """The pictures of an answer. One counts whatever the finish reason beside it."""
    answer = _Answer()
    if response.is_success and sse.is_stream(response.content):
        _gather(response, answer)
    else:
        answer.add(openai_errors.parse(_Chunk, response))
    found = answer.found()
    usage = answer.usage.usage(len(found.pictures))
    if not found.pictures:
        error = _refusal(response, answer, found)
        error.usage = None if usage == Usage() else usage
        raise error
    return Done(images=found.pictures, usage=usage, text=found.text or None)


poll = no_poll
uploads = no_uploads
sketch = no_sketch


def _shape(request: ImageRequest, dialect: str) -> dict[str, Json]:
    """Ratio and resolution, as far as the dialect has words for them."""
    sizes: dict[str, Json] = {
        "aspect_ratio": request.aspect_ratio,
        "image_size": request.resolution,
    }
    config = present(sizes) or None
    if dialect == "openrouter":
        return {"modalities": ["image", "text"], "image_config": config}
    if dialect == "google" and config:
        return {"extra_body": {"google": {"image_config": config}}}
    return {}


def _message(content: list[Json]) -> Json:
    return {"role": "user", "content": content}


def _ask(request: ImageRequest) -> list[Json]:
    parts = [_text(request.prompt), *map(_source, request.sources)]
    if request.mask:
        drawn = mask.black_and_white(request.mask.data)
        parts += [_text(mask.EXPLANATION), _image(drawn, "image/png")]
    return parts


def _earlier(turn: Turn) -> list[Json]:
    """An earlier exchange. Its pictures are shown as the user's own: no relay is known to take
    pictures in an assistant's message."""
    shown = [_image(picture.data, picture.content_type) for picture in turn.images]
    asked = [_text(turn.prompt), *map(_source, turn.sources)]
    return [*asked, _text("This is what was made of it:"), *shown]


def _source(source: Source) -> Json:
    return _image(source.data, source.content_type)


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _image(data: bytes, content_type: str) -> Json:
    return {"type": "image_url", "image_url": {"url": f"data:{content_type};base64,{pack(data)}"}}


def _gather(response: httpx.Response, answer: _Answer) -> None:
    """Every event of a stream, as far as it can be read. An error among them ends it."""
    for line in response.content.splitlines():
        name, _, data = line.partition(b":")
        if name != b"data":
            continue
        with contextlib.suppress(ValueError):
            event = from_json(data)
            if isinstance(event, dict) and event.get("error"):
                answer.fault = event["error"]
                return
            answer.add(_Chunk.model_validate(event))


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _refusal(response: httpx.Response, answer: _Answer, found: Found) -> DarkroomError:
    """Why there is no picture."""
    if answer.fault:
        return openai_errors.of(response, {"error": answer.fault})
    details: dict[str, Json] = {HTTP_STATUS: response.status_code}
    said = openai_errors.safe(answer.refusal or found.text, 300)
    if answer.refusal or any(word in reason for word in _BLOCKED for reason in answer.reasons):
        return ContentBlocked(
            said or "The provider blocked the picture. Change the prompt or the images.",
            details=details,
        )
    if found.broken:
        return ProviderError(
            "The provider sent a picture that cannot be decoded. Try again.", details=details
        )
    if not answer.reasons and not found.text:
        return ProviderError("The provider gave an answer that cannot be used.", details=details)
    if found.text:
        details["text"] = openai_errors.safe(found.text, 500)
    return NoImage(
        "The model made no picture of this. Say in the prompt what to draw.", details=details
    )

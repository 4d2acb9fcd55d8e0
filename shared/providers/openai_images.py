"""OpenAI's images/generations and images/edits (openai-openapi, 2026-08; openai 3.52), and hosts
that copy them.

One call makes up to ten pictures. GPT image models give base64; other hosts may give addresses.
Dialects: "json" sends an edit's images in JSON, which the API takes beside a form; "relay" sends
them as data URLs in `image` to images/generations, the way relays take them. Who wants sketches is
sent a stream of events (`openai_stream`), except by a relay: what those do with one nobody says.
"""

from __future__ import annotations

from typing import Annotated

import httpx

from shared.domain import IMAGE_TYPES, Endpoint, ImageRequest, Json, Source, Usage
from shared.errors import HTTP_STATUS, DarkroomError, NoImage, ProviderError
from shared.providers import (
    Done,
    Inline,
    Remote,
    no_poll,
    no_uploads,
    openai_errors,
    openai_multipart,
    openai_stream,
)
from shared.providers.bodies import (
    Count,
    Message,
    Object,
    Objects,
    Text,
    pack,
    post,
    present,
    unpack,
)
from shared.providers.openai_multipart import Attached

_COMPRESSED = ("jpeg", "webp")
_ENDINGS = {kind: ending for ending, kind in IMAGE_TYPES.items()}


class _Item(Message):
    b64_json: Text = ""
    url: Text = ""
    mime_type: Text = ""
    revised_prompt: Text = ""


class _Split(Message):
    text_tokens: Count = 0
    image_tokens: Count = 0


_Details = Annotated[_Split, Object]


class _Usage(Message):
    """Counted as here, or as in a chat (`prompt_tokens`): relays do either."""

    input_tokens: Count = 0
    output_tokens: Count = 0
    input_tokens_details: _Details = _Split()
    output_tokens_details: _Details = _Split()
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    prompt_tokens_details: _Details = _Split()
    completion_tokens_details: _Details = _Split()


class Reply(Message):
    """An answer with pictures, alone or in a line of a batch."""

    data: Annotated[tuple[_Item, ...] | None, Objects] = None
    output_format: Text = ""
    usage: Annotated[_Usage, Object] = _Usage()


def submit(request: ImageRequest, endpoint: Endpoint) -> httpx.Request:
    """Ask for `request.n` pictures, of which only one can be streamed."""
    stream = _stream(request, endpoint)
    if request.operation == "generate" or endpoint.dialect == "relay":
        url = endpoint.address("images/generations")
        return post(url, endpoint, json_body(request, endpoint) | stream)
    url = endpoint.address("images/edits")
    # The form has no such field, the JSON has (openai 3.52, openai-openapi 2026-08).
    if endpoint.dialect == "json" or "moderation" in request.options:
        return post(url, endpoint, json_body(request, endpoint) | stream)
    files = [_attached("image[]", f"image-{i}", s) for i, s in enumerate(request.sources, 1)]
    if request.mask:
        files.append(_attached("mask", "mask", request.mask))
    return openai_multipart.post(url, endpoint, _fields(request, endpoint) | stream, files)


def json_body(request: ImageRequest, endpoint: Endpoint) -> dict[str, Json]:
    """What is asked, as JSON, whatever the operation, to be answered at once."""
    body = _fields(request, endpoint)
    if endpoint.dialect == "relay":
        return body | ({"image": [_url(s) for s in request.sources]} if request.sources else {})
    if request.operation == "edit":
        body["images"] = [{"image_url": _url(source)} for source in request.sources]
        if request.mask:
            body["mask"] = {"image_url": _url(request.mask)}
    return body


def read(response: httpx.Response) -> Done:
    """The pictures that came, at once or as events."""
    reply = openai_errors.parse(Reply, response, openai_stream.whole)
    return outcome(reply, response.status_code)


def outcome(reply: Reply, status: int) -> Done:
    """The pictures of an answer that came with an HTTP status, without those whose base64 is
    broken."""
    images, broken = [], 0
    for item in reply.data or ():
        try:
            image = _picture(item, reply.output_format)
        except ProviderError:
            broken += 1
        else:
            images += [image] if image else []
    usage = _usage(reply.usage, len(images) + broken)
    said = [item.revised_prompt for item in reply.data or () if item.revised_prompt]
    text = "\n\n".join(dict.fromkeys(said)) or None
    if not images:
        error = _nothing(status, None if broken or reply.data is None else text or "")
        error.usage = None if usage == Usage() else usage
        raise error
    return Done(images=tuple(images), usage=usage, text=text)


poll = no_poll
uploads = no_uploads
sketch = openai_stream.sketch


def _fields(request: ImageRequest, endpoint: Endpoint) -> dict[str, Json]:
    """What is asked, without the images. Neither `response_format`, which GPT image models refuse,
    nor `user`, which tells a provider about our callers."""
    options = request.options
    chosen = f"{request.size[0]}x{request.size[1]}" if request.size else None
    compressed = request.output_format in _COMPRESSED
    return present(
        {
            "model": endpoint.wire_model,
            "prompt": request.prompt,
            "n": request.n,
            "size": chosen or (None if endpoint.dialect == "relay" else "auto"),
            "quality": request.quality,
            "background": request.background,
            "output_format": request.output_format,
            "output_compression": request.output_quality if compressed else None,
            "moderation": options.get("moderation"),
            "complexity": options.get("complexity"),
            # It is about the images given: without any, the field is not known there.
            "input_fidelity": options.get("input_fidelity") if request.sources else None,
        }
    )


def _stream(request: ImageRequest, endpoint: Endpoint) -> dict[str, Json]:
    if not request.partial_images or endpoint.dialect == "relay":
        return {}
    return {"stream": True, "partial_images": request.partial_images}


def _attached(field: str, stem: str, source: Source) -> Attached:
    ending = _ENDINGS.get(source.content_type, source.content_type.rpartition("/")[2])
    return Attached(field, f"{stem}.{ending}", source.data, source.content_type)


def _url(source: Source) -> str:
    return f"data:{source.content_type};base64,{pack(source.data)}"


def _picture(item: _Item, output_format: str) -> Inline | Remote | None:
    """A picture, or None where an item has none. Raises ProviderError for broken base64."""
    data, kind = item.b64_json, item.mime_type or IMAGE_TYPES.get(output_format, "image/png")
    if not data and item.url and not item.url.startswith("data:"):
        return Remote(item.url)
    data = data or item.url
    if data.startswith("data:"):
        head, _, data = data.partition(",")
        kind = head.removeprefix("data:").partition(";")[0] or kind
    elif not data:
        return None
    return unpack(data, kind)


def _nothing(status: int, text: str | None) -> DarkroomError:
    """Why there is no picture: what was said instead, None for an answer that makes no sense."""
    details: dict[str, Json] = {HTTP_STATUS: status}
    if text is None:
        return ProviderError(
            "The provider sent nothing that can be used. Try again.", details=details
        )
    if text:
        details["text"] = openai_errors.safe(text, 500)
    return NoImage(
        "The model made no picture of this. Say in the prompt what to draw.", details=details
    )


def _usage(counted: _Usage, images: int) -> Usage:
    """Where the output is not split, or split into nothing, all of it is image."""
    read_, made = counted.input_tokens_details, counted.output_tokens_details
    chat_read, chat_made = counted.prompt_tokens_details, counted.completion_tokens_details
    output = counted.output_tokens or counted.completion_tokens
    split = next((s for s in (made, chat_made) if s.image_tokens or s.text_tokens), None)
    return Usage(
        input_tokens=counted.input_tokens or counted.prompt_tokens,
        output_tokens=output,
        source_tokens=read_.image_tokens or chat_read.image_tokens,
        image_tokens=min(split.image_tokens, output) if split else output,
        images=images,
    )

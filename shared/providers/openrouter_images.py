"""OpenRouter's own image API, POST /images (openrouter.ai/docs/api/api-reference/images and the
package openrouter 1.3.84, 2026-10): one address generates and edits, for every vendor's models.

References go along as data URLs. Providers that make one picture a call refuse any `n` above it.
"""

from __future__ import annotations

from typing import Annotated

import httpx

from shared.domain import Endpoint, ImageRequest, Json, Source, Usage
from shared.errors import HTTP_STATUS, NoImage, ProviderError
from shared.providers import Done, Inline, Remote, no_poll, no_sketch, no_uploads, openai_errors
from shared.providers.bodies import Message, Objects, Text, pack, post, present, unpack
from shared.providers.chat_pictures import sniffed
from shared.providers.chat_usage import Counted, Lenient


class _Picture(Message):
    b64_json: Text = ""
    url: Text = ""
    media_type: Text = ""


class _Reply(Message):
    data: Annotated[tuple[_Picture, ...], Objects]
    usage: Lenient = Counted()


def submit(request: ImageRequest, endpoint: Endpoint) -> httpx.Request:
    """Ask for `request.n` pictures."""
    body: dict[str, Json] = {
        "model": endpoint.wire_model,
        "prompt": request.prompt,
        "n": request.n if request.n > 1 else None,
        "aspect_ratio": request.aspect_ratio,
        "resolution": request.resolution,
        "quality": request.quality,
        "background": request.background,
        "output_format": request.output_format,
        "output_compression": request.output_quality,
        "seed": request.seed,
        "input_references": [_reference(source) for source in request.sources] or None,
    }
    return post(endpoint.address("images"), endpoint, present(body))


def read(response: httpx.Response) -> Done:
    """The pictures of an answer, as their bytes say they are: `media_type` has been seen to lie."""
    reply = openai_errors.parse(_Reply, response)
    sent = [picture for picture in reply.data if picture.b64_json or picture.url]
    images = tuple(image for image in map(_image, sent) if image)
    usage = reply.usage.usage(len(sent))
    if images:
        return Done(images=images, usage=usage)
    details: dict[str, Json] = {HTTP_STATUS: response.status_code}
    error = (
        ProviderError(
            "The provider sent a picture that cannot be decoded. Try again.", details=details
        )
        if sent
        else NoImage(
            "The model made no picture of this. Say in the prompt what to draw.", details=details
        )
    )
    error.usage = None if usage == Usage() else usage
    raise error


poll = no_poll
uploads = no_uploads
sketch = no_sketch


def _reference(source: Source) -> Json:
    url = f"data:{source.content_type};base64,{pack(source.data)}"
    return {"type": "image_url", "image_url": {"url": url}}


def _image(picture: _Picture) -> Inline | Remote | None:
    """None for a picture whose base64 is broken."""
    if not picture.b64_json:
        return Remote(picture.url)
    try:
        image = unpack(picture.b64_json, picture.media_type)
    except ProviderError:
        return None
    return Inline(image.data, sniffed(image.data) or picture.media_type)

"""ByteDance Seedream on Ark's images/generations (docs.byteplus.com/en/docs/ModelArk/1541523 and
byteplus-python-sdk-v2 3.0.63, 2026-10).

One address generates and edits. There is no `n`: a call makes one picture, or a group in which the
model decides how many up to a most. A picture that failed leaves an error in its place, and fewer
pictures than asked for are a whole answer all the same.
"""

from __future__ import annotations

from typing import Annotated

import httpx
from pydantic import JsonValue

from shared.domain import IMAGE_TYPES, Endpoint, ImageRequest, Json, Usage
from shared.errors import HTTP_STATUS, DarkroomError, NoImage, ProviderError
from shared.providers import Done, Inline, Remote, no_poll, no_sketch, no_uploads, openai_errors
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


class _Item(Message):
    """A picture, or the reason why there is none."""

    b64_json: Text = ""
    url: Text = ""
    output_format: Text = ""
    error: JsonValue = None

    @property
    def failed(self) -> bool:
        """Whether an error stands where the picture should be."""
        return bool(self.error) and not (self.b64_json or self.url)


class _Usage(Message):
    generated_images: Count = 0
    output_tokens: Count = 0


class _Reply(Message):
    data: Annotated[tuple[_Item, ...], Objects]
    usage: Annotated[_Usage, Object] = _Usage()


def submit(request: ImageRequest, endpoint: Endpoint) -> httpx.Request:
    """Ask for one picture, or for a group of up to `request.n`."""
    mode = request.options.get("optimize_prompt")
    group = request.n > 1
    body: dict[str, Json] = {
        "model": endpoint.wire_model,
        "prompt": request.prompt,
        "image": _images(request),
        "size": "{}x{}".format(*request.size) if request.size else request.resolution,
        "response_format": "b64_json",
        "output_format": request.output_format,
        # Left out, it means true: "AI generated" is drawn into a corner.
        "watermark": request.options.get("watermark") is True,
        # Left out for one picture, since Seedream 5.0 Pro has no groups.
        "sequential_image_generation": "auto" if group else None,
        "sequential_image_generation_options": {"max_images": request.n} if group else None,
        "optimize_prompt_options": {"mode": mode} if mode else None,
    }
    return post(endpoint.address("images/generations"), endpoint, present(body))


def read(response: httpx.Response) -> Done:
    """The pictures that came, and how many failed."""
    reply = openai_errors.parse(_Reply, response)
    failed = [item.error for item in reply.data if item.failed]
    try:
        images = _pictures(reply.data)
    except ProviderError as error:
        error.usage = _usage(reply, 0)
        raise
    if not images:
        raise _nothing(response, reply, failed)
    return Done(
        images=images,
        usage=_usage(reply, sum(bool(item.b64_json or item.url) for item in reply.data)),
        withheld=len(failed),
        reason=_reason(failed),
    )


poll = no_poll
uploads = no_uploads
sketch = no_sketch


def _images(request: ImageRequest) -> Json:
    """The references: one as a string, several as a list."""
    uris = [f"data:{s.content_type};base64,{pack(s.data)}" for s in request.sources]
    return uris[0] if len(uris) == 1 else uris or None


def _pictures(items: tuple[_Item, ...]) -> tuple[Inline | Remote, ...]:
    """The pictures, without those whose base64 is broken. Raises ProviderError if all are."""
    images: list[Inline | Remote] = []
    broken: ProviderError | None = None
    for item in items:
        try:
            if item.b64_json:
                images.append(unpack(item.b64_json, _content_type(item)))
            elif item.url:
                images.append(Remote(item.url))
        except ProviderError as error:
            broken = error
    if broken and not images:
        raise broken
    return tuple(images)


def _content_type(item: _Item) -> str:
    """What the answer says of it; before Seedream 5 it says nothing and the picture is JPEG."""
    return IMAGE_TYPES.get(item.output_format, "image/jpeg")


def _usage(reply: _Reply, images: int) -> Usage:
    """All tokens are those of pictures: a picture's pixels divided by 256."""
    counted = reply.usage
    return Usage(
        output_tokens=counted.output_tokens,
        image_tokens=counted.output_tokens,
        images=counted.generated_images or images,
    )


def _reason(failed: list[JsonValue]) -> str | None:
    said = [error.get("message") for error in failed if isinstance(error, dict)]
    words = dict.fromkeys(message for message in said if isinstance(message, str) and message)
    return openai_errors.safe("; ".join(words), 300) or None


def _nothing(response: httpx.Response, reply: _Reply, failed: list[JsonValue]) -> DarkroomError:
    """Why there is no picture: the first one's error speaks for all."""
    error = (
        openai_errors.of(response, {"error": failed[0]})
        if failed
        else NoImage(
            "The model made no picture of this. Say in the prompt what to draw.",
            details={HTTP_STATUS: response.status_code},
        )
    )
    usage = _usage(reply, 0)
    error.usage = usage if usage != Usage() else None
    return error

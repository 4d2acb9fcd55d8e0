"""The answer of chat/completions: a choice for each picture, whole or in chunks (openai 3.52,
types/chat), with the picture in `message.images` as OpenRouter has it, its real size beside it, and
a link in the words, for clients that know words only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from shared.domain import Json, Record
from shared.surfaces import Shown
from shared.surfaces.openai_images import created

Delivery = Literal["b64_json", "url", "markdown"]
"""Where a picture's bytes are: in `images`, nowhere but behind a link, or in the words."""


def completion(record: Record, pictures: Sequence[Shown], delivery: Delivery) -> dict[str, Json]:
    """An ended request as a whole."""
    choices: list[Json] = [
        {"index": n, "message": message, "logprobs": None, "finish_reason": "stop"}
        for n, message in enumerate(_messages(record, pictures, delivery))
    ]
    return {**_head(record, "chat.completion"), "choices": choices, "usage": _usage(record)}


def chunks(
    record: Record, pictures: Sequence[Shown], delivery: Delivery, *, counted: bool
) -> Iterator[dict[str, Json]]:
    """The same in pieces: who speaks, the words, the pictures all at once, the end, and at last
    the usage where it is wanted (`counted`)."""
    head = _head(record, "chat.completion.chunk") | ({"usage": None} if counted else {})
    for n, message in enumerate(_messages(record, pictures, delivery)):
        deltas: list[dict[str, Json]] = [
            {"role": "assistant", "content": ""},
            {"content": message["content"]},
        ]
        if "images" in message:
            deltas.append({"content": "", "images": message["images"]})
        for delta in deltas:
            yield {**head, "choices": [_choice(n, delta, None)]}
        yield {**head, "choices": [_choice(n, {}, "stop")]}
    if counted:
        yield {**head, "choices": [], "usage": _usage(record)}


def words_of(record: Record) -> str | None:
    """What the model said in place of a picture. That is an answer as well, and costs nothing."""
    if record.error is None or record.error.code != "no_image":
        return None
    said = record.error.details.get("text")
    return said if isinstance(said, str) and said.strip() else None


def _head(record: Record, kind: str) -> dict[str, Json]:
    return {
        "id": f"chatcmpl-{record.id.removeprefix('req_')}",
        "object": kind,
        "created": created(record),
        "model": record.model,
    }


def _choice(n: int, delta: dict[str, Json], finish_reason: str | None) -> Json:
    return {"index": n, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _messages(
    record: Record, pictures: Sequence[Shown], delivery: Delivery
) -> list[dict[str, Json]]:
    """A message for each picture asked for; what came beyond them is in the last."""
    if not pictures:
        return [_message(words_of(record), (), delivery)]
    places = range(min(record.n, len(pictures)))
    return [
        _message(
            record.text if n == 0 else None,
            pictures[n:] if n == places[-1] else pictures[n : n + 1],
            delivery,
        )
        for n in places
    ]


def _message(text: str | None, pictures: Sequence[Shown], delivery: Delivery) -> dict[str, Json]:
    marked = delivery == "markdown"
    marks = [f"![image]({_address(p) if marked else p.url})" for p in pictures]
    message: dict[str, Json] = {
        "role": "assistant",
        "content": "\n\n".join([*([text] if text else []), *marks]),
        "refusal": None,
    }
    if pictures and not marked:
        message["images"] = [
            {
                "type": "image_url",
                "image_url": {"url": _address(picture)},
                "index": n,
                "width": picture.image.width,
                "height": picture.image.height,
            }
            for n, picture in enumerate(pictures)
        ]
    return message


def _address(picture: Shown) -> str:
    """A data URL, or the link where its bytes are not wanted or do not fit."""
    if picture.b64_json is None:
        return picture.url
    return f"data:{picture.image.content_type};base64,{picture.b64_json}"


def _usage(record: Record) -> Json:
    counted = record.usage
    return {
        "prompt_tokens": counted.input_tokens,
        "completion_tokens": counted.output_tokens,
        "total_tokens": counted.input_tokens + counted.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": 0,
            "audio_tokens": 0,
            "image_tokens": counted.source_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": counted.thought_tokens,
            "audio_tokens": 0,
            "image_tokens": counted.image_tokens,
        },
    }

"""chat/completions of image models as our requests: a conversation with pictures in it, of which
the last word is what to draw.

Shapes: OpenAI's (openai 3.52, types/chat/completion_create_params.py), `image_config`, `modalities`
and `message.images` as OpenRouter has them, `google.image_config` as new-api does, which its users
send by the SDK's `extra_body`, and `size` and `quality` as litellm's do (2026-10). An earlier
picture of ours is known by its link, and then its bytes beside it are the same picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared import body, names
from shared.body import Body, Metadata
from shared.catalogue.rows import Model
from shared.domain import ImageRef, ImageRequest, Json
from shared.errors import InvalidRequest
from shared.surfaces import (
    TIMEOUT_S,
    Asked,
    Support,
    Treatment,
    openai_fields,
    openai_refs,
    openai_size,
    options,
)
from shared.surfaces.conversation import Folded, Said
from shared.surfaces.openai_fields import Word
from shared.surfaces.openai_size import AUTO, Shape

COMPLETIONS = "/v1/chat/completions"
_TOKENS: tuple[Treatment, str] = ("ignored", "a picture's tokens are not the caller's to limit")
_TEXT: tuple[Treatment, str] = ("ignored", "about text, which is not what is made here")
_ACCOUNT: tuple[Treatment, str] = ("ignored", "no provider is told about your users")
_TOOLS: tuple[Treatment, str] = ("refused", "image models call no tools")
SUPPORT: Support = {
    f"POST {COMPLETIONS}": {
        "messages": ("honoured", "text and image_url; audio, files and tools are refused"),
        "model": ("honoured", "any id or alias of the catalogue; auto if left out"),
        "modalities": ("honoured", "image has to be among them"),
        "image_config": ("honoured", "OpenRouter's aspect_ratio and image_size"),
        "google": ("honoured", "new-api's image_config in it"),
        "extra_body": ("honoured", "the same, one level down"),
        "size": ("honoured", "as in images/generations"),
        "quality": ("honoured", "as in images/generations"),
        "n": ("honoured", "a choice for each picture, up to the model's limit"),
        "seed": ("honoured", "where the model takes one, else ignored"),
        "temperature": ("honoured", "where the model has it, else ignored"),
        "top_p": ("honoured", "where the model has it, else ignored"),
        "stream": ("honoured", "the picture comes whole"),
        "stream_options": ("honoured", "include_usage"),
        "metadata": ("honoured", "kept with the request"),
        "response_format": ("honoured", "text only"),
        "tools": _TOOLS,
        "functions": _TOOLS,
        "tool_choice": ("ignored", "there are no tools"),
        "function_call": ("ignored", "there are no tools"),
        "parallel_tool_calls": ("ignored", "there are no tools"),
        "max_tokens": _TOKENS,
        "max_completion_tokens": _TOKENS,
        "audio": ("ignored", "no audio is made"),
        "frequency_penalty": _TEXT,
        "presence_penalty": _TEXT,
        "logit_bias": _TEXT,
        "logprobs": _TEXT,
        "top_logprobs": _TEXT,
        "prediction": _TEXT,
        "reasoning_effort": _TEXT,
        "stop": _TEXT,
        "verbosity": _TEXT,
        "moderation": ("ignored", "the provider's own filter decides"),
        "web_search_options": ("ignored", "nothing is searched"),
        "prompt_cache_key": ("ignored", "prompts are not cached"),
        "prompt_cache_options": ("ignored", "prompts are not cached"),
        "prompt_cache_retention": ("ignored", "prompts are not cached"),
        "service_tier": ("ignored", "there is one"),
        "store": ("ignored", "every request is kept"),
        "user": _ACCOUNT,
        "safety_identifier": _ACCOUNT,
    }
}
_SYSTEM = "system_instruction"
_ROLES: Mapping[str, Literal["user", "model"]] = {"user": "user", "assistant": "model"}


class _Part(BaseModel):
    """Something inside a body: what is not known there is passed over, and named."""

    # Each is built when it is first used: a function uses few of them.
    model_config = ConfigDict(extra="allow", strict=True, defer_build=True)


def _as_parts(value: object) -> object:
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    return [] if value is None else value


def _as_address(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


class AddressBody(_Part):
    """Where a picture is."""

    url: str = Field(min_length=1)
    detail: str | None = None


Address = Annotated[AddressBody, BeforeValidator(_as_address)]


class PartBody(_Part):
    """Words, an assistant's words why it did nothing, or a picture."""

    type: Literal["text", "refusal", "image_url"]
    text: str | None = None
    refusal: str | None = None
    image_url: Address | None = None

    @model_validator(mode="after")
    def _is_what_it_says(self) -> Self:
        if getattr(self, self.type) is None:
            raise ValueError(f"a part of the type {self.type} has {self.type}")
        return self


class PictureBody(_Part):
    """A picture beside an assistant's words, as it was given."""

    image_url: Address
    type: str | None = None
    index: int | None = None
    width: int | None = None
    height: int | None = None


class MessageBody(_Part):
    """One message."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[list[PartBody], BeforeValidator(_as_parts)] = Field(default_factory=list)
    images: list[PictureBody] | None = None

    @property
    def text(self) -> str:
        """Everything said in it."""
        said = [part.text if part.type == "text" else part.refusal for part in self.content]
        return "\n".join(words for words in said if words)

    @property
    def pictures(self) -> list[AddressBody]:
        """Everything shown in it."""
        beside = [picture.image_url for picture in self.images or ()]
        return [*(part.image_url for part in self.content if part.image_url), *beside]


class ConfigBody(_Part):
    """The shape that is wanted."""

    aspect_ratio: Word | None = None
    image_size: Word | None = None


class GoogleBody(_Part):
    """What is meant for Google."""

    image_config: ConfigBody | None = None


class ExtraBody(_Part):
    """What was not merged into the body."""

    google: GoogleBody | None = None


class StreamBody(_Part):
    """How a stream is to end."""

    include_usage: bool | None = None


class ChatBody(Body):
    """What is read of a body."""

    model: Word = AUTO
    messages: list[MessageBody] = Field(min_length=1)
    modalities: list[str] | None = None
    image_config: ConfigBody | None = None
    google: GoogleBody | None = None
    extra_body: ExtraBody | None = None
    size: Word | None = None
    quality: Word | None = None
    n: int = Field(1, ge=1)
    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stream: bool = False
    stream_options: StreamBody = StreamBody()
    metadata: Metadata = Field(default_factory=dict)
    response_format: dict[str, Any] | None = None

    @property
    def config(self) -> ConfigBody:
        """The shape, wherever it was said."""
        places = [self.google, self.extra_body.google if self.extra_body else None]
        configs = [self.image_config, *(place.image_config for place in places if place)]
        found = [config for config in configs if config is not None]
        ratios = [c.aspect_ratio for c in found if c.aspect_ratio not in (None, AUTO)]
        return ConfigBody(
            aspect_ratio=next(iter(ratios), None),
            image_size=next((c.image_size for c in found if c.image_size), None),
        )


@dataclass(frozen=True)
class Read:
    """A body understood: what was sent, what was said in it, the model's standing orders, and the
    names of what is passed over."""

    body: ChatBody
    said: tuple[Said, ...]
    system: str
    fields: Mapping[str, Json] = field(repr=False)
    ignored: tuple[str, ...] = ()


def read(fields: Mapping[str, Any]) -> Read:
    """A body found good as far as that can be said without a model. Raises InvalidRequest."""
    known, ignored = openai_fields.sort(fields, SUPPORT[f"POST {COMPLETIONS}"])
    chat = body.validated(ChatBody, known)
    wanted = chat.modalities
    if wanted is not None and not {"image"} <= set(wanted) <= {"image", "text"}:
        raise InvalidRequest(
            "What is made here are images, by image models: ask for the modalities image and text.",
            param="modalities",
        )
    if chat.response_format and chat.response_format.get("type") != "text":
        raise InvalidRequest(
            "Image models answer with a picture and plain text.", param="response_format"
        )
    said, orders = [], []
    for place, message in enumerate(chat.messages):
        if message.role in _ROLES:
            said.append(_said(message, f"messages[{place}]"))
        elif message.pictures:
            raise InvalidRequest(
                "A system message has text only.", param=f"messages[{place}].content"
            )
        else:
            orders.append(message.text)
    system = "\n\n".join(order for order in orders if order.strip())
    if not said or said[-1].role != "user":
        raise InvalidRequest("The last message has to be the user's.", param="messages")
    if not said[-1].text.strip() and not system:
        raise InvalidRequest("No message says what to draw.", param="messages")
    return Read(chat, tuple(said), system, fields, (*ignored, *_unread(chat, "")))


def asked(read: Read, folded: Folded, model: Model | None) -> Asked:
    """What is asked for of a model, or of whichever comes to make it. Raises InvalidRequest,
    PayloadTooLarge."""
    chat = read.body
    chosen = _shape(chat, model)
    extras = options(
        model,
        {
            "temperature": ("temperature", chat.temperature),
            "top_p": ("top_p", chat.top_p),
            # Without such an option it is said before the prompt.
            _SYSTEM: (_SYSTEM, (read.system or None) if folded.prompt.strip() else None),
        },
    )
    told = _SYSTEM in extras.taken or not read.system
    seeded = model is not None and model.seed and 0 <= (chat.seed or 0) < 2**31
    request = ImageRequest(
        operation="edit" if folded.refs or folded.previous_request_id else "generate",
        model=chat.model,
        prompt=folded.prompt if told else f"{read.system}\n\n{folded.prompt}".strip(),
        n=chat.n,
        aspect_ratio=chosen.aspect_ratio,
        resolution=chosen.resolution,
        seed=chat.seed if seeded else None,
        quality=chosen.quality,
        timeout_s=TIMEOUT_S,
        metadata=chat.metadata,
        options={**extras.taken, **({"size": chosen.size} if chosen.size else {})},
        refs=folded.refs,
        previous_request_id=folded.previous_request_id,
        max_turns=folded.max_turns,
    )
    unsown = ("seed",) if chat.seed is not None and not seeded else ()
    missing = tuple(name for name in extras.ignored if name != _SYSTEM)
    untold = ("messages",) if folded.left_out else ()
    return Asked(
        request=openai_fields.bounded(request, "messages"),
        fields=read.fields,
        stream=chat.stream,
        ignored=(*read.ignored, *missing, *chosen.ignored, *unsown, *untold),
    )


def _said(message: MessageBody, param: str) -> Said:
    """A message of the conversation. Of an assistant's picture that is ours, what counts is the
    request that made it, if that can be gone on from there: it goes on from its first picture."""
    urls = [picture.url for picture in message.pictures]
    if message.role == "user":
        refs = [openai_refs.of_url(url, param) for url in urls]
        return Said("user", message.text, tuple(refs))
    marked = openai_refs.unmarked(message.text)
    urls += marked.targets
    made = [image_id for url in urls if (image_id := openai_refs.own(url))]
    if not made:
        refs = [openai_refs.of_url(url, param) for url in urls]
        return Said("model", marked.text, tuple(dict.fromkeys(refs)))
    request_id = names.request_of(made[-1])
    ours = [i for i in dict.fromkeys(made) if names.request_of(i) == request_id]
    pictures = tuple(ImageRef(image_id=image_id) for image_id in ours)
    goes_on = request_id is not None and names.image_id(request_id, 0) in ours
    return Said("model", marked.text, pictures, request_id if goes_on else None)


def _shape(chat: ChatBody, model: Model | None) -> Shape:
    """The shape, by the fields that are for pictures sooner than by those of another API."""
    config = chat.config
    if config == ConfigBody():
        return openai_size.shape(chat.size, chat.quality, model, None)
    passed = ("size",) if chat.size else ()
    takes_quality = config.image_size is None or (model is not None and bool(model.qualities))
    if chat.quality and not takes_quality:
        passed = (*passed, "quality")
    shape = openai_size.shape(None, chat.quality if takes_quality else None, model, None)
    return replace(
        shape,
        aspect_ratio=config.aspect_ratio,
        resolution=config.image_size or shape.resolution,
        ignored=(*shape.ignored, *passed),
    )


def _unread(part: BaseModel, path: str) -> Iterator[str]:
    """What is passed over further down in a body: whatever is not ours there, and how closely a
    picture is to be looked at."""
    said = {name: getattr(part, name) for name in part.model_fields_set}
    for name, value in said.items():
        here = f"{path}.{name}" if path else name
        unread = name not in type(part).model_fields or (name == "detail" and value != AUTO)
        if unread and value not in (None, "", [], {}):
            yield here
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, BaseModel):
                yield from _unread(inner, here)

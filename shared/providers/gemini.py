"""Google's generateContent (ai.google.dev/api/generate-content, 2026-10), which relays speak too.

One call makes one picture. A refusal is HTTP 200: without candidates, with a finishReason, or in
polite words. Pictures in `thought` parts are sketches and are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import httpx
from pydantic import Field, JsonValue, model_validator
from pydantic_core import from_json

from shared import turns
from shared.domain import Endpoint, ImageRequest, Json, Source, Turn, Usage
from shared.errors import (
    HTTP_STATUS,
    ContentBlocked,
    DarkroomError,
    InvalidRequest,
    NoImage,
    ProviderError,
)
from shared.providers import (
    Done,
    Inline,
    Remote,
    Upload,
    google_errors,
    google_files,
    mask,
    no_poll,
    no_sketch,
)
from shared.providers.bodies import Count, encode, pack, post, present, unpack
from shared.providers.google_json import Message

INLINE = "inline"
"""The dialect of hosts that keep no files, Vertex AI among them: everything goes in the body."""

INLINE_LIMIT_BYTES = 20_000_000
"""As base64: above it, sources are uploaded first (documented limit, relays included)."""

_OPTIONS = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "max_output_tokens": "maxOutputTokens",
    "stop_sequences": "stopSequences",
    "media_resolution": "mediaResolution",
}
"""Our option → field of generationConfig, where only the name differs."""

_MARKED = "\0picture\0"
_MARK = "\\u0000picture\\u0000"
"""What stands for a picture in an answer, as text and as JSON."""

_BLOCKED = {
    "SAFETY",
    "IMAGE_SAFETY",
    "PROHIBITED_CONTENT",
    "IMAGE_PROHIBITED_CONTENT",
    "BLOCKLIST",
    "SPII",
    "ESCALATION",
    "RECITATION",
    "IMAGE_RECITATION",
    "MODEL_ARMOR",
}
"""Finish reasons that are a judgement on the content. Any other without a picture is a NoImage."""


class _Blob(Message):
    mime_type: str = ""
    data: str = ""


class _Part(Message):
    text: str = ""
    thought: bool = False
    inline_data: _Blob | None = None
    verbatim: dict[str, JsonValue] = Field(repr=False)

    @model_validator(mode="before")
    @classmethod
    def _keep(cls, value: object) -> object:
        """A signature belongs to its part and must come back in it, so the part is kept whole."""
        return {**value, "verbatim": value} if isinstance(value, Mapping) else value


class _Content(Message):
    parts: tuple[_Part, ...] = ()


class _Candidate(Message):
    content: _Content = _Content()
    finish_reason: str = ""
    finish_message: str = ""


class _Feedback(Message):
    block_reason: str = ""


class _Tokens(Message):
    modality: str = ""
    token_count: Count = 0


class _Usage(Message):
    prompt_token_count: Count = 0
    tool_use_prompt_token_count: Count = 0
    candidates_token_count: Count = 0
    thoughts_token_count: Count = 0
    prompt_tokens_details: tuple[_Tokens, ...] = ()
    candidates_tokens_details: tuple[_Tokens, ...] = ()


class Reply(Message):
    """An answer to generateContent, alone or in a line of a batch."""

    candidates: tuple[_Candidate, ...] = ()
    prompt_feedback: _Feedback = _Feedback()
    usage_metadata: _Usage = _Usage()


def submit(request: ImageRequest, endpoint: Endpoint) -> httpx.Request:
    """Ask for one picture."""
    url = endpoint.address(f"models/{endpoint.wire_model}:generateContent")
    return post(url, endpoint, json_body(request, endpoint))


def json_body(request: ImageRequest, endpoint: Endpoint) -> dict[str, Json]:
    """What is asked, as JSON: a GenerateContentRequest."""
    options = request.options
    system = options.get("system_instruction")
    turns = (content for turn in request.turns for content in _turn(turn, endpoint))
    return present(
        {
            "contents": [*turns, _ask(request)],
            "generationConfig": _generation(request),
            "systemInstruction": {"parts": [{"text": system}]} if system else None,
            "safetySettings": options.get("safety_settings"),
            "tools": _tools(options),
        }
    )


def read(response: httpx.Response) -> Done:
    """The pictures of an answer, and the answer itself, for a later turn."""
    reply = google_errors.parse(Reply, response)
    done = outcome(reply)
    return replace(done, reply=_pieces(_parts(reply), done.images))


def _pieces(parts: list[_Part], images: tuple[Inline | Remote, ...]) -> tuple[str | int, ...]:
    """The answer for a later turn, with the numbers of its pictures where they stood."""
    blobs = [part for part in parts if part.inline_data]
    there = dict(enumerate(images)) if len(images) == len(blobs) else {}
    numbers = [n for n, part in enumerate(blobs) if _same(part.inline_data, there.get(n))]
    marked = [_marked(part) for n, part in enumerate(blobs) if n in numbers]
    kept = {id(blobs[n]): one for n, one in zip(numbers, marked, strict=True)}
    texts = _content([kept.get(id(part), part.verbatim) for part in parts]).split(_MARK)
    if len(texts) != len(numbers) + 1:
        # Somebody wrote the mark.
        return (_content([part.verbatim for part in parts]),)
    between = [piece for pair in zip(texts, numbers, strict=False) for piece in pair]
    return (*between, texts[-1])


def _same(blob: _Blob | None, image: Inline | Remote | None) -> bool:
    """Whether a picture's base64 can be had from its bytes again."""
    return blob is not None and isinstance(image, Inline) and pack(image.data) == blob.data


def _marked(part: _Part) -> dict[str, Json]:
    blob = part.verbatim["inlineData"]
    said = {**blob, "data": _MARKED} if isinstance(blob, Mapping) else blob
    return {**part.verbatim, "inlineData": said}


def _content(parts: Sequence[Json]) -> str:
    return encode({"role": "model", "parts": parts}).decode()


def outcome(reply: Reply) -> Done:
    """The pictures of an answer. A picture counts whatever the finishReason beside it."""
    candidate = reply.candidates[0] if reply.candidates else None
    parts = _parts(reply)
    text = "".join(part.text for part in parts)
    blobs = [part.inline_data for part in parts if part.inline_data]
    if not blobs:
        error = _refusal(reply, candidate, text)
        # Words and thoughts are charged to us, picture or not.
        usage = _usage(reply.usage_metadata, 0)
        error.usage = None if usage == Usage() else usage
        raise error
    return Done(
        images=_unpacked(blobs),
        usage=_usage(reply.usage_metadata, len(blobs)),
        text=text or None,
    )


def _parts(reply: Reply) -> list[_Part]:
    """What was answered, without the thoughts on the way."""
    content = reply.candidates[0].content if reply.candidates else _Content()
    return [part for part in content.parts if not part.thought]


def _unpacked(blobs: list[_Blob]) -> tuple[Inline, ...]:
    """The pictures, without those whose base64 is broken. Raises ProviderError if all are."""
    images: list[Inline] = []
    for blob in blobs:
        try:
            images.append(unpack(blob.data, blob.mime_type))
        except ProviderError:
            if blob is blobs[-1] and not images:
                raise
    return tuple(images)


poll = no_poll
sketch = no_sketch


def uploads(request: ImageRequest, endpoint: Endpoint) -> tuple[Upload, ...]:
    """Every source, once together they are too large for the body and there is a place for them."""
    if endpoint.dialect == INLINE:
        return ()
    inline = [(i, source) for i, source in enumerate(request.sources) if source.uri is None]
    if sum((len(source.data) + 2) // 3 * 4 for _, source in inline) <= INLINE_LIMIT_BYTES:
        return ()
    return tuple(
        Upload(i, google_files.start(source, i, endpoint), google_files) for i, source in inline
    )


def _ask(request: ImageRequest) -> Json:
    parts: list[Json] = [{"text": request.prompt}, *map(_source, request.sources)]
    if request.mask:
        drawn = mask.black_and_white(request.mask.data)
        parts += [{"text": mask.EXPLANATION}, _image(drawn, "image/png")]
    return {"role": "user", "parts": parts}


def _turn(turn: Turn, endpoint: Endpoint) -> list[Json]:
    """An earlier exchange: the answer verbatim where this model gave it.

    Otherwise its pictures are shown as the user's own. A model's turn without the thought
    signatures of its parts is refused with 400 by image models since Gemini 3
    (ai.google.dev/gemini-api/docs/gemini-3, "Thought signatures", 2026-10)."""
    asked: list[Json] = [{"text": turn.prompt}, *map(_source, turn.sources)]
    reply = turns.whole(turn)
    if reply is not None and (turn.wire, turn.wire_model) == ("gemini", endpoint.wire_model):
        return [{"role": "user", "parts": asked}, from_json(reply)]
    shown = [_image(picture.data, picture.content_type) for picture in turn.images]
    asked += [{"text": "This is what was made of it:"}, *shown]
    return [{"role": "user", "parts": asked}]


def _source(source: Source) -> Json:
    if source.uri:
        return {"fileData": {"mimeType": source.content_type, "fileUri": source.uri}}
    return _image(source.data, source.content_type)


def _image(data: bytes, content_type: str) -> Json:
    return {"inlineData": {"mimeType": content_type, "data": pack(data)}}


def _generation(request: ImageRequest) -> dict[str, Json]:
    options = request.options
    image = {"aspectRatio": request.aspect_ratio, "imageSize": request.resolution}
    thinking = {
        "thinkingLevel": options.get("thinking_level"),
        "includeThoughts": options.get("include_thoughts"),
    }
    return present(
        {
            "responseModalities": ["TEXT", "IMAGE"],
            "imageConfig": present(image) or None,
            "seed": request.seed,
            "thinkingConfig": present(thinking) or None,
            **{field: options.get(option) for option, field in _OPTIONS.items()},
        }
    )


def _tools(options: Mapping[str, Json]) -> Json:
    """Search: pictures are looked for together with pages, never alone."""
    if options.get("image_search"):
        return [{"googleSearch": {"searchTypes": {"webSearch": {}, "imageSearch": {}}}}]
    return [{"googleSearch": {}}] if options.get("google_search") else None


def _usage(counted: _Usage, images: int) -> Usage:
    """Text that comes with a picture is in candidatesTokenCount and not in its details."""
    return Usage(
        input_tokens=counted.prompt_token_count + counted.tool_use_prompt_token_count,
        output_tokens=counted.candidates_token_count + counted.thoughts_token_count,
        thought_tokens=counted.thoughts_token_count,
        source_tokens=_of_images(counted.prompt_tokens_details),
        image_tokens=_of_images(counted.candidates_tokens_details),
        images=images,
    )


def _of_images(details: tuple[_Tokens, ...]) -> int:
    return sum(detail.token_count for detail in details if detail.modality == "IMAGE")


def _refusal(reply: Reply, candidate: _Candidate | None, text: str) -> DarkroomError:
    """Why there is no picture."""
    blocked = reply.prompt_feedback.block_reason
    reason = blocked or (candidate.finish_reason if candidate else "")
    details: dict[str, Json] = {HTTP_STATUS: 200, "reason": reason}
    if blocked:
        return ContentBlocked(
            "The provider blocked the prompt or its images. Change them.",
            param="prompt",
            details=details,
        )
    if candidate is None or reason == "MISSING_THOUGHT_SIGNATURE":
        return ProviderError("The provider gave an answer that cannot be used.", details=details)
    if reason == "MAX_TOKENS":
        return InvalidRequest(
            "The answer's token limit is too low for a picture. Raise or drop it.",
            param="options.max_output_tokens",
            details=details,
        )
    said = google_errors.safe(candidate.finish_message, 300)
    if reason in _BLOCKED:
        return ContentBlocked(
            said or "The provider blocked the picture. Change the prompt or the images.",
            details=details,
        )
    if text:
        details["text"] = google_errors.safe(text, 500)
    return NoImage(
        said or "The model made no picture of this. Say in the prompt what to draw.",
        details=details,
    )

"""GenerateContentRequest → ImageRequest, and what becomes of each of its fields.

Facts: ai.google.dev/api/generate-content and the types of google-genai 3.4.0, 2026-10.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel
from pydantic.alias_generators import to_snake

from shared.body import MAX_TEXT_BYTES
from shared.catalogue.rows import Model
from shared.domain import Delivery, ImageRequest, Json
from shared.surfaces import TIMEOUT_S, Support, Treatment, options
from shared.surfaces.conversation import fold
from shared.surfaces.gemini_checks import (
    CONTENTS,
    GENERATION,
    check_contents,
    check_output,
    check_ranges,
    check_tools,
    no_modality,
)
from shared.surfaces.gemini_messages import (
    GenerateContentRequest,
    GoogleSearch,
)
from shared.surfaces.gemini_turns import Conversation, Signer, conversation
from shared.surfaces.google_json import Refusal, cut, validated

_HAD = "by models that have it; named as ignored elsewhere"
_GENERATE: Mapping[str, tuple[Treatment, str]] = {
    "model": ("honoured", "the one of the path, or nothing"),
    "contents": ("honoured", "the last 16 turns, fewer of large pictures; else named as ignored"),
    "contents.role": ("honoured", "user, model"),
    "contents.parts.text": ("honoured", ""),
    "contents.parts.inlineData": ("honoured", "PNG, JPEG and WebP"),
    "contents.parts.fileData.fileUri": ("honoured", "files and pictures of here, https URLs"),
    "contents.parts.fileData.mimeType": ("honoured", "a picture's; the bytes say which"),
    "contents.parts.fileData.displayName": ("ignored", "models see no names"),
    "contents.parts.thoughtSignature": ("honoured", "ours, beside the picture it was given for"),
    "contents.parts.thought": ("ignored", "earlier thoughts are not given back to a model"),
    "contents.parts.videoMetadata": ("ignored", "no videos are taken"),
    "contents.parts.mediaResolution": ("ignored", "use generationConfig.mediaResolution"),
    "contents.parts.partMetadata": ("ignored", ""),
    "contents.parts.functionCall": ("refused", "and the other kinds of part"),
    "systemInstruction": ("honoured", "its words; put before the prompt where models have none"),
    "generationConfig.responseModalities": ("honoured", "with IMAGE; ['IMAGE'] leaves words out"),
    "generationConfig.imageConfig.aspectRatio": ("honoured", "the model's"),
    "generationConfig.imageConfig.imageSize": ("honoured", "the model's"),
    "generationConfig.candidateCount": ("honoured", "a picture each, up to what the model makes"),
    "generationConfig.seed": ("honoured", _HAD),
    "generationConfig.temperature": ("honoured", _HAD),
    "generationConfig.topP": ("honoured", _HAD),
    "generationConfig.topK": ("honoured", _HAD),
    "generationConfig.maxOutputTokens": ("honoured", _HAD),
    "generationConfig.stopSequences": ("honoured", _HAD),
    "generationConfig.mediaResolution": ("honoured", _HAD),
    "generationConfig.thinkingConfig.thinkingLevel": ("honoured", _HAD),
    "generationConfig.thinkingConfig.includeThoughts": ("ignored", "thoughts are not kept"),
    "generationConfig.thinkingConfig.thinkingBudget": ("ignored", "image models have levels"),
    "generationConfig.presencePenalty": ("ignored", "no bearing on pictures"),
    "generationConfig.frequencyPenalty": ("ignored", "no bearing on pictures"),
    "generationConfig.responseLogprobs": ("ignored", "no bearing on pictures"),
    "generationConfig.logprobs": ("ignored", "no bearing on pictures"),
    "generationConfig.audioTranscriptionConfig": ("ignored", "no bearing on pictures"),
    "generationConfig.enableEnhancedCivicAnswers": ("ignored", "no bearing on pictures"),
    "generationConfig.responseMimeType": ("refused", "other than text/plain"),
    "generationConfig.responseSchema": ("refused", ""),
    "generationConfig.responseJsonSchema": ("refused", ""),
    "generationConfig.responseFormat": ("refused", "use imageConfig"),
    "generationConfig.speechConfig": ("refused", ""),
    "safetySettings": ("honoured", _HAD),
    "tools.googleSearch": (
        "honoured",
        "by models that have it; refused elsewhere; its sources are not given back",
    ),
    "tools.googleSearch.searchTypes": ("honoured", "by models that have it; refused elsewhere"),
    "tools.googleSearch.timeRangeFilter": ("ignored", ""),
    "tools.functionDeclarations": ("refused", "and the other tools"),
    "toolConfig": ("ignored", "no functions are called"),
    "cachedContent": ("refused", ""),
    "continuationToken": ("refused", "no answer is left half done"),
    "serviceTier": ("ignored", ""),
    "labels": ("ignored", ""),
    "store": ("ignored", "every request is kept until it is deleted"),
}
SUPPORT: Support = {
    "POST /{version}/models/{model}:generateContent": _GENERATE,
    "POST /{version}/models/{model}:streamGenerateContent": {
        **_GENERATE,
        "alt": ("honoured", "sse: events; else one array"),
    },
}
"""What is "ignored" here is looked for in each request, and named if it is there."""


@dataclass(frozen=True)
class Call:
    """A request as it was sent, and the conversation in it."""

    message: GenerateContentRequest = field(repr=False)
    said: Conversation = field(repr=False)


@dataclass(frozen=True)
class Wanted:
    """A request understood: what to make, what of it was passed over, and whether words are
    wanted beside the pictures."""

    request: ImageRequest
    ignored: tuple[str, ...]
    words: bool


def read(fields: object, version: str, name: str, signer: Signer) -> Call:
    """A body for the model of that name, checked for form. Raises Refusal."""
    message = validated(GenerateContentRequest, fields, version)
    if message.model.removeprefix("models/") not in ("", name):
        said = f"The body is for {cut(message.model)}, and the address for models/{cut(name)}."
        raise Refusal(400, said)
    check_contents(message.contents)
    if any(part.text is None for part in message.system_instruction.parts):
        system = "* GenerateContentRequest.system_instruction"
        raise Refusal(400, f"{system}: only parts with text are supported.\n")
    config = message.generation_config
    check_output(config)
    if config.response_modalities and "IMAGE" not in config.response_modalities:
        raise no_modality(["text"])
    check_ranges(config)
    if config.candidate_count < 0:
        raise Refusal(400, f"* {GENERATION}.candidate_count: must be positive.\n")
    for wanted, name_of_it in (
        (config.speech_config, "Speech"),
        (message.cached_content, "Cached content"),
        (message.continuation_token, "Continuation"),
    ):
        if wanted:
            raise Refusal(400, f"{name_of_it} is not enabled for this model")
    return Call(message, conversation(message.contents, signer))


def wanted(
    call: Call, model: Model | None, name: str, delivery: Delivery, *, continued: bool
) -> Wanted:
    """What is asked of a model, None for "auto"; `name` is as the caller calls it. `continued` is
    whether the request that made the last picture can be gone on from. Raises Refusal."""
    message, config = call.message, call.message.generation_config
    folded = fold(call.said.messages, continued=continued)
    system = message.system_instruction.text()
    if not folded.prompt.strip() and not system.strip():
        raise Refusal(400, f"{CONTENTS}: there are no words that say what to draw.\n")
    sorted_ = options(model, _settings(message))
    taken, ignored = dict(sorted_.taken), [*passed_over(message), *sorted_.ignored]
    ignored += ["contents"] if folded.left_out else []
    taken |= _tools(message, model)
    prompt = folded.prompt
    if model and "system_instruction" in model.options and system and prompt.strip():
        taken["system_instruction"] = system
    elif system:
        prompt = f"{system}\n\n{prompt}".strip()
    seed = config.seed
    if seed is not None and (seed < 0 or (model and not model.seed)):
        seed, ignored = None, [*ignored, "generationConfig.seed"]
    _check_size(prompt, taken)
    request = ImageRequest(
        operation="edit" if folded.refs or folded.previous_request_id else "generate",
        model=name,
        prompt=prompt,
        n=config.candidate_count or 1,
        aspect_ratio=config.image_config.aspect_ratio or None,
        resolution=config.image_config.image_size or None,
        seed=seed,
        delivery=delivery,
        timeout_s=TIMEOUT_S,
        options=taken,
        refs=folded.refs,
        previous_request_id=folded.previous_request_id,
        max_turns=folded.max_turns,
    )
    modalities = config.response_modalities
    return Wanted(request, tuple(ignored), words=not modalities or "TEXT" in modalities)


def passed_over(message: GenerateContentRequest) -> Iterator[str]:
    """The fields that were sent and that SUPPORT says are ignored."""
    for path, (treatment, _) in _GENERATE.items():
        if treatment == "ignored" and _set(message, [to_snake(step) for step in path.split(".")]):
            yield path


def _set(value: object, path: list[str]) -> bool:
    """Whether anything was sent at the path, in any of the messages of a list: false and zero are
    something."""
    if isinstance(value, tuple):
        return any(_set(one, path) for one in value)
    if not path:
        return value not in (None, "", (), [], {})
    sent = isinstance(value, BaseModel) and path[0] in value.model_fields_set
    return sent and _set(getattr(value, path[0]), path[1:])


def _settings(message: GenerateContentRequest) -> dict[str, tuple[str, Json]]:
    """What only some models have: Google's name → (our option, value)."""
    config = message.generation_config
    safety: list[Json] = [
        {"category": setting.category, "threshold": setting.threshold}
        for setting in message.safety_settings
    ]
    within: dict[str, tuple[str, Json]] = {
        "temperature": ("temperature", config.temperature),
        "topP": ("top_p", config.top_p),
        "topK": ("top_k", config.top_k),
        "maxOutputTokens": ("max_output_tokens", config.max_output_tokens),
        "stopSequences": ("stop_sequences", list(config.stop_sequences) or None),
        "mediaResolution": ("media_resolution", _specified(config.media_resolution)),
        "thinkingConfig.thinkingLevel": (
            "thinking_level",
            _specified(config.thinking_config.thinking_level),
        ),
    }
    named = {f"generationConfig.{name}": pair for name, pair in within.items()}
    return {**named, "safetySettings": ("safety_settings", safety or None)}


def _specified(value: str | None) -> str | None:
    return None if value is None or value.endswith("_UNSPECIFIED") else value


def _tools(message: GenerateContentRequest, model: Model | None) -> dict[str, Json]:
    """The search that is wanted. Raises Refusal for one that the model does not have, and for
    every other tool."""
    searches = [tool.google_search for tool in message.tools if tool.google_search is not None]
    found: dict[str, Json] = {}
    for search in searches:
        found["image_search" if _of_images(search) else "google_search"] = True
    had = model is None or all(option in model.options for option in found)
    if any(tool.google_search_retrieval is not None for tool in message.tools):
        raise Refusal(400, "Tool google_search_retrieval is not enabled for this model")
    check_tools(message.tools, search=had)
    return found


def _of_images(search: GoogleSearch) -> bool:
    return search.search_types is not None and search.search_types.image_search is not None


def _check_size(prompt: str, taken: Mapping[str, Json]) -> None:
    """Raise Refusal for more words than are kept of a request."""
    if len(json.dumps([prompt, taken], ensure_ascii=False).encode()) > MAX_TEXT_BYTES:
        raise Refusal(400, f"{CONTENTS}: at most {MAX_TEXT_BYTES} bytes of text are taken.\n")

"""What generateContent refuses after the form of a request is right, in Google's words.

Sources: captured answers of generateContent, and ai.google.dev/gemini-api/docs (image-generation,
thinking, gemini-3 "Thought signatures"), 2026-10.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass

from shared.catalogue.rows import Model
from shared.sandbox.gemini_messages import Content, GenerateContentRequest, GenerationConfig, Part
from shared.sandbox.google_files import Files
from shared.sandbox.google_proto import PACKAGE, Refusal, invalid_value, refused
from shared.sandbox.painter import BadPicture, Source, look

SOURCE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")
TEXT_TYPES = ("application/json", "application/xml", "application/yaml", "text/x.enum")
GENERATION = "GenerateContentRequest.generation_config"
TROUBLESHOOTING = "https://developers.generativeai.google/guide/troubleshooting"
SIGNATURES = "https://ai.google.dev/gemini-api/docs/thought-signatures#model-behavior"
SIGNATURE_BYTES = 1024
SIGNING_KEY = b"sandbox"


@dataclass(frozen=True)
class Traits:
    """What a model line can do that its catalogue row has no column for."""

    thinks: bool = True
    levels: tuple[str, ...] = ()
    search: bool = True


TRAITS = {
    "gemini-2": Traits(thinks=False, search=False),
    "gemini-3-pro-": Traits(),
    "gemini-3.1-flash-lite-": Traits(levels=("MINIMAL", "HIGH"), search=False),
    "gemini-3.1-flash-": Traits(levels=("MINIMAL", "HIGH")),
    "": Traits(levels=("MINIMAL", "MEDIUM", "HIGH")),
}
"""By the beginning of the wire id; the first that fits counts."""


def traits(wire_model: str) -> Traits:
    """The traits of a model."""
    return next(t for start, t in TRAITS.items() if wire_model.startswith(start))


def sign(data: bytes) -> bytes:
    """The signature of a part: only this sandbox can have made it, in any of its processes."""
    return hashlib.shake_256(hmac.digest(SIGNING_KEY, data, "sha256")).digest(SIGNATURE_BYTES)


def check_contents(contents: tuple[Content, ...], thinks: bool) -> None:
    """Raise Refusal unless every content is whole, and signed where a model made it."""
    where = "* GenerateContentRequest.contents"
    if not contents:
        raise Refusal(400, f"{where}: contents is not specified\n")
    for i, content in enumerate(contents):
        if content.role not in ("", "user", "model"):
            raise Refusal(400, "Please use a valid role: user, model.")
        if not content.parts:
            raise Refusal(400, f"{where}[{i}].parts: contents.parts must not be empty.\n")
        for j, part in enumerate(content.parts):
            if not part.data_fields():
                required = "required oneof field 'data' must have one initialized field"
                raise Refusal(400, f"{where}[{i}].parts[{j}].data: {required}\n")
            if thinks and content.role == "model" and part.inline_data and not part.thought:
                _check_signature(part.inline_data.data, part, f"{i + 1}, part position {j + 1}")


def _check_signature(data: bytes, part: Part, position: str) -> None:
    if not part.thought_signature:
        missing = f"Image part is missing a thought_signature in content position {position}."
        raise Refusal(400, f"{missing} Please refer to {SIGNATURES} for more details.")
    if not hmac.compare_digest(part.thought_signature, sign(data)):
        raise Refusal(400, "Corrupted thought signature.")


def check_config(request: GenerateContentRequest, wire_model: str) -> None:
    """Raise Refusal for a setting that the model does not have."""
    config, can = request.generation_config, traits(wire_model)
    if config.candidate_count > 1:
        raise Refusal(400, "Multiple candidates is not enabled for this model")
    _check_mime_type(config.response_mime_type)
    _check_ranges(config)
    odd = [m.lower() for m in config.response_modalities if m not in ("TEXT", "IMAGE")]
    if odd:
        asked = ",".join(odd)
        raise Refusal(400, f"Model does not support the requested response modalities: {asked}")
    if config.response_schema is not None or config.response_json_schema is not None:
        raise Refusal(400, "JSON mode is not enabled for this model")
    level = config.thinking_config.thinking_level
    if level and not can.levels:
        raise Refusal(400, "Thinking level is not supported for this model.")
    if level and level not in can.levels:
        raise Refusal(400, f"Thinking level {level} is not supported for this model.")
    _check_tools(request, can)


def _check_mime_type(kind: str) -> None:
    if kind in TEXT_TYPES:
        raise Refusal(400, "JSON mode is not enabled for this model")
    if kind not in ("", "text/plain"):
        allowed = "`, `".join(("text/plain", *TEXT_TYPES[:-1]))
        types = f"allowed mimetypes are `{allowed}` and `{TEXT_TYPES[-1]}`."
        raise Refusal(400, f"* {GENERATION}.response_mime_type: {types}\n")


def _check_ranges(config: GenerationConfig) -> None:
    for name, value, most in (
        ("temperature", config.temperature, 2.0),
        ("top_p", config.top_p, 1.0),
    ):
        if value is not None and not 0 <= value <= most:
            rule = f"{name} must be in the range [0.0, {most}]."
            raise Refusal(400, f"* {GENERATION}.{name}: {rule}\n")
    if len(config.stop_sequences) > 5:
        raise Refusal(400, f"* {GENERATION}.stop_sequences: at most 5 are allowed.\n")


def _check_tools(request: GenerateContentRequest, can: Traits) -> None:
    for tool in request.tools:
        searches = {"google_search", "google_search_retrieval"} & tool.model_fields_set
        if searches and not can.search:
            raise Refusal(400, "Search as tool is not enabled for this model")
        if tool.function_declarations is not None:
            raise Refusal(400, "Function calling is not enabled for this model")
        others = sorted(tool.model_fields_set - searches - {"function_declarations"})
        if others:
            raise Refusal(400, f"Tool {others[0]} is not enabled for this model")


def resolution(config: GenerationConfig, model: Model, thinks: bool, version: str) -> str:
    """The resolution asked for or the model's own. Raises Refusal."""
    size = config.image_config.image_size
    if size is None:
        return model.resolutions[0]
    if not thinks or size not in model.resolutions:
        raise _not_in_enum("image_size", "ImageConfig.ImageSize", size, version)
    return size


def aspect_ratio(config: GenerationConfig, model: Model, version: str) -> str | None:
    """The ratio asked for, None where the model is to choose. Raises Refusal."""
    ratio = config.image_config.aspect_ratio
    if ratio is not None and ratio not in model.aspect_ratios:
        raise _not_in_enum("aspect_ratio", "ImageConfig.AspectRatio", ratio, version)
    return ratio


def _not_in_enum(name: str, enum: str, value: str, version: str) -> Refusal:
    path = f"generation_config.image_config.{name}"
    return refused([(path, invalid_value(path, f"{PACKAGE}.{version}.{enum}", value))])


def pictures(content: Content, files: Files) -> tuple[tuple[bytes, Source], ...]:
    """The pictures in a content, opened. Raises Refusal."""
    return tuple(_opened(data) for data in _image_bytes(content, files))


def _image_bytes(content: Content, files: Files) -> Iterator[bytes]:
    for part in content.parts:
        if part.inline_data and not part.thought:
            yield _of_type(part.inline_data.mime_type, part.inline_data.data)
        elif part.file_data:
            address = part.file_data.file_uri
            if address.startswith("https://") and "/files/" not in address:
                raise Refusal(400, f"Cannot fetch content from the provided URL: {address}")
            file = files.find(address)
            yield _of_type(part.file_data.mime_type or file.mime_type, file.data)


def _of_type(kind: str, data: bytes) -> bytes:
    if kind not in SOURCE_TYPES:
        raise Refusal(400, f"Unsupported MIME type: {kind}")
    return data


def _opened(data: bytes) -> tuple[bytes, Source]:
    try:
        return data, look(data)
    except BadPicture as error:
        retry = f"Please retry or report in {TROUBLESHOOTING}"
        raise Refusal(400, f"Unable to process input image. {retry}") from error

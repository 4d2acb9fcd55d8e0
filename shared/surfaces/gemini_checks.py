"""What generateContent refuses of a request for pictures once its form is right, in Google's words.

Sources: captured answers of generateContent, and ai.google.dev/gemini-api/docs (image-generation),
2026-10.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.surfaces.gemini_messages import Content, GenerationConfig, Tool
from shared.surfaces.google_json import PACKAGE, Refusal, cut, invalid_value, refused

SOURCE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")
TEXT_TYPES = ("application/json", "application/xml", "application/yaml", "text/x.enum")
CONTENTS = "* GenerateContentRequest.contents"
GENERATION = "GenerateContentRequest.generation_config"
TROUBLESHOOTING = "https://developers.generativeai.google/guide/troubleshooting"
BAD_IMAGE = f"Unable to process input image. Please retry or report in {TROUBLESHOOTING}"
BAD_SIGNATURE = "Corrupted thought signature."


def check_contents(contents: Sequence[Content]) -> None:
    """Raise Refusal unless every content says who speaks, and something."""
    if not contents:
        raise Refusal(400, f"{CONTENTS}: contents is not specified\n")
    for i, content in enumerate(contents):
        if content.role not in ("", "user", "model"):
            raise Refusal(400, "Please use a valid role: user, model.")
        if not content.parts:
            raise Refusal(400, f"{CONTENTS}[{i}].parts: contents.parts must not be empty.\n")
        for j, part in enumerate(content.parts):
            if not part.data_fields():
                required = "required oneof field 'data' must have one initialized field"
                raise Refusal(400, f"{CONTENTS}[{i}].parts[{j}].data: {required}\n")


def check_output(config: GenerationConfig) -> None:
    """Raise Refusal for an answer of another kind than words and pictures."""
    kind = config.response_mime_type
    odd = [m.lower() for m in config.response_modalities if m not in ("TEXT", "IMAGE")]
    if odd:
        raise no_modality(odd)
    schemas = (config.response_schema, config.response_json_schema)
    if kind in TEXT_TYPES or any(schema is not None for schema in schemas):
        raise Refusal(400, "JSON mode is not enabled for this model")
    if kind not in ("", "text/plain"):
        allowed = "`, `".join(("text/plain", *TEXT_TYPES[:-1]))
        types = f"allowed mimetypes are `{allowed}` and `{TEXT_TYPES[-1]}`."
        raise Refusal(400, f"* {GENERATION}.response_mime_type: {types}\n")


def no_modality(asked: Sequence[str]) -> Refusal:
    """The error for kinds of answer that a model does not give."""
    named = ",".join(asked)
    return Refusal(400, f"Model does not support the requested response modalities: {named}")


def check_ranges(config: GenerationConfig) -> None:
    """Raise Refusal for a number that no model takes."""
    for name, value, most in (
        ("temperature", config.temperature, 2.0),
        ("top_p", config.top_p, 1.0),
    ):
        if value is not None and not 0 <= value <= most:
            rule = f"{name} must be in the range [0.0, {most}]."
            raise Refusal(400, f"* {GENERATION}.{name}: {rule}\n")
    if len(config.stop_sequences) > 5:
        raise Refusal(400, f"* {GENERATION}.stop_sequences: at most 5 are allowed.\n")


def check_tools(tools: Sequence[Tool], *, search: bool) -> None:
    """Raise Refusal for a tool that does not go with pictures: all but search, and that where the
    model has none."""
    for tool in tools:
        named = {name for name in tool.model_fields_set if getattr(tool, name) is not None}
        searches = {"google_search", "google_search_retrieval"} & named
        if searches and not search:
            raise Refusal(400, "Search as tool is not enabled for this model")
        if tool.function_declarations is not None:
            raise Refusal(400, "Function calling is not enabled for this model")
        others = sorted(named - searches)
        if others:
            raise Refusal(400, f"Tool {others[0]} is not enabled for this model")


def no_level(level: str = "") -> Refusal:
    """The error for a thinking level that a model does not have, or for any where it has none."""
    return Refusal(
        400, f"Thinking level {level} is not supported for this model.".replace("  ", " ")
    )


def not_in_enum(name: str, value: str, version: str, reason: str = "") -> Refusal:
    """The error for a field of imageConfig with a value that the model does not have. `reason` is
    what we have to add."""
    enum = {"aspect_ratio": "ImageConfig.AspectRatio", "image_size": "ImageConfig.ImageSize"}[name]
    path = f"generation_config.image_config.{name}"
    said = invalid_value(path, f"{PACKAGE}.{version}.{enum}", value)
    return refused([(path, f"{said}\n{reason}" if reason else said)])


def check_type(kind: str) -> None:
    """Raise Refusal for the MIME type of what is no picture."""
    if kind not in SOURCE_TYPES:
        raise Refusal(400, f"Unsupported MIME type: {cut(kind)}")

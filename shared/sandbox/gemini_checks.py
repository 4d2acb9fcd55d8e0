"""What generateContent refuses after the form of a request is right, in Google's words.

Sources: captured answers of generateContent, and ai.google.dev/gemini-api/docs (image-generation,
thinking, gemini-3 "Thought signatures"), 2026-10.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.catalogue.rows import Model
from shared.sandbox.google_files import Files
from shared.sandbox.painter import BadPicture, Source, look
from shared.surfaces import gemini_checks as checks
from shared.surfaces.gemini_messages import Content, GenerateContentRequest, GenerationConfig, Part
from shared.surfaces.google_json import Refusal

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


def check_contents(contents: Sequence[Content], thinks: bool) -> None:
    """Raise Refusal unless every content is whole, and signed where a model made it."""
    checks.check_contents(contents)
    for i, content in enumerate(contents):
        for j, part in enumerate(content.parts):
            if thinks and content.role == "model" and part.inline_data and not part.thought:
                _check_signature(part.inline_data.data, part, f"{i + 1}, part position {j + 1}")


def _check_signature(data: bytes, part: Part, position: str) -> None:
    if not part.thought_signature:
        missing = f"Image part is missing a thought_signature in content position {position}."
        raise Refusal(400, f"{missing} Please refer to {SIGNATURES} for more details.")
    if not hmac.compare_digest(part.thought_signature, sign(data)):
        raise Refusal(400, checks.BAD_SIGNATURE)


def check_config(request: GenerateContentRequest, wire_model: str) -> None:
    """Raise Refusal for a setting that the model does not have."""
    config, can = request.generation_config, traits(wire_model)
    if config.candidate_count > 1:
        raise Refusal(400, "Multiple candidates is not enabled for this model")
    checks.check_output(config)
    checks.check_ranges(config)
    level = config.thinking_config.thinking_level
    if level and level not in can.levels:
        raise checks.no_level(level if can.levels else "")
    checks.check_tools(request.tools, search=can.search)


def resolution(config: GenerationConfig, model: Model, thinks: bool, version: str) -> str:
    """The resolution asked for or the model's own. Raises Refusal."""
    size = config.image_config.image_size
    if size is None:
        return model.resolutions[0]
    if not thinks or size not in model.resolutions:
        raise checks.not_in_enum("image_size", size, version)
    return size


def aspect_ratio(config: GenerationConfig, model: Model, version: str) -> str | None:
    """The ratio asked for, None where the model is to choose. Raises Refusal."""
    ratio = config.image_config.aspect_ratio
    if ratio is not None and ratio not in model.aspect_ratios:
        raise checks.not_in_enum("aspect_ratio", ratio, version)
    return ratio


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
    checks.check_type(kind)
    return data


def _opened(data: bytes) -> tuple[bytes, Source]:
    try:
        return data, look(data)
    except BadPicture as error:
        raise Refusal(400, checks.BAD_IMAGE) from error

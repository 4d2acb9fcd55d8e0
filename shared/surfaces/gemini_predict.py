"""predict, by any model: PredictRequest → ImageRequest, and records → predictions.

Facts: ai.google.dev/gemini-api/docs/imagen before its shutdown of 2026-08-17, and the request and
response types of google-genai 1.60.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.body import MAX_TEXT_BYTES
from shared.catalogue.rows import Model
from shared.domain import Delivery, ImageRequest, Json, Record
from shared.errors import DarkroomError
from shared.surfaces import TIMEOUT_S, Shown, Support, options
from shared.surfaces.gemini_files import file_of
from shared.surfaces.google_json import Refusal, invalid_value, refused, validated
from shared.surfaces.imagen_messages import FORMATS, Parameters, PredictRequest

SQUARE = "1:1"
MOST_SAMPLES = 4
"""How many pictures Imagen makes where it is not told."""

_HAD = "by models that have it; named as ignored elsewhere"
_VERTEX = "as by the Gemini API, which is not Vertex AI"
_OPTIONS = {
    "personGeneration": "person_generation",
    "safetySetting": "safety_setting",
    "language": "language",
    "guidanceScale": "guidance_scale",
}
"""Parameter → our option: what only Imagen has."""
SUPPORT: Support = {
    "POST /{version}/models/{model}:predict": {
        "instances.prompt": ("honoured", "one instance"),
        "parameters.sampleCount": (
            "honoured",
            "if left out 4, or fewer if the model makes fewer",
        ),
        "parameters.aspectRatio": ("honoured", "the model's; 1:1"),
        "parameters.sampleImageSize": ("honoured", "the model's"),
        "parameters.outputOptions.mimeType": ("honoured", "image/png"),
        "parameters.outputOptions.compressionQuality": ("honoured", "for JPEG"),
        "parameters.includeRaiReason": ("honoured", ""),
        **{f"parameters.{name}": ("honoured", _HAD) for name in _OPTIONS},
        "parameters.includeSafetyAttributes": ("ignored", "they are not kept"),
        "parameters.negativePrompt": ("refused", _VERTEX),
        "parameters.seed": ("refused", _VERTEX),
        "parameters.addWatermark": ("refused", _VERTEX),
        "parameters.enhancePrompt": ("refused", _VERTEX),
        "parameters.storageUri": ("refused", _VERTEX),
        "parameters.labels": ("refused", _VERTEX),
    }
}


@dataclass(frozen=True)
class Wanted:
    """A request understood: what to make, what of it was passed over, and whether the reasons for
    missing pictures are wanted."""

    request: ImageRequest
    ignored: tuple[str, ...]
    reasons: bool


def wanted(
    fields: object, model: Model | None, name: str, delivery: Delivery, version: str
) -> Wanted:
    """A body for the model of that name, None for "auto". Raises Refusal."""
    message = validated(PredictRequest, fields, version)
    prompt, asked = message.instances[0].prompt, message.parameters
    if len(prompt.encode()) > MAX_TEXT_BYTES:
        raise Refusal(400, f"The prompt has more than {MAX_TEXT_BYTES} bytes.")
    given = asked.model_fields_set
    settings: dict[str, tuple[str, Json]] = {
        f"parameters.{field}": (option, getattr(asked, option) if option in given else None)
        for field, option in _OPTIONS.items()
    }
    sorted_, file = options(model, settings), _file(asked)
    attributes = ["parameters.includeSafetyAttributes"] if asked.include_safety_attributes else []
    request = ImageRequest(
        operation="generate",
        model=name,
        prompt=prompt,
        n=asked.sample_count or min(MOST_SAMPLES, model.max_images if model else MOST_SAMPLES),
        aspect_ratio=asked.aspect_ratio if "aspect_ratio" in given else _square(model),
        resolution=asked.sample_image_size.upper() if asked.sample_image_size else None,
        output_format=file.format,
        output_quality=file.quality,
        delivery=delivery,
        timeout_s=TIMEOUT_S,
        options=sorted_.taken,
    )
    ignored = (*sorted_.ignored, *attributes, *file.ignored)
    return Wanted(request, ignored, asked.include_rai_reason)


def body(
    pictures: Sequence[Shown], filtered: str | None, files: str, *, reasons: bool
) -> dict[str, Json]:
    """The answer: a prediction for each picture, by its address below `files` where it is not in
    the answer itself, and one with the reason for those that were `filtered`, if that is wanted.
    One without any prediction is empty."""
    predictions: list[Json] = [_prediction(shown, files) for shown in pictures]
    if reasons and filtered is not None:
        predictions.append({"raiFilteredReason": filtered})
    return {"predictions": predictions} if predictions else {}


def filtered(record: Record, error: DarkroomError | None) -> str | None:
    """Why pictures are missing, if it is for what they show; None where none are."""
    if error is not None:
        return error.message
    kept = record.error
    return kept.message if kept is not None and kept.code == "partially_blocked" else None


def _prediction(shown: Shown, files: str) -> dict[str, Json]:
    kind = shown.image.content_type
    if shown.b64_json is not None:
        return {"mimeType": kind, "bytesBase64Encoded": shown.b64_json}
    return {"mimeType": kind, "fileUri": f"{files}/{file_of(shown.image.id)}"}


def _square(model: Model | None) -> str | None:
    """Imagen's own ratio, where the model has it."""
    return SQUARE if model is None or SQUARE in model.aspect_ratios else None


@dataclass(frozen=True)
class _File:
    format: str
    quality: int | None = None
    ignored: tuple[str, ...] = ()


def _file(asked: Parameters) -> _File:
    """The file that is wanted. Raises Refusal for a JPEG of quality 0, of which we make none."""
    output, path = asked.output_options, "parameters.output_options.compression_quality"
    kind = FORMATS[output.mime_type]
    if "compression_quality" not in output.model_fields_set:
        return _File(kind)
    if kind != "jpeg":
        return _File(kind, ignored=("parameters.outputOptions.compressionQuality",))
    if output.compression_quality == 0:
        raise refused([(path, invalid_value(path, "TYPE_INT32", 0))])
    return _File(kind, output.compression_quality)

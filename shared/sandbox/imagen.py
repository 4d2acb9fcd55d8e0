"""Google's Imagen on the Gemini API: `:predict`, several pictures a call, no sources, no seed.

Facts: ai.google.dev/gemini-api/docs/imagen before its shutdown of 2026-08-17, and the request
types of google-genai 1.60.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from pydantic import ValidationError

from shared.catalogue.rows import Model, Route
from shared.domain import IMAGE_TYPES, Json
from shared.sandbox import directives
from shared.sandbox.directives import Orders
from shared.sandbox.faults import declared, packed
from shared.sandbox.painter import Picture, paint
from shared.surfaces.google_json import Refusal
from shared.surfaces.imagen_messages import FORMATS, Parameters, PredictRequest

REASON = (
    "Unable to show generated images. All images were filtered out because they violated the usage "
    "guidelines. You will not be charged for blocked images. Try rephrasing the prompt. Support "
    "codes: 39322892"
)
EMPTY = ("no_image", "text_only")


@dataclass(frozen=True)
class Scene:
    """A request understood: `count` pictures of `size` pixels."""

    model: Model
    wire_model: str
    prompt: str = field(repr=False)
    parameters: Parameters
    count: int
    size: tuple[int, int]
    call: bytes


def understand(body: bytes, model: Model, route: Route, call: bytes) -> Scene:
    """Read and check a request. `call` makes every answer differ. Raises Refusal."""
    try:
        request = PredictRequest.model_validate(json.loads(body or b"{}"))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = first["loc"][-1] if first["loc"] else "body"
        raise Refusal(400, f"Invalid value for {name}: {first['msg']}.") from error
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"Invalid JSON payload received. {error}") from error
    prompt, asked = request.instances[0].prompt, request.parameters
    count = asked.sample_count or route.images_per_call
    if count > route.images_per_call:
        raise Refusal(400, f"sampleCount must be in the range of 1 to {route.images_per_call}.")
    if len(prompt) > model.prompt_limit:
        raise Refusal(400, f"The prompt has more than {model.prompt_limit // 4} tokens.")
    return Scene(model, route.wire_model, prompt, asked, count, _size(asked, model), call)


def respond(scene: Scene, orders: Orders) -> dict[str, Json]:
    """The body of the answer. One without any picture or reason is `{}`."""
    if orders.fault in EMPTY:
        return {}
    kept = {"blocked": 0, "partial": scene.count - 1}.get(orders.fault or "", scene.count)
    predictions: list[Json] = [
        _picture(scene, orders.shared_by(scene.count), number) for number in range(kept)
    ]
    filtered = kept < scene.count
    # A blocked prompt is sure to say why, so that a caller sees what the directive did.
    if filtered and (scene.parameters.include_rai_reason or kept == 0):
        predictions.append({"raiFilteredReason": REASON})
    if scene.parameters.include_safety_attributes:
        scores: Json = {"categories": ["Violence"], "scores": [0.1]}
        predictions.append({"contentType": "Positive Prompt", "safetyAttributes": scores})
    return {"predictions": predictions} if predictions else {}


def _size(asked: Parameters, model: Model) -> tuple[int, int]:
    if asked.aspect_ratio not in model.aspect_ratios:
        ratios = ", ".join(model.aspect_ratios)
        raise Refusal(400, f"Invalid aspect ratio {asked.aspect_ratio}. Supported are {ratios}.")
    resolution = (asked.sample_image_size or model.resolutions[0]).upper()
    single = len(model.resolutions) == 1
    if resolution not in model.resolutions or (single and asked.sample_image_size):
        raise Refusal(400, f"Invalid sampleImageSize {asked.sample_image_size} for this model.")
    return model.sizes[asked.aspect_ratio][resolution]


def _picture(scene: Scene, orders: Orders, number: int) -> dict[str, Json]:
    kind = FORMATS[scene.parameters.output_options.mime_type]
    said = f"{scene.wire_model}\n{scene.size}\n{number}\n{scene.prompt}".encode()
    data = paint(
        Picture(
            key=hashlib.sha256(scene.call + said).digest(),
            model=scene.wire_model,
            caption=directives.without(scene.prompt),
            size=scene.size,
            format=kind,
            min_bytes=orders.min_bytes,
        )
    )
    return {
        "mimeType": IMAGE_TYPES[declared(kind, orders)],
        "bytesBase64Encoded": packed(data, orders),
    }

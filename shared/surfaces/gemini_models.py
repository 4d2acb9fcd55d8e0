"""The catalogue as models.list and models.get show it: what one key can reach.

Shapes: answer of GET /v1beta/models, 2026-08-05; ai.google.dev/api/models, 2026-10.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import date

from shared.catalogue import Catalogue
from shared.catalogue.rows import Model
from shared.domain import Json
from shared.surfaces import Support, reachable_routes
from shared.surfaces.gemini_reply import present
from shared.surfaces.gemini_tokens import CHARACTERS_PER_TOKEN

SUPPORT: Support = {
    "GET /{version}/models": {
        "pageSize": ("honoured", "50, at most 1000"),
        "pageToken": ("honoured", ""),
    },
    "GET /{version}/models/{model}": {},
    "POST /{version}/models/{model}:countTokens": {
        "contents": ("honoured", "an estimate: four characters are a token"),
        "generateContentRequest": ("honoured", "its contents and systemInstruction"),
    },
}
METHODS = ("generateContent", "countTokens", "predict", "batchGenerateContent")
DEFAULT_OUTPUT_TOKENS = 8192


def reachable(catalogue: Catalogue, open_to: Container[str], today: date) -> list[Model]:
    """The models that answer on that day by a provider that can be reached."""
    return [model for model in catalogue.models.values() if reachable_routes(model, open_to, today)]


def resource(model: Model) -> dict[str, Json]:
    """A Model."""
    most, heat = (model.options.get(name) for name in ("max_output_tokens", "temperature"))
    thinks = "thinking_level" in model.options or "include_thoughts" in model.options
    return {
        "name": f"models/{model.id}",
        "version": "001",
        "displayName": model.name,
        "description": f"{model.name}, for pictures",
        "inputTokenLimit": model.prompt_limit // CHARACTERS_PER_TOKEN,
        "outputTokenLimit": int(most.max) if most and most.max else DEFAULT_OUTPUT_TOKENS,
        "supportedGenerationMethods": list(METHODS),
        **present({"maxTemperature": heat.max if heat else None, "thinking": thinks or None}),
    }

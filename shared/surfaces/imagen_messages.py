"""The messages of predict, Imagen's method on the Gemini API.

Facts: ai.google.dev/gemini-api/docs/imagen before its shutdown of 2026-08-17, and the request
types of google-genai 1.60.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from shared.surfaces.google_json import Message

Lower = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)
"""SDKs write words in capitals, the documents do not."""
People = Annotated[Literal["dont_allow", "allow_adult", "allow_all"], Lower]
FORMATS = {"image/png": "png", "image/jpeg": "jpeg"}


class OutputOptions(Message):
    """The file that is wanted."""

    mime_type: Literal["image/png", "image/jpeg"] = "image/png"
    compression_quality: int = Field(75, ge=0, le=100)


class Parameters(Message):
    """How many pictures, and of what kind. What Vertex AI alone takes (`seed`, `negativePrompt`,
    `addWatermark`, `enhancePrompt`) is not here."""

    sample_count: int | None = Field(None, ge=1)
    aspect_ratio: str = "1:1"
    sample_image_size: str | None = None
    person_generation: People = "allow_adult"
    safety_setting: Annotated[Literal["block_low_and_above"], Lower] = "block_low_and_above"
    include_rai_reason: bool = False
    include_safety_attributes: bool = False
    language: Annotated[Literal["auto", "en", "ja", "ko", "hi", "zh", "pt", "es"], Lower] = "auto"
    guidance_scale: float | None = Field(None, ge=0)
    output_options: OutputOptions = OutputOptions()


class Instance(Message):
    """One prompt."""

    prompt: str = Field(min_length=1)


class PredictRequest(Message):
    """The body of predict."""

    instances: list[Instance] = Field(min_length=1, max_length=1)
    parameters: Parameters = Parameters()

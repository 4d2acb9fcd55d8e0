"""The messages of generateContent and countTokens, as far as a request for pictures may use them.

Facts: ai.google.dev/api/generate-content and the types of google-genai 3.4.0, 2026-10.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from shared.surfaces.google_json import Bytes, Int32, Message, Repeated, one_of

HarmCategory = Annotated[
    str,
    one_of(
        "HarmCategory",
        "HARM_CATEGORY_UNSPECIFIED",
        "HARM_CATEGORY_HARASSMENT",
        "HARM_CATEGORY_HATE_SPEECH",
        "HARM_CATEGORY_SEXUALLY_EXPLICIT",
        "HARM_CATEGORY_DANGEROUS_CONTENT",
        "HARM_CATEGORY_CIVIC_INTEGRITY",
    ),
]
HarmBlockThreshold = Annotated[
    str,
    one_of(
        "SafetySetting.HarmBlockThreshold",
        "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
        "BLOCK_LOW_AND_ABOVE",
        "BLOCK_MEDIUM_AND_ABOVE",
        "BLOCK_ONLY_HIGH",
        "BLOCK_NONE",
        "OFF",
    ),
]
Modality = Annotated[
    str,
    one_of("GenerationConfig.Modality", "MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO", "VIDEO"),
]
ThinkingLevel = Annotated[
    str,
    one_of(
        "ThinkingConfig.ThinkingLevel",
        "THINKING_LEVEL_UNSPECIFIED",
        "MINIMAL",
        "LOW",
        "MEDIUM",
        "HIGH",
        "XHIGH",
    ),
]
MediaResolution = Annotated[
    str,
    one_of(
        "GenerationConfig.MediaResolution",
        "MEDIA_RESOLUTION_UNSPECIFIED",
        "MEDIA_RESOLUTION_LOW",
        "MEDIA_RESOLUTION_MEDIUM",
        "MEDIA_RESOLUTION_HIGH",
    ),
]


class Blob(Message):
    """Bytes in the request."""

    mime_type: str = ""
    data: Bytes = b""


class FileData(Message):
    """A file by its address."""

    mime_type: str = ""
    file_uri: str = ""
    display_name: str = ""


class Part(Message):
    """One piece of a content: exactly one of the fields named in DATA."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: object = None
    function_response: object = None
    executable_code: object = None
    code_execution_result: object = None
    tool_call: object = None
    tool_response: object = None
    thought: bool = False
    thought_signature: Bytes = b""
    video_metadata: object = None
    media_resolution: object = None
    part_metadata: object = None

    @model_validator(mode="after")
    def _one_data(self) -> Part:
        if len(data := self.data_fields()) > 1:
            raise PydanticCustomError("oneof", "{field}", {"field": data[1]})
        return self

    def data_fields(self) -> list[str]:
        """The fields of the oneof `data` that are set."""
        return [name for name in DATA if getattr(self, name) is not None]


DATA = tuple(Part.model_fields)[:9]


class Content(Message):
    """What one side said."""

    role: str = ""
    parts: Repeated[Part] = ()

    def text(self) -> str:
        """Its words, without thoughts."""
        return "\n".join(part.text for part in self.parts if part.text and not part.thought)


class ImageConfig(Message):
    """The picture's shape."""

    aspect_ratio: str | None = None
    image_size: str | None = None


class ThinkingConfig(Message):
    """How much to think, and whether to show it."""

    include_thoughts: bool = False
    thinking_budget: Int32 | None = None
    thinking_level: ThinkingLevel | None = None


class GenerationConfig(Message):
    """How to answer. The fields typed `object` have no bearing on pictures."""

    response_modalities: tuple[Modality, ...] = ()
    image_config: ImageConfig = ImageConfig()
    temperature: float | None = None
    top_p: float | None = None
    top_k: Int32 | None = None
    seed: Int32 | None = None
    candidate_count: Int32 = 1
    max_output_tokens: Int32 | None = None
    stop_sequences: tuple[str, ...] = ()
    response_mime_type: str = ""
    response_schema: object = None
    response_json_schema: object = None
    thinking_config: ThinkingConfig = ThinkingConfig()
    media_resolution: MediaResolution | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_logprobs: bool = False
    logprobs: Int32 | None = None
    speech_config: object = None
    audio_transcription_config: object = None
    enable_enhanced_civic_answers: bool = False


class SafetySetting(Message):
    """From what probability on a kind of harm is blocked."""

    category: HarmCategory
    threshold: HarmBlockThreshold = "HARM_BLOCK_THRESHOLD_UNSPECIFIED"


class SearchTypes(Message):
    """What a search looks for."""

    web_search: object = None
    image_search: object = None


class GoogleSearch(Message):
    """The search tool."""

    search_types: SearchTypes | None = None
    time_range_filter: object = None


class Tool(Message):
    """Tools that can be named; only the search ones work with pictures."""

    google_search: GoogleSearch | None = None
    google_search_retrieval: object = None
    function_declarations: object = None
    code_execution: object = None
    url_context: object = None
    computer_use: object = None
    file_search: object = None
    google_maps: object = None
    mcp_servers: object = None


class GenerateContentRequest(Message):
    """The body of generateContent and streamGenerateContent."""

    model: str = ""
    contents: Repeated[Content] = ()
    system_instruction: Content = Content()
    generation_config: GenerationConfig = GenerationConfig()
    safety_settings: Repeated[SafetySetting] = ()
    tools: Repeated[Tool] = ()
    tool_config: object = None
    cached_content: str = ""
    service_tier: str = ""
    labels: object = None
    store: bool = False
    continuation_token: object = None


class CountTokensRequest(Message):
    """The body of countTokens: contents, or a whole request."""

    contents: Repeated[Content] = ()
    generate_content_request: GenerateContentRequest | None = None

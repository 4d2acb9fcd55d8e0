"""Tokens by the rule of thumb that four characters are one, and an image what its model says.

Facts: ai.google.dev/gemini-api/docs/tokens, 2026-10.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.domain import Json
from shared.surfaces.gemini_messages import Content, CountTokensRequest
from shared.surfaces.gemini_reply import by_modality, present
from shared.surfaces.google_json import Refusal

CHARACTERS_PER_TOKEN = 4


def tokens(text: str) -> int:
    """What a text counts for, at least one."""
    return max(1, len(text) // CHARACTERS_PER_TOKEN)


def text_tokens(contents: Sequence[Content]) -> int:
    """What the words of contents count for together."""
    return tokens("".join(content.text() for content in contents))


def contents_of(request: CountTokensRequest) -> tuple[Content, ...]:
    """What is to be counted: contents, or all of a whole request. Raises Refusal."""
    whole = request.generate_content_request
    if whole and request.contents:
        raise Refusal(400, "Set either contents or generate_content_request, not both.")
    contents = (*whole.contents, whole.system_instruction) if whole else request.contents
    if not any(content.parts for content in contents):
        raise Refusal(400, "* CountTokensRequest.contents: contents is not specified\n")
    return contents


def counted(contents: Sequence[Content], source_tokens: int) -> dict[str, Json]:
    """The answer of countTokens; `source_tokens` are those of an image."""
    parts = [part for content in contents for part in content.parts]
    sources = source_tokens * sum(bool(part.inline_data or part.file_data) for part in parts)
    text = text_tokens(contents)
    details = by_modality(TEXT=text, IMAGE=sources)
    return present({"totalTokens": text + sources, "promptTokensDetails": details})

"""An answer of generateContent, and how it travels: whole, as server-sent events, as an array.

Shapes: captured answers of generateContent and streamGenerateContent, 2026-10.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from shared.domain import Json
from shared.sandbox.google_proto import answer


@dataclass(frozen=True)
class Counts:
    """Tokens, as `usageMetadata` counts them."""

    text: int = 0
    sources: int = 0
    thoughts: int = 0
    words: int = 0
    image: int = 0

    def usage(self) -> dict[str, Json]:
        """Words that come with a picture are counted, and left out of the details."""
        candidates = self.words + self.image
        prompt = self.text + self.sources
        return present(
            {
                "promptTokenCount": prompt,
                "candidatesTokenCount": candidates,
                "totalTokenCount": prompt + candidates + self.thoughts,
                "promptTokensDetails": by_modality(TEXT=self.text, IMAGE=self.sources),
                "candidatesTokensDetails": by_modality(IMAGE=self.image),
                "thoughtsTokenCount": self.thoughts,
                "serviceTier": "standard",
            }
        )


@dataclass(frozen=True)
class Reply:
    """What the model says. `reason` is the finishReason; `blocked` the reason why the prompt was
    not even tried, and then nothing else is set; `parts` is None for an empty content."""

    model: str
    response_id: str
    counts: Counts
    parts: tuple[dict[str, Json], ...] | None = field(default=None, repr=False)
    reason: str = ""
    message: str = ""
    blocked: str = ""
    extra: Mapping[str, Json] = field(default_factory=dict)

    def body(self) -> dict[str, Json]:
        """The whole answer."""
        if self.blocked:
            return self._frame({"promptFeedback": {"blockReason": self.blocked}}, self.counts)
        content: Json = {} if self.parts is None else {"parts": self.parts, "role": "model"}
        candidate: dict[str, Json] = {"content": content, "finishReason": self.reason, "index": 0}
        candidate |= present({"finishMessage": self.message}) | dict(self.extra)
        return self._frame({"candidates": [candidate]}, self.counts)

    def chunks(self) -> list[dict[str, Json]]:
        """The answer part by part: only the last chunk says how it ended and what it cost."""
        earlier = (self.parts or ())[:-1]
        asked = Counts(text=self.counts.text, sources=self.counts.sources)
        frames = [
            self._frame(
                {"candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}]}, asked
            )
            for part in earlier
        ]
        last = Reply(**{**vars(self), "parts": self.parts[-1:] if self.parts else self.parts})
        return [*frames, last.body()]

    def _frame(self, said: dict[str, Json], counts: Counts) -> dict[str, Json]:
        usage = counts.usage()
        return {
            **said,
            "usageMetadata": usage,
            "modelVersion": self.model,
            "responseId": self.response_id,
        }


def present(fields: Mapping[str, Json]) -> dict[str, Json]:
    """The fields that are not empty: Google leaves out what is zero."""
    return {name: value for name, value in fields.items() if value not in (0, "", [], None)}


def by_modality(**counts: int) -> list[Json]:
    """Token counts by modality, as Google lists them."""
    return [{"modality": name, "tokenCount": count} for name, count in counts.items() if count]


def whole(reply: Reply) -> httpx.Response:
    """The answer of generateContent."""
    return answer(reply.body())


def events(reply: Reply) -> httpx.Response:
    """The answer of streamGenerateContent?alt=sse. There is no closing event."""
    frames = (json.dumps(chunk, ensure_ascii=False).encode() for chunk in reply.chunks())
    return httpx.Response(
        200,
        headers={"content-type": "text/event-stream", "content-disposition": "attachment"},
        content=b"".join(b"data: " + frame + b"\r\n\r\n" for frame in frames),
    )


def array(reply: Reply) -> httpx.Response:
    """The answer of streamGenerateContent without alt=sse: one growing JSON array."""
    return answer(list(reply.chunks()))

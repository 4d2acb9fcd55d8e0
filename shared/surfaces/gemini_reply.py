"""An answer of generateContent, whole and in the chunks of a stream.

Shapes: captured answers of generateContent and streamGenerateContent, 2026-10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from shared.domain import Json


@dataclass(frozen=True)
class Counts:
    """Tokens, as `usageMetadata` counts them; those of a batch are of no tier."""

    text: int = 0
    sources: int = 0
    thoughts: int = 0
    words: int = 0
    image: int = 0
    tier: str = "standard"

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
                "serviceTier": self.tier,
            }
        )


@dataclass(frozen=True)
class Candidate:
    """One of the answers. `reason` is the finishReason; `parts` is None for an empty content."""

    parts: tuple[dict[str, Json], ...] | None = field(default=None, repr=False)
    reason: str = ""
    message: str = ""
    extra: Mapping[str, Json] = field(default_factory=dict)

    def body(self, index: int) -> dict[str, Json]:
        """The candidate as JSON. A zero index is sent all the same."""
        content: Json = {} if self.parts is None else {"parts": self.parts, "role": "model"}
        ended = present({"finishReason": self.reason, "finishMessage": self.message})
        return {"content": content, **ended, "index": index, **self.extra}


@dataclass(frozen=True)
class Reply:
    """What the model says. `blocked` is the reason why the prompt was not even tried, and then
    there are no candidates."""

    model: str
    response_id: str
    counts: Counts
    candidates: tuple[Candidate, ...] = ()
    blocked: str = ""

    def body(self) -> dict[str, Json]:
        """The whole answer."""
        if self.blocked:
            return self._frame({"promptFeedback": {"blockReason": self.blocked}}, self.counts)
        bodies: list[Json] = [c.body(index) for index, c in enumerate(self.candidates)]
        return self._frame({"candidates": bodies} if bodies else {}, self.counts)

    def chunks(self) -> list[dict[str, Json]]:
        """The answer part by part: a candidate's last chunk says how it ended, and the last of all
        what it cost."""
        if not self.candidates:
            return [self.body()]
        asked = Counts(text=self.counts.text, sources=self.counts.sources)
        pieces = [
            piece.body(index)
            for index, candidate in enumerate(self.candidates)
            for piece in _pieces(candidate)
        ]
        frames = [self._frame({"candidates": [piece]}, asked) for piece in pieces[:-1]]
        return [*frames, self._frame({"candidates": pieces[-1:]}, self.counts)]

    def _frame(self, said: dict[str, Json], counts: Counts) -> dict[str, Json]:
        return {
            **said,
            "usageMetadata": counts.usage(),
            "modelVersion": self.model,
            "responseId": self.response_id,
        }


def _pieces(candidate: Candidate) -> list[Candidate]:
    """A candidate part by part."""
    parts = candidate.parts or ()
    earlier = [Candidate(parts=(part,)) for part in parts[:-1]]
    return [*earlier, replace(candidate, parts=parts[-1:] if parts else candidate.parts)]


def present(fields: Mapping[str, Json]) -> dict[str, Json]:
    """The fields that are not empty: Google leaves out what is zero."""
    return {name: value for name, value in fields.items() if value not in (0, "", [], None)}


def by_modality(**counts: int) -> list[Json]:
    """Token counts by modality, as Google lists them."""
    return [{"modality": name, "tokenCount": count} for name, count in counts.items() if count]

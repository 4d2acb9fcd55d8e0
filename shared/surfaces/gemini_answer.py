"""Records → answers of generateContent, whole and as a stream. A refusal of the content is an
answer too, with status 200: it says in a finishReason or a blockReason why there is no picture.

Shapes: captured answers of generateContent and streamGenerateContent, and google-genai 3.4.0
(types.py, FinishReason, BlockedReason), 2026-10.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from pydantic_core import to_json

from shared.domain import Json, Problem, Usage
from shared.errors import ContentBlocked, DarkroomError, NoImage
from shared.providers import Inline
from shared.surfaces import Shown
from shared.surfaces.gemini_errors import Place, refusal_of
from shared.surfaces.gemini_files import file_of
from shared.surfaces.gemini_reply import Candidate, Counts, Reply
from shared.surfaces.gemini_turns import Signer

if TYPE_CHECKING:
    # What the pipeline returns; this module needs no pipeline.
    from shared.work import Answer

BLOCK_REASONS = ("SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY")
FINISH_REASONS = (
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_OTHER",
    "NO_IMAGE",
    "IMAGE_RECITATION",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "MALFORMED_RESPONSE",
    "ESCALATION",
)
"""Those of an answer that came to nothing."""


class Made(Protocol):
    """What an answer tells of: a request's record, or what became of a batch's item. `id` is the
    request's, or the item's as if it were one; `n` pictures were asked for."""

    @property
    def id(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def n(self) -> int: ...
    @property
    def text(self) -> str | None: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def error(self) -> Problem | None: ...


@dataclass(frozen=True)
class Rendering:
    """What an answer depends on beside what was made: whose it is, whether words are wanted, and
    under which address of ours (`root`, `version`) the pictures lie."""

    signer: Signer
    root: str
    version: str
    words: bool = True

    def of(self, made: Made, pictures: Sequence[Shown], error: DarkroomError | None) -> Reply:
        """The answer to a request that ended with these pictures, or with an error of the kind
        that `is_answer` says is none to Google."""
        reply = Reply(made.model, made.id.removeprefix("req_"), counts(made.usage))
        if error is not None:
            return _without_picture(reply, error)
        return replace(reply, candidates=tuple(self._candidates(made, pictures)))

    def _candidates(self, made: Made, pictures: Sequence[Shown]) -> Iterable[Candidate]:
        """One for each picture that was asked for, or one with all that came of one."""
        parts = [self._picture(made, n, shown) for n, shown in enumerate(pictures)]
        grouped = [parts] if made.n == 1 else [[part] for part in parts]
        if made.text and self.words and pictures:
            signature = self.signer.sign(made.id, 0, pictures[0].image)
            grouped[0] = [{"text": made.text, "thoughtSignature": signature}, *grouped[0]]
        for group in grouped:
            yield Candidate(tuple(group), "STOP")
        if len(pictures) < made.n:
            filtered = made.error is not None and made.error.code == "partially_blocked"
            message = made.error.message if made.error else ""
            yield Candidate(reason="IMAGE_SAFETY" if filtered else "OTHER", message=message)

    def _picture(self, made: Made, number: int, shown: Shown) -> dict[str, Json]:
        image = shown.image
        signature = self.signer.sign(made.id, number, image)
        if shown.b64_json is not None:
            data: Json = {"mimeType": image.content_type, "data": shown.b64_json}
            return {"inlineData": data, "thoughtSignature": signature}
        uri = f"{self.root}/{self.version}/files/{file_of(image.id)}"
        file: Json = {"mimeType": image.content_type, "fileUri": uri}
        return {"fileData": file, "thoughtSignature": signature}


def is_answer(error: DarkroomError) -> bool:
    """Whether an error is none to Google but an answer without a picture."""
    spent = error.details.get("reason") == "MAX_TOKENS"
    return spent or isinstance(error, ContentBlocked | NoImage)


def counts(usage: Usage) -> Counts:
    """What was counted, by kind. Zeros where a provider counts nothing."""
    image = usage.image_tokens
    return Counts(
        text=max(0, usage.input_tokens - usage.source_tokens),
        sources=usage.source_tokens,
        thoughts=usage.thought_tokens,
        words=max(0, usage.output_tokens - usage.thought_tokens - image),
        image=image,
    )


def not_begun(model: str, response_id: str, error: ContentBlocked) -> Reply:
    """The answer to a prompt that this installation makes no pictures of."""
    said = "BLOCKLIST" if error.details.get("blocklist") else _reason(error, BLOCK_REASONS)
    return Reply(model, response_id, Counts(), blocked=said or "PROHIBITED_CONTENT")


def _without_picture(reply: Reply, error: DarkroomError) -> Reply:
    if isinstance(error, ContentBlocked) and error.param == "prompt":
        blocked = _reason(error, BLOCK_REASONS) or "PROHIBITED_CONTENT"
        return replace(reply, blocked=blocked)
    text = error.details.get("text")
    if isinstance(error, NoImage) and isinstance(text, str) and text:
        candidate = Candidate(({"text": text},), "STOP")
    else:
        default = "NO_IMAGE" if isinstance(error, NoImage) else "IMAGE_SAFETY"
        reason = _reason(error, FINISH_REASONS) or default
        candidate = Candidate(reason=reason, message=error.message)
    return replace(reply, candidates=(candidate,))


def _reason(error: DarkroomError, known: Sequence[str]) -> str | None:
    said = error.details.get("reason")
    return said if isinstance(said, str) and said in known else None


@dataclass(frozen=True)
class Stream:
    """streamGenerateContent: `events` (alt=sse), or one growing array."""

    rendering: Rendering
    place: Place
    events: bool

    @property
    def media_type(self) -> str:
        """What the body is."""
        return "text/event-stream" if self.events else "application/json; charset=UTF-8"

    def waiting(self) -> bytes:
        """Empty lines. To the SDKs a comment would be broken JSON, and a chunk without a candidate
        the end of a chat's history."""
        return b"\r\n\r\n"

    def sketch(self, picture: Inline) -> bytes:
        """Google shows none."""
        return b""

    def refusal(self, answer: Answer) -> DarkroomError | None:
        """Every error but those that are answers."""
        error = answer.error
        return None if error is None or is_answer(error) else error

    def ended(self, answer: Answer, pictures: Sequence[Shown]) -> Iterable[bytes]:
        """The answer part by part; events end with the connection."""
        return self.whole(self.rendering.of(answer.record, pictures, answer.error))

    def whole(self, reply: Reply) -> Iterable[bytes]:
        """An answer in its chunks."""
        chunks = [to_json(chunk) for chunk in reply.chunks()]
        for number, chunk in enumerate(chunks):
            if self.events:
                yield b"data: " + chunk + b"\r\n\r\n"
            else:
                yield (b"\n,\n" if number else b"[") + chunk
        if not self.events:
            yield b"]"

    def failed(self, error: DarkroomError) -> bytes:
        """The bare error between events, which is how Google breaks off; the array's only entry."""
        body: Json = refusal_of(error, self.place).body()
        return to_json(body if self.events else [body])

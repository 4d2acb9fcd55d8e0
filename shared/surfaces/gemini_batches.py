"""Batches of generateContent as they are asked for: in a body or in a file, each line as an item.
What is answered is in gemini_operations.

Facts: ai.google.dev/gemini-api/docs/batch-api and google-genai 3.4.0 (batches.py), 2026-10.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field
from pydantic.alias_generators import to_camel
from pydantic_core import from_json, to_json

from shared.batch_items import Item
from shared.body import Metadata
from shared.catalogue.rows import Model
from shared.domain import Json
from shared.errors import InvalidRequest
from shared.surfaces import Support, gemini_generate
from shared.surfaces.gemini_errors import Place, field_of
from shared.surfaces.gemini_turns import Signer
from shared.surfaces.google_json import (
    MOST_VIOLATIONS,
    Message,
    Refusal,
    Repeated,
    cut,
    detail,
    refused,
    validated,
)

SUPPORT: Support = {
    "POST /{version}/models/{model}:batchGenerateContent": {
        "batch.displayName": ("honoured", "up to 512 characters"),
        "batch.model": ("honoured", "the one of the path, or nothing"),
        "batch.inputConfig.requests.requests.request": (
            "honoured",
            "as in :generateContent; one that cannot be done refuses the batch, nothing is spent",
        ),
        "batch.inputConfig.requests.requests.metadata": (
            "honoured",
            "given back with the answer, up to 128 KiB beside keys; keys are unique",
        ),
        "batch.inputConfig.fileName": (
            "honoured",
            "a file sent to /upload, each line with a request and a key, else its place from 0",
        ),
        "batch.webhookConfig.uris": ("honoured", "one; it gets our notice: docs/webhooks.md"),
        "batch.webhookConfig.userMetadata": ("honoured", "up to 16 texts, in that notice"),
        "batch.priority": ("ignored", "batches wait for nothing but their provider"),
        "batch.name": ("ignored", "the batch gets a name here"),
    },
    "GET /{version}/batches": {
        "pageSize": ("honoured", "50, at most 100"),
        "pageToken": ("honoured", ""),
    },
    "GET /{version}/batches/{batch}": {
        "output.inlinedResponses": (
            "honoured",
            "for requests of a body whose pictures have up to 20 MB; else output.responsesFile",
        ),
    },
    "POST /{version}/batches/{batch}:cancel": {},
    "DELETE /{version}/batches/{batch}": {},
}
SURFACE = "gemini"
MAX_NAME = 512
MAX_KEY = 255
SIGNED = (b"thoughtSignature", b"thought_signature")
"""What stands in every line that goes on from an answer of ours."""
_ENTRY_BYTES = 16
_CONFIG = "batch.input_config"
MAX_SAID_BYTES = 128 * 2**10
"""Of metadata beyond keys: it is kept with the batch's state, which is written often."""
_MODALITIES = "generationConfig.responseModalities"


class InlinedRequest(Message):
    """A request in the body, not looked into yet."""

    request: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, Any] | None = None


class InlinedRequests(Message):
    """The requests in the body."""

    requests: Repeated[InlinedRequest] = ()


class InputConfig(Message):
    """Where the requests are."""

    requests: InlinedRequests | None = None
    file_name: str = ""


class WebhookConfig(Message):
    """Who is told of the end."""

    uris: tuple[str, ...] = ()
    user_metadata: Metadata = Field(default_factory=dict)


class BatchMessage(Message):
    """A batch to be created."""

    name: str = ""
    model: str = ""
    display_name: str = ""
    input_config: InputConfig = InputConfig()
    priority: int = 0
    webhook_config: WebhookConfig = WebhookConfig()


class CreateMessage(Message):
    """The body of batchGenerateContent."""

    batch: BatchMessage = BatchMessage()


class LineMessage(InlinedRequest):
    """A line of a file, and a request of the body as one."""

    key: str = ""


def created(fields: object, version: str, name: str) -> BatchMessage:
    """A body for the model of that name, checked but for its requests. Raises Refusal."""
    asked = validated(CreateMessage, fields, version).batch
    where, uris = asked.input_config, asked.webhook_config.uris
    if (where.requests is None) == (not where.file_name):
        raise _wrong(_CONFIG, "exactly one of requests and file_name has to be set.")
    if asked.model.removeprefix("models/") not in ("", name):
        said = f"The batch is for {cut(asked.model)}, and the address for models/{cut(name)}."
        raise Refusal(400, said)
    if len(asked.display_name) > MAX_NAME:
        raise _wrong("batch.display_name", f"at most {MAX_NAME} characters are taken.")
    if len(uris) > 1:
        raise _wrong("batch.webhook_config.uris", "one is told here, not several.")
    return asked


def written(asked: BatchMessage) -> Iterator[bytes]:
    """The requests of a body as a file would hold them."""
    for inlined in asked.input_config.requests.requests if asked.input_config.requests else ():
        line: dict[str, Any] = {"request": inlined.request}
        if inlined.metadata is not None:
            line["metadata"] = inlined.metadata
        yield to_json(line) + b"\n"


@dataclass(frozen=True)
class Reading:
    """What the lines of a batch are read against: the model of its path, None for "auto", and its
    name there."""

    model: Model | None
    name: str
    version: str
    signer: Signer


class Lines:
    """Understands the lines of one batch, one after another. When all are read, `wire` is what has
    to be said of the batch later, and `ignored` what of it was passed over. `continued` are the
    requests of ours that can be gone on from, to be known before the line that does."""

    def __init__(self, asked: BatchMessage, reading: Reading) -> None:
        self._reading = reading
        self._count = 0
        self._silent = 0
        self._ignored = {
            f"batch.{to_camel(name)}": None
            for name in ("priority", "name")
            if name in asked.model_fields_set
        }
        where = asked.input_config
        self._inline = where.requests is not None
        self.continued: set[str] = set()
        self.wire: dict[str, Json] = {
            "model": reading.name,
            "display_name": asked.display_name,
            **({"inline": True} if self._inline else {"file_name": where.file_name}),
        }
        self._said: dict[str, Json] = {}
        self._unsaid: list[list[int]] = []
        self._said_bytes = 0
        if self._inline:
            self.wire |= {"said": self._said, "unsaid": self._unsaid}

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of the fields passed over. Words come with all answers, or with none."""
        mixed = 0 < self._silent < self._count
        return (*self._ignored, *((_MODALITIES,) if mixed else ()))

    def parse(self, line: bytes) -> Item:
        """A line as an item. Raises InvalidRequest."""
        try:
            return self._item(line)
        except Refusal as refusal:
            raise InvalidRequest(refusal.message.strip()) from refusal

    def goes_on_from(self, line: bytes) -> str | None:
        """The request of ours that a line goes on from, if it could."""
        try:
            last = self._call(self._message(line)).said.last
        except Refusal:
            return None
        return last.request_id if last and last.number == 0 else None

    def _item(self, line: bytes) -> Item:
        place, self._count = self._count, self._count + 1
        message, reading = self._message(line), self._reading
        call = self._call(message)
        last = call.said.last
        continued = last is not None and last.number == 0 and last.request_id in self.continued
        wanted = gemini_generate.wanted(
            call, reading.model, reading.name, "b64_json", continued=continued
        )
        self._ignored |= dict.fromkeys(wanted.ignored)
        self._silent += not wanted.words
        self.wire["words"] = self._silent < self._count
        key = _key(message, place)
        self._remember(place, message.metadata, key)
        return Item(key, wanted.request)

    def _remember(self, place: int, metadata: dict[str, Any] | None, key: str) -> None:
        """Note what a request's metadata is, where it is not just its key: by its place, and by
        first and last place for those that have none. Raises Refusal."""
        if not self._inline:
            self._ignored |= {"metadata": None} if set(metadata or {}) - {"key"} else {}
            return
        if metadata == {"key": key}:
            return
        if metadata is not None:
            self._said[str(place)] = metadata
            self._said_bytes += len(to_json(metadata))
        elif self._unsaid and self._unsaid[-1][1] == place - 1:
            self._unsaid[-1][1] = place
            return
        else:
            self._unsaid.append([place, place])
        self._said_bytes += _ENTRY_BYTES
        if self._said_bytes > MAX_SAID_BYTES:
            most = f"at most {MAX_SAID_BYTES} bytes beside keys are kept for a batch."
            raise _wrong(f"{_CONFIG}.requests.requests.metadata", most)

    def _message(self, line: bytes) -> LineMessage:
        try:
            fields = from_json(line, allow_inf_nan=False)
        except ValueError as error:
            raise Refusal(400, f"Invalid JSON payload received. {error}") from error
        return validated(LineMessage, fields, self._reading.version)

    def _call(self, message: LineMessage) -> gemini_generate.Call:
        reading = self._reading
        return gemini_generate.read(message.request, reading.version, reading.name, reading.signer)


def _key(message: LineMessage, place: int) -> str:
    """What an item is called: as its caller says, else by its place."""
    said = message.key or (message.metadata or {}).get("key")
    key = said if isinstance(said, str) and said else str(place)
    if len(key) > MAX_KEY:
        raise Refusal(400, f"A key has at most {MAX_KEY} characters.")
    return key


def bad_lines(told: Mapping[str, Any], place: Place, *, inline: bool) -> Refusal:
    """The error for a batch with lines that cannot be done, by the `details` of BadItems: it names
    the first of them. Google takes such a batch, and fails those."""
    faults: list[tuple[str, str]] = []
    for line in list(told.get("lines", ()))[:MOST_VIOLATIONS]:
        number, param, message = line["line"], line["param"], line["message"]
        if param == "custom_id":
            param, message = "key", "This key is there twice."
        where = f"{_CONFIG}.requests.requests[{number - 1}]" if inline else f"line {number}"
        field = f".request.{field_of(param, place)}" if param and param != "key" else ""
        faults.append((f"{where}{field}" if inline else where, f"{where}: {message}"))
    if not faults:
        return _wrong(_CONFIG, "there are no requests.")
    more = told.get("bad", 0) - len(faults)
    refusal = refused(faults)
    if more > 0:
        refusal.message += f"\nand {more} more."
    return refusal


def _wrong(path: str, rule: str) -> Refusal:
    said = f"* BatchGenerateContentRequest.{path}: {rule}\n"
    listed: list[Json] = [{"field": path, "description": rule}]
    return Refusal(400, said, [detail("BadRequest", fieldViolations=listed)])

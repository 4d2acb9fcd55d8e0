"""Google's batch API: many generateContent requests of one model, in a file or in the body, and
their answers, in a file that is made while it is read or in the batch itself.

Facts: ai.google.dev/gemini-api/docs/batch-api, recorded batches of 2025-07 and 2026-01 and
google-genai 3.4.0, 2026-10. What a failed or expired batch says, nobody has published.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import httpx
from pydantic_core import from_json

from shared.catalogue.rows import Model, Route
from shared.domain import Json
from shared.sandbox import batch as batches
from shared.sandbox import directives
from shared.sandbox.batch import Batch, Readings, Register, Standing
from shared.sandbox.directives import LARGEST, BadDirective
from shared.sandbox.google_batch_items import Items, packed
from shared.sandbox.google_files import KEPT_FOR, PROVIDER, Files
from shared.sandbox.google_proto import answer
from shared.sandbox.shelf import Shelf
from shared.surfaces.gemini_errors import unknown_path
from shared.surfaces.gemini_files import Resource
from shared.surfaces.gemini_messages import GenerateContentRequest
from shared.surfaces.gemini_reply import present
from shared.surfaces.google_json import CODES, Message, Refusal, Repeated, page, read

METHOD = "batchGenerateContent"
MOST_RUNNING = 100
LARGEST_BODY_BYTES = 20_000_000
PACKAGE = "type.googleapis.com/google.ai.generativelanguage.v1main"
STATES = {"validating": "PENDING", "running": "RUNNING", "cancelling": "RUNNING"}
JSONL = "application/jsonl"


class InlinedRequest(Message):
    """A request in the body."""

    request: GenerateContentRequest = GenerateContentRequest()
    metadata: object = None


class InlinedRequests(Message):
    """Requests in the body."""

    requests: Repeated[InlinedRequest] = ()


class InputConfig(Message):
    """Where the requests are: exactly one of the two."""

    requests: InlinedRequests | None = None
    file_name: str = ""


class BatchMessage(Message):
    """A batch to be created. Nobody is told by `webhook_config` that it is done."""

    name: str = ""
    model: str = ""
    display_name: str = ""
    input_config: InputConfig = InputConfig()
    priority: int = 0
    webhook_config: object = None


class CreateMessage(Message):
    """The body of batchGenerateContent."""

    batch: BatchMessage = BatchMessage()


class GoogleBatches:
    """The batches of one sandbox, on a shelf, and their files of results."""

    def __init__(
        self,
        routes: Sequence[tuple[Model, Route]],
        clock: Callable[[], datetime],
        files: Files,
        shelf: Shelf,
    ) -> None:
        self._clock = clock
        self._files = files
        self._register = Register(shelf, clock, PROVIDER)
        self._readings = Readings()
        self._items = Items({route.wire_model: (model, route) for model, route in routes}, files)

    def create(self, request: httpx.Request, version: str, wire_model: str) -> httpx.Response:
        """Put a new batch on record."""
        asked = read(CreateMessage, request.content, version).batch
        where, inline = asked.input_config, asked.input_config.requests is not None
        if inline == bool(where.file_name):
            said = "input_config has to have exactly one of requests and file_name."
            raise Refusal(400, f"* GenerateContentBatch.input_config: {said}")
        if inline and len(request.content) >= LARGEST_BODY_BYTES:
            raise Refusal(400, f"Request payload size exceeds {LARGEST_BODY_BYTES} bytes.")
        try:
            named = directives.parse(asked.display_name)
        except BadDirective as error:
            raise Refusal(400, str(error)) from error
        self._check_room()
        if inline:
            data = _as_lines(request.content)
            content = self._files.contents.keep(data)
        else:
            file = self._files.find(where.file_name)
            data, content = file.data, file.content
        about: dict[str, Json] = {
            "model": wire_model,
            "version": version,
            "display_name": asked.display_name,
            "file_name": where.file_name,
        }
        now = self._clock()
        draft = Batch(batches.stamp(now, 36), now, 0, "", "", content, about)
        made = self._items.judged(draft, data, named)
        if not made.fates:
            raise Refusal(400, "* GenerateContentBatch.input_config: there are no requests.")
        self._files.contents.use(content, made.id)
        self._register.add(made)
        return answer(_operation(made, self._register.standing(made), self._output(made)))

    def handle(self, request: httpx.Request, rest: str) -> httpx.Response:
        """Answer a call for `batches` or for one of them."""
        if rest == "batches" and request.method == "GET":
            return self._listed(request)
        path, _, verb = rest.partition(":")
        batch = self._register.find(path.removeprefix("batches/"))
        if batch is None or (request.method, verb) not in (
            ("GET", ""),
            ("POST", "cancel"),
            ("DELETE", ""),
        ):
            raise unknown_path()
        standing = self._register.standing(batch)
        if verb == "cancel":
            if not standing.ended:
                self._register.cancel(batch)
            return answer({})
        if request.method == "DELETE":
            self._delete(batch)
            return answer({})
        if standing.phase == "succeeded" and not batch.about["file_name"]:
            return self._with_answers(batch, standing)
        return answer(_operation(batch, standing, self._output(batch)))

    def results(self, name: str) -> Batch | None:
        """The batch whose file of results has this name, as long as the file is there."""
        file_id = name.removeprefix("files/")
        batch = self._register.find(file_id.removeprefix("batch-")) if file_id != name else None
        if batch is None or name != _file_of(batch) or not batch.about["file_name"]:
            return None
        standing = self._register.standing(batch)
        expired = standing.since + KEPT_FOR <= self._clock()
        if standing.phase != "succeeded" or expired or self._register.forgot_results(batch.id):
            return None
        return batch

    def resource(self, batch: Batch, request: httpx.Request, version: str) -> dict[str, Json]:
        """The file of results as JSON. Its size is not told before all of it was made."""
        root = str(request.url).partition(f"/{version}/")[0].removesuffix("/download")
        name, made_at = _file_of(batch), self._register.standing(batch).since
        size = self._readings.of(batch.id, len(_kept(batch))).size
        body = Resource(
            name=name,
            display_name="",
            mime_type=JSONL,
            size_bytes=size or 0,
            sha256="",
            created_at=made_at,
            expires_at=made_at + KEPT_FOR,
            uri=f"{root}/{version}/{name}",
            download_uri=f"{root}/download/{version}/{name}:download?alt=media",
        ).body()
        return body if size else {k: v for k, v in body.items() if k != "sizeBytes"}

    def generated(
        self, request: httpx.Request, version: str
    ) -> list[tuple[datetime, dict[str, Json]]]:
        """Every file of results, and when it was made."""
        found = (self.results(f"files/batch-{batch_id}") for batch_id in self._register.newest())
        return [
            (self._register.standing(batch).since, self.resource(batch, request, version))
            for batch in found
            if batch is not None
        ]

    def download(self, batch: Batch, request: httpx.Request) -> httpx.Response:
        """The results, each line made as it is read."""
        data = self._files.contents.read(batch.content)
        if data is None:
            raise Refusal(404, "Requested entity was not found.")
        spans, order = batches.requests(data), batches.shuffled(batch, _kept(batch))

        def line(index: int) -> bytes:
            _, start, end = spans[index]
            return self._items.line(batch, data[start:end], index)

        lengths = self._readings.of(batch.id, len(order))
        make = batches.lines(batch, order, line)
        return batches.download(request, lengths, make, {"content-type": JSONL})

    def forget(self, batch: Batch) -> httpx.Response:
        """Delete the file of results."""
        self._register.forget_results(batch.id)
        return answer({})

    def _check_room(self) -> None:
        """Raise Refusal if too many batches are running. None of those from long ago is."""
        newest = self._register.newest()
        if len(newest) < MOST_RUNNING:
            return
        oldest = self._clock() - timedelta(seconds=LARGEST["slow"])
        running = 0
        for batch_id in newest:
            batch = self._register.find(batch_id)
            if batch is not None and batch.created_at < oldest:
                return
            running += batch is not None and not self._register.standing(batch).ended
            if running >= MOST_RUNNING:
                raise Refusal(429, "Resource has been exhausted (e.g. check quota).")

    def _with_answers(self, batch: Batch, standing: Standing) -> httpx.Response:
        """The batch with its results in it, twice, as Google sends them: in the order of the
        requests, and made while they are sent."""
        data = self._files.contents.read(batch.content)
        if data is None:
            raise Refusal(404, "Requested entity was not found.")
        here = secrets.token_hex(16)
        operation = _operation(batch, standing, {"inlinedResponses": {"inlinedResponses": here}})
        around = packed(operation).split(packed(here))

        def answers() -> Iterator[bytes]:
            comma = b""
            for index, (_, start, end) in enumerate(batches.requests(data)):
                if batch.fates[index] != batches.LOST:
                    yield comma + packed(self._items.result(batch, data[start:end], index))
                    comma = b","

        def body() -> Iterator[bytes]:
            for piece in around[:-1]:
                yield piece + b"["
                yield from answers()
                yield b"]"
            yield around[-1]

        kind = {"content-type": "application/json; charset=UTF-8"}
        return httpx.Response(200, headers=kind, stream=batches.Pieces(body()))

    def _listed(self, request: httpx.Request) -> httpx.Response:
        """A page of batches, newest first. Answers are in none of them."""
        ids: list[Json] = list(self._register.newest())
        body = page(request.url.params, "operations", ids, default=50, most=1000)
        chosen = body.get("operations")
        if isinstance(chosen, list):
            found = [self._register.find(str(batch_id)) for batch_id in chosen]
            body["operations"] = [
                _operation(batch, self._register.standing(batch), self._output(batch))
                for batch in found
                if batch is not None
            ]
        return answer(body)

    def _output(self, batch: Batch) -> dict[str, Json]:
        return {"responsesFile": _file_of(batch)} if batch.about["file_name"] else {}

    def _delete(self, batch: Batch) -> None:
        self._register.delete(batch)
        self._files.contents.release(batch.content, batch.id)
        name = str(batch.about["file_name"])
        try:
            kept = bool(name) and self._files.about(name).content == batch.content
        except Refusal:
            kept = False
        if not kept:
            self._files.contents.drop(batch.content)


def _as_lines(body: bytes) -> bytes:
    """The requests of a body, which has been found good, as a file would hold them."""
    step = from_json(body)
    for name, other in (
        ("batch", "batch"),
        ("inputConfig", "input_config"),
        ("requests", "requests"),
        ("requests", "requests"),
    ):
        step = step.get(name) or step.get(other) or {}
    listed = step if isinstance(step, list) else [step]
    return b"\n".join(packed(item) for item in listed if item)


def _operation(batch: Batch, standing: Standing, output: Mapping[str, Json]) -> dict[str, Json]:
    """A batch as JSON. What it brought is there once it succeeded."""
    name, succeeded = f"batches/{batch.id}", standing.phase == "succeeded"
    state = STATES.get(standing.phase, standing.phase.upper())
    if standing.phase == "cancelling" and not standing.done:
        state = STATES["validating"]
    file_name = batch.about["file_name"]
    metadata: dict[str, Json] = {
        "@type": f"{PACKAGE}.GenerateContentBatch",
        "model": f"models/{batch.about['model']}",
        "displayName": batch.about["display_name"],
        "inputConfig": {"fileName": file_name} if file_name else None,
        "output": dict(output) if succeeded and output else None,
        "createTime": _time(batch.created_at),
        "endTime": _time(standing.since) if standing.ended else None,
        "updateTime": _time(standing.since),
        "batchStats": _stats(batch, standing),
        "state": f"BATCH_STATE_{state}",
        "name": name,
    }
    body: dict[str, Json] = {"name": name, "metadata": present(metadata)}
    if standing.ended:
        body["done"] = True
    if standing.phase == "failed":
        body["error"] = {"code": CODES["INVALID_ARGUMENT"], "message": "The batch is not valid."}
    if standing.phase == "cancelled":
        body["error"] = {"code": CODES["CANCELLED"], "message": "The batch was cancelled."}
    if succeeded and output:
        body["response"] = {"@type": f"{PACKAGE}.GenerateContentBatchOutput", **output}
    return body


def _stats(batch: Batch, standing: Standing) -> dict[str, Json]:
    failed = batch.fates[: standing.done].count(batches.BAD)
    counts = {
        "requestCount": len(batch.fates),
        "successfulRequestCount": standing.done - failed,
        "failedRequestCount": failed,
        "pendingRequestCount": len(batch.fates) - standing.done,
    }
    return {name: str(count) for name, count in counts.items() if count}


def _kept(batch: Batch) -> list[int]:
    """The requests that have a line of results."""
    return [index for index, fate in enumerate(batch.fates) if fate != batches.LOST]


def _file_of(batch: Batch) -> str:
    return f"files/batch-{batch.id}"


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

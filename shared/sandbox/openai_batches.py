"""OpenAI's batch API: many requests for pictures in a file, and files of answers and of errors that
are made while they are read.

Facts: recorded batches of 2025-03 and 2026-08, the types of openai 3.52 and its guide to batches,
2026-11. Codes of errors are as quoted in public issues; other wordings are like those of other
calls.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import httpx

from shared.domain import Json
from shared.sandbox import batch as batches
from shared.sandbox import directives, openai_files, openai_wire
from shared.sandbox.batch import Batch, Readings, Register, Standing
from shared.sandbox.directives import BadDirective, Directive
from shared.sandbox.openai_batch_items import ENDPOINTS, Items, Understand
from shared.sandbox.openai_files import LONGEST_S, PROVIDER, File, Files
from shared.sandbox.openai_wire import Refusal, answer
from shared.sandbox.shelf import Shelf

WINDOW_S = 86_400
FINALIZING = 0.9
"""The share of its time after which a batch is being finalized."""
KINDS = {"output": "O", "error": "E"}
"""The files of results → how their ids begin."""
STATUSES = {"running": "in_progress", "succeeded": "completed"}
MOST_PAIRS, LONGEST_KEY, LONGEST_VALUE = 16, 64, 512
LINE_BYTES = {"output": 2_000_000, "error": 500}
"""What a line is taken to have as long as a file of results was not read."""


@dataclass(frozen=True)
class Results:
    """A file of results: which requests stand in it, in which order."""

    batch: Batch
    kind: str
    made_at: datetime
    order: tuple[int, ...]

    @property
    def id(self) -> str:
        """The id of the file."""
        return _file_of(self.batch, self.kind)


class OpenAIBatches:
    """The batches of one sandbox, on a shelf, and their files of results."""

    def __init__(
        self,
        understand: Understand,
        supports: Callable[[str], bool],
        clock: Callable[[], datetime],
        files: Files,
        shelf: Shelf,
    ) -> None:
        self._clock = clock
        self._files = files
        self._register = Register(shelf, clock, PROVIDER)
        self._readings = Readings()
        self._items = Items(understand, supports)

    def handle(self, request: httpx.Request, path: str) -> httpx.Response:
        """Answer a call for `/v1/batches` or for one of them."""
        asked = re.fullmatch(r"/v1/batches(?:/([\w-]+)(/cancel)?)?", path)
        verbs = (
            {"GET", "POST"} if asked and not asked[1] else {"POST" if asked and asked[2] else "GET"}
        )
        if asked is None or request.method not in verbs:
            raise Refusal(404, f"Invalid URL ({request.method} {path})")
        if asked[1] is None:
            return self._create(request) if request.method == "POST" else self._listed(request)
        batch = self._register.find(asked[1])
        if batch is None:
            raise Refusal(404, f"No batch found with id '{asked[1][:100]}'.")
        if asked[2]:
            standing = self._register.standing(batch)
            if standing.ended:
                status = STATUSES.get(standing.phase, standing.phase)
                raise Refusal(409, f"Cannot cancel a batch with status '{status}'.")
            self._register.cancel(batch)
        return answer(self._resource(batch))

    def results(self, file_id: str) -> Results | None:
        """The file of results of that id, as long as it is there."""
        found = re.fullmatch(r"file-([OE])([0-9a-f]{32})", file_id)
        batch = self._register.find(f"batch_{found[2]}") if found else None
        if found is None or batch is None:
            return None
        kind = next(kind for kind, letter in KINDS.items() if letter == found[1])
        standing = self._register.standing(batch)
        order = tuple(batches.shuffled(batch, _kept(batch, kind, standing)))
        results = Results(batch, kind, standing.since, order)
        if not order or self.file(results).expired(self._clock()):
            return None
        return None if self._register.forgot_results(file_id) else results

    def every(self) -> list[Results]:
        """Every file of results."""
        ids = (
            f"file-{letter}{batch_id.removeprefix('batch_')}"
            for batch_id in self._register.newest()
            for letter in KINDS.values()
        )
        return [results for file_id in ids if (results := self.results(file_id)) is not None]

    def file(self, results: Results) -> File:
        """What is told of a file of results. Its size is a guess before all of it was made."""
        size = self._readings.of(results.id, len(results.order)).size
        life_s = results.batch.about["results_life_s"]
        return File(
            id=results.id,
            filename=f"{results.batch.id}_{results.kind}.jsonl",
            purpose="batch_output",
            size=size or LINE_BYTES[results.kind] * len(results.order),
            created_at=results.made_at,
            expires_after_s=life_s if isinstance(life_s, int) else None,
        )

    def download(self, results: Results, request: httpx.Request) -> httpx.Response:
        """The results, each line made as it is read."""
        batch = results.batch
        data = self._files.contents.read(batch.content)
        if data is None:
            raise openai_files.no_file(results.id)
        spans = batches.requests(data)

        def line(index: int) -> bytes:
            _, start, end = spans[index]
            return self._items.line(batch, data[start:end], index)

        lengths = self._readings.of(results.id, len(results.order))
        name = f'attachment; filename="{batch.id}_{results.kind}.jsonl"'
        headers = {"content-type": "application/octet-stream", "content-disposition": name}
        return batches.download(
            request, lengths, batches.lines(batch, results.order, line), headers
        )

    def forget(self, file: File) -> None:
        """Delete a file of results."""
        self._register.forget_results(file.id)

    def _create(self, request: httpx.Request) -> httpx.Response:
        fields = openai_wire.read(request, forms=False).fields
        for name in ("input_file_id", "endpoint", "completion_window"):
            if not isinstance(fields.get(name), str):
                words = f"Missing required parameter: '{name}'."
                raise Refusal(400, words, code="missing_required_parameter", param=name)
        file_id, endpoint = str(fields["input_file_id"]), str(fields["endpoint"])
        if endpoint not in ENDPOINTS:
            raise _wrong("endpoint", f"The sandbox takes {' and '.join(ENDPOINTS)}.")
        if fields["completion_window"] != "24h":
            raise _wrong("completion_window", "Supported value is: '24h'.")
        metadata, named = _metadata(fields.get("metadata"))
        about: dict[str, Json] = {
            "endpoint": endpoint,
            "input_file_id": file_id,
            "metadata": metadata,
            "results_life_s": _life(fields.get("output_expires_after")),
        }
        now = self._clock()
        file = self._files.find(file_id)
        content = file.content if file is not None and file.purpose == "batch" else ""
        data = self._files.contents.read(content) if content else None
        draft = Batch(_name(now), now, batches.LASTS_S, "failed", "", content, about)
        if data is None:
            words = f"The file {file_id[:100]} cannot be found, or is no input of a batch."
            made = _failed(draft, {"code": "invalid_file", "message": words})
        else:
            made = self._items.judged(draft, data, named)
            self._files.contents.use(content, made.id)
        self._register.add(made)
        return answer(self._resource(made))

    def _listed(self, request: httpx.Request) -> httpx.Response:
        body, ids = openai_files.page(request.url.params, self._register.newest(), 20, 100)
        found = [self._register.find(batch_id) for batch_id in ids]
        body["data"] = [self._resource(batch) for batch in found if batch is not None]
        return answer(body)

    def _resource(self, batch: Batch) -> dict[str, Json]:
        """A batch as JSON."""
        standing, now = self._register.standing(batch), self._clock()
        about, phase, since = batch.about, standing.phase, standing.since
        finalized_at = batch.created_at + timedelta(seconds=batch.lasts_s * FINALIZING)
        finalizing = phase == "succeeded" or (phase == "running" and finalized_at <= now)
        status = STATUSES.get(phase, phase)
        begun = phase not in ("validating", "failed") and standing.validated_at <= (
            standing.cancelled_at or now
        )
        files = {k: _file_of(batch, k) if _kept(batch, k, standing) else None for k in KINDS}
        errors = about.get("errors") if phase == "failed" else None

        def at(name: str) -> int | None:
            return _seconds(since) if phase == name else None

        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": about["endpoint"],
            "model": about.get("model") if standing.ended else None,
            "errors": {"object": "list", "data": errors} if errors else None,
            "input_file_id": about["input_file_id"],
            "completion_window": "24h",
            "status": "finalizing" if phase == "running" and finalizing else status,
            "output_file_id": files["output"],
            "error_file_id": files["error"],
            "created_at": _seconds(batch.created_at),
            "in_progress_at": _seconds(standing.validated_at) if begun else None,
            "expires_at": _seconds(batch.created_at) + WINDOW_S,
            "finalizing_at": _seconds(finalized_at) if finalizing else None,
            "completed_at": at("succeeded"),
            "failed_at": at("failed"),
            "expired_at": at("expired"),
            "cancelling_at": _seconds(standing.cancelled_at) if standing.cancelled_at else None,
            "cancelled_at": at("cancelled"),
            "request_counts": _counts(batch, standing),
            "usage": {
                "input_tokens": 0,
                "output_tokens": 0,
                "total_tokens": 0,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 0},
            },
            "metadata": about["metadata"] or None,
        }


def _kept(batch: Batch, kind: str, standing: Standing) -> list[int]:
    """The requests that stand in a file of results by now."""
    if standing.phase not in ("succeeded", "expired", "cancelled"):
        return []
    fates = batches.GOOD + batches.WEB_PAGE
    if kind == "error":
        fates = batches.BAD + (batches.LATE if standing.phase == "expired" else "")
    return [index for index in range(standing.done) if batch.fates[index] in fates]


def _counts(batch: Batch, standing: Standing) -> dict[str, Json]:
    done = batch.fates[: standing.done]
    failed = done.count(batches.BAD)
    late = done.count(batches.LATE)
    known = standing.phase not in ("validating", "failed")
    return {
        "total": len(batch.fates) if known else 0,
        "completed": len(done) - failed - late,
        "failed": failed + (late if standing.phase == "expired" else 0),
    }


def _failed(draft: Batch, error: Mapping[str, Json]) -> Batch:
    errors: list[Json] = [{"param": None, "line": None, **error}]
    return replace(draft, about={**draft.about, "errors": errors})


def _metadata(value: Json) -> tuple[dict[str, Json], list[Directive]]:
    """The pairs, and the directives in them. Raises Refusal."""
    if value is None:
        return {}, []
    if not isinstance(value, Mapping) or len(value) > MOST_PAIRS:
        raise _wrong("metadata", f"Expected an object of at most {MOST_PAIRS} pairs.")
    asked: list[Directive] = []
    for name, text in value.items():
        if len(name) > LONGEST_KEY or not isinstance(text, str) or len(text) > LONGEST_VALUE:
            words = f"Keys have at most {LONGEST_KEY} characters, values are texts of at most "
            raise _wrong(f"metadata.{name[:LONGEST_KEY]}", f"{words}{LONGEST_VALUE}.")
        try:
            asked += directives.parse(text)
        except BadDirective as error:
            raise Refusal(400, str(error), code="invalid_value", param="metadata") from error
    return dict(value), asked


def _life(value: Json) -> int:
    """How long results are kept, in seconds. Raises Refusal."""
    if value is None:
        return LONGEST_S
    if not isinstance(value, Mapping):
        raise _wrong("output_expires_after", "Expected an object.")
    return openai_files.life(value.get("seconds"))


def _wrong(name: str, words: str) -> Refusal:
    return Refusal(400, f"Invalid '{name}': {words}", code="invalid_value", param=name)


def _name(now: datetime) -> str:
    """A new id. It sorts by time, as OpenAI's do."""
    micros = int(now.timestamp() * 1_000_000)
    noise = hashlib.sha256(batches.stamp(now, 32).encode()).hexdigest()
    return f"batch_{micros // 1_000_000:08x}{micros % 1_000_000:05x}{noise[:19]}"


def _file_of(batch: Batch, kind: str) -> str:
    return f"file-{KINDS[kind]}{batch.id.removeprefix('batch_')}"


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())

"""The requests of OpenAI's batches: which lines of an input are good, what becomes of each, and the
line of results it ends as.

Facts: openai's guide to batches and recorded results of 2026-08, 2026-11; codes of errors are as
quoted in public issues.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import httpx
from pydantic_core import from_json

from shared.domain import Json
from shared.sandbox import batch as batches
from shared.sandbox import directives
from shared.sandbox.batch import Batch
from shared.sandbox.directives import Directive, Orders
from shared.sandbox.openai_files import PROVIDER
from shared.sandbox.openai_wire import Body, Refusal, answer

ENDPOINTS = {"/v1/images/generations": False, "/v1/images/edits": True}
"""Path → whether it edits."""
MOST_REQUESTS = 50_000
MOST_ERRORS = 100
NO_LINE = ("timeout", "truncated", "not_json")
"""Faults of a connection, which a line of results cannot show: they are errors of the server."""
LATE: Json = {
    "code": "batch_expired",
    "message": "This request could not be executed before the completion window expired.",
}


@dataclass(frozen=True)
class Call:
    """What tells one call from another: the `seed` of its pictures, its id, and the second in which
    it is answered."""

    seed: bytes
    id: str
    created: int


@dataclass(frozen=True)
class Understood:
    """A request found good: its directives, what raises a fault's Refusal, and what answers."""

    asked: tuple[Directive, ...]
    refuse: Callable[[str | None], None]
    respond: Callable[[Orders], httpx.Response]


Understand = Callable[[Body, bool, Call], Understood]
"""Reads the body of a single call, which edits or not. Raises Refusal."""


class _BadLine(Exception):
    """Why a line of the input is no request."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class Items:
    """The requests of every batch. `supports` says whether a model takes batches."""

    def __init__(self, understand: Understand, supports: Callable[[str], bool]) -> None:
        self._understand = understand
        self._supports = supports

    def judged(self, draft: Batch, data: bytes, named: Sequence[Directive]) -> Batch:
        """The batch with what becomes of its requests, or with the errors for which it fails."""
        spans = batches.requests(data)
        errors, model = self._checked(draft, data, spans)
        about = {**draft.about, "model": model}
        if errors:
            return replace(draft, about={**about, "errors": errors})
        asked, fates = list(named), []
        for index, (number, start, end) in enumerate(spans):
            mine, refused = self._judge(draft, data[start:end], index)
            asked += mine
            fates.append(batches.fate([*named, *mine], PROVIDER, refused))
            if "failed" in directives.of_batch([*named, *mine], PROVIDER):
                errors.append(_error("invalid_request", "The batch was told to fail.", number))
        will = batches.will(asked, PROVIDER)
        about |= {"errors": errors[:MOST_ERRORS]}
        return replace(draft, lasts_s=will.lasts_s, end=will.end, fates="".join(fates), about=about)

    def line(self, batch: Batch, line: bytes, index: int) -> bytes:
        """The line of results of a request."""
        custom_id = json.dumps(_fields(line)["custom_id"])
        name = f'{{"id": "batch_req_{_digest(batch, index, "id")}", "custom_id": {custom_id}, '
        if batch.fates[index] == batches.LATE:
            return f'{name}"response": null, "error": {json.dumps(LATE)}}}\n'.encode()
        call = self._call(batch, index)
        try:
            understood, orders = self._read(batch, line, call)
            understood.refuse(orders.fault)
            response = understood.respond(orders)
        except Refusal as refusal:
            response = answer(refusal.body, refusal.status)
        status = f'"response": {{"status_code": {response.status_code}, "request_id": "{call.id}", '
        # Indented JSON has line breaks between its values only.
        body = re.sub(rb"\n *", b"", response.content)
        return (name + status + '"body": ').encode() + body + b'}, "error": null}\n'

    def _checked(
        self, batch: Batch, data: bytes, spans: Sequence[tuple[int, int, int]]
    ) -> tuple[list[Json], str | None]:
        """What is wrong with the lines, and the model that all of them are for."""
        if not spans:
            return [_error("empty_file", "The input file has no requests.", None)], None
        if len(spans) > MOST_REQUESTS:
            words = f"A batch has at most {MOST_REQUESTS} requests; the file has {len(spans)}."
            return [_error("too_many_tasks", words, None)], None
        errors: list[Json] = []
        seen: set[str] = set()
        model: str | None = None
        for number, start, end in spans:
            try:
                named = self._check(batch, data[start:end], seen, model)
                model = model or named
            except _BadLine as bad:
                errors.append(_error(bad.code, str(bad), number, bad.param))
        return errors[:MOST_ERRORS], model

    def _check(self, batch: Batch, line: bytes, seen: set[str], model: str | None) -> str:
        """The model that a line is for. Raises _BadLine."""
        fields = _fields(line)
        for name, kind in (("custom_id", str), ("method", str), ("url", str), ("body", dict)):
            if not isinstance(fields.get(name), kind) or not fields[name]:
                words = f"Missing required parameter: '{name}'."
                raise _BadLine("missing_required_parameter", words, name)
        custom_id, body = str(fields["custom_id"]), fields["body"]
        if custom_id in seen:
            words = "The custom_id for this request is a duplicate of another request's."
            raise _BadLine("duplicate_custom_id", words, "custom_id")
        seen.add(custom_id)
        if fields["method"] != "POST":
            raise _BadLine("invalid_method", "The method has to be POST.", "method")
        if fields["url"] != batch.about["endpoint"]:
            words = "The URL of this request does not match the endpoint of the batch."
            raise _BadLine("invalid_url", words, "url")
        named = body.get("model") if isinstance(body, Mapping) else None
        if not isinstance(named, str):
            words = "Missing required parameter: 'body.model'."
            raise _BadLine("missing_required_parameter", words, "body.model")
        if model is not None and named != model:
            words = f"The model '{named[:100]}' is not that of the requests before, '{model}'."
            raise _BadLine("mismatched_model", words, "body.model")
        if not self._supports(named):
            words = f"The provided model '{named[:100]}' is not supported by the Batch API."
            raise _BadLine("model_not_found", words, "body.model")
        return named

    def _judge(self, batch: Batch, line: bytes, index: int) -> tuple[Sequence[Directive], bool]:
        """The directives of a request, and whether it is refused."""
        asked: Sequence[Directive] = ()
        try:
            understood, orders = self._read(batch, line, self._call(batch, index))
            asked = understood.asked
            understood.refuse(orders.fault)
        except Refusal:
            return asked, True
        return asked, False

    def _read(self, batch: Batch, line: bytes, call: Call) -> tuple[Understood, Orders]:
        fields = _fields(line)["body"]
        known = fields.items() if isinstance(fields, Mapping) else ()
        body = Body({name: value for name, value in known if value is not None})
        if body.fields.get("stream"):
            words = "Streaming is not supported in batches."
            raise Refusal(400, words, code="unsupported_parameter", param="stream")
        edits = ENDPOINTS[str(batch.about["endpoint"])]
        understood = self._understand(body, edits, call)
        orders = directives.once(understood.asked, PROVIDER)
        if orders.fault in NO_LINE:
            orders = replace(orders, fault="server_error")
        return understood, orders

    def _call(self, batch: Batch, index: int) -> Call:
        created = int(batch.created_at.timestamp() + batch.lasts_s)
        return Call(f"{batch.id} {index}".encode(), _digest(batch, index, "call"), created)


def _fields(line: bytes) -> dict[str, Json]:
    try:
        fields = from_json(line, allow_inf_nan=False)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise _BadLine("invalid_json_line", "This line is not parseable as valid JSON.")
    return fields


def _error(code: str, message: str, line: int | None, param: str | None = None) -> Json:
    return {"code": code, "message": message, "param": param, "line": line}


def _digest(batch: Batch, index: int, what: str) -> str:
    return hashlib.sha256(f"{batch.id} {index} {what}".encode()).hexdigest()[:32]

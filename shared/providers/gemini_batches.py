"""Google's batchGenerateContent (ai.google.dev/gemini-api/docs/batch-api and
api/batch-api, 2026-10): half the price, within two days.

A small batch goes in the body and comes back in the answer; a larger one is a file of JSON lines
each way. A batch that succeeded may hold requests that failed, and a refusal is an answer like any
other there (see `gemini`). The `@type` of a message names another version than the address.
"""

from __future__ import annotations

import contextlib
import re
from typing import Annotated, Literal

import httpx
from pydantic import BeforeValidator
from pydantic_core import from_json, to_json

from shared.domain import Endpoint, ImageRequest, Json
from shared.errors import DarkroomError, OutcomeUnknown, ProviderError
from shared.providers import Done, Order, Outcome, Progress, gemini, google_errors, google_files
from shared.providers.bodies import Object, Objects, Text, encode, post, present, subject
from shared.providers.google_json import Message

MAX_LINES = 50_000
"""Google names no limit of lines: this is ours."""
MAX_BYTES = 2_000_000_000
"""Of a file."""
INLINE_LINES = 2

_PAGE = 100
_LINES = "application/jsonl"
_OPENED = "x-goog-upload-url"
_TOKEN = re.compile(r"batches/[A-Za-z0-9_-]{1,200}")
_FILE = re.compile(r"files/[A-Za-z0-9_-]{1,200}")
"""Both become part of an address: they must not lead out of their collection."""
_NEXT = re.compile(r"[!-~]{0,2000}")
_ENDS: dict[str, Literal["succeeded", "failed", "cancelled", "expired"]] = {
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "EXPIRED": "expired",
}


def _counted(value: object) -> int:
    """An int64, which proto3 JSON writes as a string."""
    text = str(value) if type(value) is int and 0 <= value < 10**9 else value
    return int(text) if isinstance(text, str) and re.fullmatch("[0-9]{1,9}", text) else 0


_Count = Annotated[int, BeforeValidator(_counted)]


class _Stats(Message):
    successful_request_count: _Count = 0
    failed_request_count: _Count = 0


class _Answers(Message):
    inlined_responses: Annotated[tuple[dict[str, object], ...] | None, Objects] = None


class _Output(Message):
    responses_file: Text = ""
    inlined_responses: Annotated[_Answers, Object] = _Answers()

    @property
    def lines(self) -> tuple[dict[str, object], ...]:
        return self.inlined_responses.inlined_responses or ()


class _Metadata(Message):
    display_name: Text = ""
    state: Text = ""
    batch_stats: Annotated[_Stats, Object] = _Stats()
    output: Annotated[_Output, Object] = _Output()


class _Operation(Message):
    name: Text = ""
    metadata: Annotated[_Metadata, Object] = _Metadata()
    done: object = False
    error: object = None
    response: Annotated[_Output, Object] = _Output()


class _Page(Message):
    operations: Annotated[tuple[_Operation, ...] | None, Objects] = None
    next_page_token: Text = ""


class _Begun(Message):
    """A batch, a file, or a file that was just uploaded."""

    name: Text = ""
    file: object = None


class _Names(Message):
    key: Text = ""


class _Line(Message):
    key: Text = ""
    metadata: Annotated[_Names, Object] = _Names()
    response: object = None
    error: object = None
    status: object = None


def kind(request: ImageRequest) -> str:
    """Nothing but the model has to be alike."""
    return ""


def line(key: str, request: ImageRequest, endpoint: Endpoint) -> bytes:
    """One request, its sources in it."""
    return encode({"key": key, "request": gemini.json_body(request, endpoint)})


def begin(order: Order, endpoint: Endpoint) -> httpx.Request:
    """Create a small batch; open the upload of a larger one."""
    length = sum(len(line) + 1 for line in order.lines)
    if len(order.lines) <= INLINE_LINES and length < gemini.INLINE_LIMIT_BYTES:
        lines: list[dict[str, Json]] = [from_json(line) for line in order.lines]
        requests: list[Json] = [
            {"request": asked["request"], "metadata": {"key": asked["key"]}} for asked in lines
        ]
        request = _create(order, {"requests": {"requests": requests}}, endpoint)
        if len(request.content) < gemini.INLINE_LIMIT_BYTES:
            return request
    return google_files.begin(order.name, _LINES, length, endpoint)


def read_begun(response: httpx.Response, order: Order, endpoint: Endpoint) -> httpx.Request | str:
    """An opened upload is sent its bytes, of an uploaded file a batch is made, and what answers to
    that is the batch. Raises OutcomeUnknown where there may be one and nobody can say which."""
    if response.is_success and not response.content and _OPENED in response.headers:
        file = b"".join(part for line in order.lines for part in (line, b"\n"))
        return google_files.send(response, file, endpoint)
    if response.is_success:
        with contextlib.suppress(ValueError):
            begun = _Begun.model_validate(from_json(response.content))
            if _TOKEN.fullmatch(begun.name):
                return begun.name
            if begun.file or _FILE.fullmatch(begun.name):
                return _uploaded(response, order, endpoint)
    error = google_errors.of(response)
    if error.paid:
        raise OutcomeUnknown(
            "The provider took the batch and gave no name for it.",
            details=error.details,
            private=error.private,
        )
    raise error


def find(name: str, endpoint: Endpoint, page: str | None) -> httpx.Request:
    """A page of the batches there are, whose display name is our name for them."""
    query = present({"pageSize": str(_PAGE), "pageToken": page})
    url = httpx.URL(endpoint.address("batches"), params=query)
    return httpx.Request("GET", url, headers=dict(endpoint.headers))


def read_found(response: httpx.Response, name: str) -> tuple[str | None, str | None]:
    """The batch of that name, if it is on this page."""
    page = google_errors.parse(_Page, response)
    for operation in page.operations or ():
        if operation.metadata.display_name == name:
            return _checked(_TOKEN, operation.name), None
    return None, _checked(_NEXT, page.next_page_token) or None


def poll(token: str, endpoint: Endpoint) -> httpx.Request:
    """Look at a batch."""
    return httpx.Request("GET", endpoint.address(token), headers=dict(endpoint.headers))


def read_progress(response: httpx.Response) -> Progress:
    """How it stands. What is no state yet is one that is still running."""
    operation = _operation(response)
    said = google_errors.status_of(operation.error) if operation.error else None
    state = re.sub("^(BATCH|JOB)_STATE_", "", operation.metadata.state)
    end = _ENDS.get(state)
    if said and end not in ("cancelled", "expired"):
        end = "cancelled" if said.status == "CANCELLED" else "failed"
    elif end is None and operation.done is True:
        # It has ended without an error, in a way that is new.
        end = "succeeded"
    output = operation.response
    if not output.responses_file and not output.lines:
        output = operation.metadata.output
    stats = operation.metadata.batch_stats
    return Progress(
        state=end or "running",
        finished=stats.successful_request_count + stats.failed_request_count,
        files=(_checked(_FILE, output.responses_file),) if output.responses_file else (),
        lines=tuple(to_json(answer) for answer in output.lines),
        message=(google_errors.safe(said.message, 300) or None) if said else None,
    )


def cancel(token: str, endpoint: Endpoint) -> httpx.Request:
    """Ask for no more of it. What was made by then is still charged."""
    return post(endpoint.address(f"{token}:cancel"), endpoint, {})


def download(file: str, offset: int, endpoint: Endpoint) -> httpx.Request:
    """A file of results, "files/…"."""
    base = endpoint.base_url.rstrip("/")
    headers = dict(endpoint.headers)
    if offset:
        headers["range"] = f"bytes={offset}-"
    url = f"{base}/download/{endpoint.version}/{file}:download?alt=media"
    return httpx.Request("GET", url, headers=headers)


def read_line(line: bytes) -> Outcome | None:
    """One result, its fields in any order. The answer to a request is read as it would be alone."""
    if not line.strip():
        return None
    try:
        said = _Line.model_validate(from_json(line))
    except ValueError:
        said = _Line()
    key = said.key or said.metadata.key
    if not key:
        raise ProviderError(
            "A line of the provider's results cannot be read.", private=f"{len(line)} bytes"
        )
    try:
        return Outcome(key, _answer(said))
    except DarkroomError as error:
        return Outcome(key, error)


def read_event(body: bytes) -> str | None:
    """The batch that a webhook's event speaks of; None for any other event."""
    token = subject(body)
    return token if _TOKEN.fullmatch(token) else None


def _answer(said: _Line) -> Done:
    failed = said.error or said.status
    if failed and not said.response:
        raise google_errors.of_item(google_errors.status_of(failed))
    return gemini.outcome(google_errors.parse_item(gemini.Reply, said.response))


def _create(order: Order, source: Json, endpoint: Endpoint) -> httpx.Request:
    url = endpoint.address(f"models/{endpoint.wire_model}:batchGenerateContent")
    batch: dict[str, Json] = {"displayName": order.name, "inputConfig": source}
    if order.callback_url:
        batch["webhookConfig"] = {"uris": [order.callback_url], "userMetadata": order.about}
    return post(url, endpoint, {"batch": batch})


def _uploaded(response: httpx.Response, order: Order, endpoint: Endpoint) -> httpx.Request:
    """What comes after an upload. Lines need no processing, so that it is looked at more than once
    only where Google changes its mind."""
    file = google_files.read(response)
    if not file.ready:
        return google_files.get(file.name, endpoint)
    return _create(order, {"fileName": file.name}, endpoint)


def _operation(response: httpx.Response) -> _Operation:
    """A batch, which may have an `error` without being one."""
    if response.is_success:
        with contextlib.suppress(ValueError):
            operation = _Operation.model_validate(from_json(response.content))
            if _TOKEN.fullmatch(operation.name):
                return operation
    raise google_errors.of(response)


def _checked(form: re.Pattern[str], name: str) -> str:
    """A name that goes into an address. Raises ProviderError for one that must not."""
    if not form.fullmatch(name):
        raise ProviderError("The provider gave a name that cannot be used.")
    return name

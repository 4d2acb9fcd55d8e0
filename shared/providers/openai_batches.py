"""OpenAI's batch API for images (openai-openapi, 2026-08; openai 3.52, types/batch_create_params):
half the price, within a day.

A batch is a file of JSON lines, all for one address, and so are its results: one file of what
succeeded, one of what failed, in any order. An edit is there in its JSON form. Nobody is called
back: an event goes to where the project's webhooks lead.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Literal

import httpx
from pydantic import BeforeValidator
from pydantic_core import from_json

from shared.domain import Endpoint, ImageRequest, Json
from shared.errors import (
    HTTP_STATUS,
    DarkroomError,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
)
from shared.providers import Done, Order, Outcome, Progress, openai_errors, openai_images
from shared.providers.bodies import (
    Count,
    Message,
    Object,
    Objects,
    Text,
    encode,
    post,
    present,
    subject,
)

MAX_LINES = 50_000
MAX_BYTES = 200_000_000
INLINE_LINES = 0

_PAGE = "100"
_NAMED = "darkroom"
"""Of the batch's metadata: our name for it."""
_TOKEN = re.compile(r"batch_[A-Za-z0-9_-]{1,200}")
_FILE = re.compile(r"[A-Za-z0-9_-]{1,200}")
"""Both become part of an address: they must not lead out of their collection."""
_ENDS: dict[str, Literal["succeeded", "failed", "cancelled", "expired"]] = {
    "completed": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
    "expired": "expired",
}
_NOT_MADE = {
    "batch_cancelled": ("cancelled", "The provider's batch was cancelled before this was made."),
    "batch_expired": ("expired", "The provider's batch ran out of time before this was made."),
}
"""Code of a line's error → the reason, and what is said of it."""


class _Stored(Message):
    object: Text = ""
    id: Text = ""


class _Counts(Message):
    completed: Count = 0
    failed: Count = 0


class _Fault(Message):
    message: Text = ""


class _Faults(Message):
    data: Annotated[tuple[_Fault, ...] | None, Objects] = None


class _Batch(Message):
    id: str
    status: Text = ""
    output_file_id: Text = ""
    error_file_id: Text = ""
    request_counts: Annotated[_Counts, Object] = _Counts()
    errors: Annotated[_Faults, Object] = _Faults()


class _Named(Message):
    darkroom: Text = ""


class _Listed(Message):
    id: Text = ""
    metadata: Annotated[_Named, Object] = _Named()


class _Page(Message):
    data: Annotated[tuple[_Listed, ...], Objects]
    has_more: object = False


class _Address(Message):
    url: str


def _status(value: object) -> object:
    return value if type(value) is int and 100 <= value <= 599 else 200


class _Answer(Message):
    status_code: Annotated[int, BeforeValidator(_status)] = 200
    body: object = None


class _Code(Message):
    code: Text = ""


class _Line(Message):
    custom_id: Text = ""
    response: Annotated[_Answer, Object] = _Answer()
    error: object = None


def kind(request: ImageRequest) -> str:
    """The address that a batch is for: all its lines have the same."""
    return "/v1/images/edits" if request.operation == "edit" else "/v1/images/generations"


def line(key: str, request: ImageRequest, endpoint: Endpoint) -> bytes:
    """One request, its sources in it as data URLs."""
    body = openai_images.json_body(request, endpoint)
    asked: dict[str, Json] = {"custom_id": key, "method": "POST", "url": kind(request)}
    return encode({**asked, "body": body})


def begin(order: Order, endpoint: Endpoint) -> httpx.Request:
    """Upload the lines. The form is not put together in memory but as it is sent."""
    data = b"".join(part for line in order.lines for part in (line, b"\n"))
    # What follows from the lines is in none of them.
    boundary = hashlib.sha256(data).hexdigest()
    return httpx.Request(
        "POST",
        endpoint.address("files"),
        headers={
            **endpoint.headers,
            "content-type": f"multipart/form-data; boundary={boundary}",
        },
        data={"purpose": "batch"},
        files={"file": (f"{order.name}.jsonl", data, "application/jsonl")},
    )


def read_begun(response: httpx.Response, order: Order, endpoint: Endpoint) -> httpx.Request | str:
    """Of an uploaded file a batch is made, and what answers to that is the batch. Raises
    OutcomeUnknown where there may be one and nobody can say which."""
    try:
        stored = openai_errors.parse(_Stored, response)
    except DarkroomError as error:
        if not error.paid:
            raise
        raise _unnamed(response) from error
    if stored.object == "file" and _FILE.fullmatch(stored.id):
        return _create(stored.id, order, endpoint)
    if not _TOKEN.fullmatch(stored.id):
        raise _unnamed(response)
    return stored.id


def find(name: str, endpoint: Endpoint, page: str | None) -> httpx.Request:
    """A page of the batches there are, whose metadata has our name for them."""
    query = present({"limit": _PAGE, "after": page})
    url = httpx.URL(endpoint.address("batches"), params=query)
    return httpx.Request("GET", url, headers=dict(endpoint.headers))


def read_found(response: httpx.Response, name: str) -> tuple[str | None, str | None]:
    """The batch of that name, if it is on this page. The next page begins after its last one."""
    page = openai_errors.parse(_Page, response)
    for batch in page.data:
        if batch.metadata.darkroom == name:
            return _checked(_TOKEN, batch.id), None
    more = page.has_more is True and page.data
    return None, _checked(_TOKEN, page.data[-1].id) if more else None


def poll(token: str, endpoint: Endpoint) -> httpx.Request:
    """Look at a batch."""
    url = endpoint.address(f"batches/{token}")
    return httpx.Request("GET", url, headers=dict(endpoint.headers))


def read_progress(response: httpx.Response) -> Progress:
    """How it stands. One that was cancelled, or ran out of time, has files of what was made."""
    batch = openai_errors.parse(_Batch, response)
    said = next((fault.message for fault in batch.errors.data or ()), "")
    files = (batch.output_file_id, batch.error_file_id)
    return Progress(
        state=_ENDS.get(batch.status, "running"),
        finished=batch.request_counts.completed + batch.request_counts.failed,
        files=tuple(_checked(_FILE, file) for file in files if file),
        message=openai_errors.safe(said, 300) or None,
    )


def cancel(token: str, endpoint: Endpoint) -> httpx.Request:
    """Ask for no more of it. What was made by then is still charged."""
    url = endpoint.address(f"batches/{token}/cancel")
    return httpx.Request("POST", url, headers=dict(endpoint.headers))


def download(file: str, offset: int, endpoint: Endpoint) -> httpx.Request:
    """A file of results, "file-…"."""
    headers = dict(endpoint.headers)
    if offset:
        headers["range"] = f"bytes={offset}-"
    return httpx.Request("GET", endpoint.address(f"files/{file}/content"), headers=headers)


def read_line(line: bytes) -> Outcome | None:
    """One result. The answer to a request is read as it would be alone, with its status."""
    if not line.strip():
        return None
    try:
        said = _Line.model_validate(from_json(line))
    except ValueError:
        said = _Line()
    if not said.custom_id:
        raise ProviderError(
            "A line of the provider's results cannot be read.", private=f"{len(line)} bytes"
        )
    try:
        return Outcome(said.custom_id, _answer(said))
    except DarkroomError as error:
        return Outcome(said.custom_id, error)


def read_event(body: bytes) -> str | None:
    """The batch that a webhook's event speaks of; None for any other event."""
    token = subject(body)
    return token if _TOKEN.fullmatch(token) else None


def _answer(said: _Line) -> Done:
    status, body = said.response.status_code, said.response.body
    if said.error and not body:
        raise _unmade(said.error)
    answered = httpx.Response(status)
    if not answered.is_success:
        raise openai_errors.of(answered, body)
    reply = openai_errors.parse(openai_images.Reply, answered, lambda _: body)
    return openai_images.outcome(reply, status)


def _unmade(error: object) -> DarkroomError:
    """Why a request has no answer at all."""
    code = _Code.model_validate(error).code if isinstance(error, Mapping) else ""
    if code in _NOT_MADE:
        reason, words = _NOT_MADE[code]
        return ProviderUnavailable(words, details={"reason": reason})
    return openai_errors.of(httpx.Response(500), {"error": error})


def _create(file: str, order: Order, endpoint: Endpoint) -> httpx.Request:
    """All lines have the address of the first."""
    address = _Address.model_validate_json(order.lines[0]).url
    batch: Json = {
        "input_file_id": file,
        "endpoint": address,
        "completion_window": "24h",
        "metadata": {**order.about, _NAMED: order.name},
    }
    return post(endpoint.address("batches"), endpoint, batch)


def _unnamed(response: httpx.Response) -> OutcomeUnknown:
    return OutcomeUnknown(
        "The provider took the batch and gave no name for it.",
        details={HTTP_STATUS: response.status_code},
        private=openai_errors.opening(response),
    )


def _checked(form: re.Pattern[str], name: str) -> str:
    """A name that goes into an address. Raises ProviderError for one that must not."""
    if not form.fullmatch(name):
        raise ProviderError("The provider gave a name that cannot be used.")
    return name

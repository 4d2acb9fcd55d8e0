"""What an uploaded file sets off: an image with a prompt in its metadata becomes an edit, a JSONL a
batch. One generation of an object makes at most one of them, however often it is told of.

Only names that start with `darkroom-` mean something here (`darkroom-model` is the field `model`);
docs/uploads.md lists them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pydantic_core import from_json

from shared import batch_lines, batches, body, generate, log, pixels, trace, webhooks
from shared.app import App
from shared.batch_items import BatchAsk
from shared.catalogue.templates import Template
from shared.domain import Caller, Hold, ImageRequest, Json, Quote, Record
from shared.errors import (
    DarkroomError,
    InProgress,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    ProviderUnavailable,
    Refused,
    problem_of,
)
from shared.events import Event
from shared.generate import Ask
from shared.ledger import month_of
from shared.storage import BadName, Described, Missing

PREFIX = "darkroom-"
TRIGGER = "darkroom-trigger"
"""`off` for a file that only waits for a call that names it."""
TEST = "darkroom-test"
"""`1` for what is made as if by a test key."""
MARKS = frozenset({TRIGGER, TEST})
KEY_ID = "upload"
"""Of what no key asked for."""
PATIENCE_S = 3600.0
"""A refusal that lasts longer is put on record: events are given up after a day, without a word."""

_TEXTS = frozenset(
    f"{PREFIX}{name}"
    for name in (
        "prompt", "model", "template", "variables", "aspect-ratio", "resolution", "quality",
        "background", "output-format", "webhook-url",
    )
)  # fmt: skip
_NUMBERS = frozenset(f"{PREFIX}{name}" for name in ("n", "seed", "output-quality"))
_MODE = f"{PREFIX}mode"
_WEBHOOK = f"{PREFIX}webhook-url"
_VARIABLES = f"{PREFIX}variables"
_NAME = re.compile(r"uploads/([A-Za-z0-9_-]{1,100})/([^/]{1,200})/.*[^/]", re.DOTALL)
_ENCODED = re.compile(r"=\?utf-8\?b\?([A-Za-z0-9+/]*={0,2})\?=", re.IGNORECASE)
_PLAIN = re.compile(r"[!-~]+( [!-~]+)*")


@dataclass(frozen=True)
class _File:
    """An uploaded object that sets something off: who is taken to ask, and its metadata without
    the marks, readable."""

    name: str
    upload_id: str
    caller: Caller
    metadata: Mapping[str, str]
    fingerprint: str

    @property
    def idempotency_key(self) -> str:
        """One for each generation of an object."""
        return f"upload-{self.fingerprint}"


def is_jsonl(filename: str) -> bool:
    """Whether a file is a batch's, by its name."""
    return filename.lower().endswith(".jsonl")


def encoded(value: str) -> str:
    """Metadata as a header can carry it: RFC 2047 for what is not plain ASCII."""
    if _PLAIN.fullmatch(value) and not value.startswith("=?"):
        return value
    return f"=?UTF-8?B?{base64.b64encode(value.encode()).decode()}?="


def check(filename: str, metadata: Mapping[str, str], templates: Mapping[str, Template]) -> None:
    """Raise InvalidRequest or NotFound for metadata that the file would be refused for."""
    if is_jsonl(filename):
        _defaults(metadata)
    else:
        body.edit(_fields(metadata), body.Files(images=(b"",)), templates)


async def finalized(app: App, name: str) -> None:
    """Do what an object's coming asks for, by what storage says of it: one that is gone, or that
    storage cannot have, asks for nothing. What is wrong with it for good is put on record; what may
    pass is raised, to be told of again."""
    try:
        described = await app.storage.describe(name)
    except BadName:
        log.event("upload.bad_name", severity="WARNING")
        return
    if described is not None:
        await _arrived(app, name, described)


async def _arrived(app: App, name: str, described: Described) -> None:
    found = _NAME.fullmatch(name)
    labels = {label: text for label, text in described.labels.items() if label.startswith(PREFIX)}
    metadata = {label: _decoded(text) for label, text in labels.items() if label not in MARKS}
    if found is None or labels.get(TRIGGER) == "off" or not (metadata or is_jsonl(name)):
        return
    if await app.records.account(found[1]) is None:
        log.event("upload.of_nobody", severity="WARNING", account=found[1])
        return
    file = _File(
        name=name,
        upload_id=found[2],
        caller=Caller(found[1], KEY_ID, test=labels.get(TEST) == "1"),
        metadata=metadata,
        fingerprint=hashlib.sha256(f"{name}\n{described.generation}".encode()).hexdigest(),
    )
    await (_batch(app, file) if is_jsonl(name) else _edit(app, file))


async def _batch(app: App, file: _File) -> None:
    ask = BatchAsk(
        caller=file.caller,
        source=app.storage.stream(file.name),
        parse=batch_lines.native({}, app.catalogue.templates),
        fingerprint=file.fingerprint,
        webhook_url=file.metadata.get(_WEBHOOK),
        metadata={"upload_id": file.upload_id},
        idempotency_key=file.idempotency_key,
    )
    try:
        defaults = _defaults(file.metadata)
        ask = replace(
            ask,
            parse=batch_lines.native(defaults, app.catalogue.templates),
            mode=_mode(file.metadata),
            model=file.metadata.get(f"{PREFIX}model"),
        )
        await batches.create(app, ask)
    except InProgress:
        return
    except (DarkroomError, Missing) as error:
        refusal = _refusal(error)
        log.event("upload.refused", code=refusal.code, param=refusal.param)
        ask = replace(ask, webhook_url=_receiver(app, ask.webhook_url))
        await batches.refuse(app, ask, refusal)


async def _edit(app: App, file: _File) -> None:
    metadata = {"upload_id": file.upload_id}
    asked = ImageRequest(
        operation="edit",
        model=file.metadata.get(f"{PREFIX}model", "auto"),
        prompt=file.metadata.get(f"{PREFIX}prompt", ""),
        webhook_url=file.metadata.get(_WEBHOOK),
        metadata=metadata,
    )
    ask = Ask(
        file.caller, asked, file.fingerprint, idempotency_key=file.idempotency_key, deferred=True
    )
    try:
        fields = {**_fields(file.metadata), "metadata": metadata}
        # Its bytes, not its upload_id: there may be more than one object of that.
        files = body.Files(images=(await _bytes(app, file.name),))
        parsed = body.edit(fields, files, app.catalogue.templates)
        await generate.admit(app, replace(ask, request=parsed.request))
    except InProgress:
        return
    except (DarkroomError, Missing) as error:
        refusal = _refusal(error)
        log.event("upload.refused", code=refusal.code, param=refusal.param)
        await _put_on_record(app, _refused(app, ask, refusal))


async def _put_on_record(app: App, refused: Record) -> None:
    """Keep an edit that was not let in, and tell whoever is to be told of its end."""
    notice = webhooks.notice_of(refused, app.clock())
    noted = await app.records.note(refused, notice)
    if notice is not None:
        await app.announce(Event("requests", noted.account_id, noted.id))


def _receiver(app: App, url: str | None) -> str | None:
    """The URL, if something can be sent there: it may be what the file was refused for."""
    try:
        if url is not None:
            webhooks.check_url(app, url, _WEBHOOK)
    except InvalidRequest:
        return None
    return url


async def _bytes(app: App, name: str) -> bytes:
    """An image, as far as one can be taken."""
    data = bytearray()
    async for piece in app.storage.stream(name):
        data += piece
        if len(data) > pixels.MAX_BYTES:
            raise PayloadTooLarge(f"An image has at most {pixels.MAX_BYTES} bytes.", param="images")
    return bytes(data)


def _refusal(error: DarkroomError | Missing) -> DarkroomError:
    """What to put on record; raises what may pass by itself."""
    if isinstance(error, Missing):
        return NotFound("The file was gone before it was read.")
    waits = error.retryable and (error.retry_after_s or 0.0) <= PATIENCE_S
    if waits or not isinstance(error, Refused | ProviderUnavailable):
        raise error
    return error


def _refused(app: App, ask: Ask, error: DarkroomError) -> Record:
    """The failed record of an edit that was not let in, under the id it would have had."""
    now = app.clock()
    return Record(
        id=generate.request_id_of(app, ask),
        account_id=ask.caller.account_id,
        key_id=ask.caller.key_id,
        operation="edit",
        status="failed",
        model=ask.request.model,
        prompt=ask.request.prompt,
        parameters={},
        fingerprint=ask.fingerprint,
        sandbox=ask.caller.test,
        quote=Quote({}, 0, 0),
        hold=Hold(0, (), 0, month_of(now)),
        created_at=now,
        lease_until=now,
        idempotency_key=ask.idempotency_key,
        traceparent=trace.current.get(),
        metadata=ask.request.metadata,
        webhook_url=_receiver(app, ask.request.webhook_url),
        deferred=True,
        error=problem_of(error),
        completed_at=now,
    )


def _defaults(metadata: Mapping[str, str]) -> dict[str, Json]:
    """What every line of a batch has unless it says otherwise. Raises InvalidRequest."""
    _mode(metadata)
    fields = _fields({label: text for label, text in metadata.items() if label != _MODE})
    fields.pop("webhook_url", None)
    return fields


def _mode(metadata: Mapping[str, str]) -> Literal["auto", "provider", "fanout"]:
    match metadata.get(_MODE, "auto"):
        case "auto" | "provider" | "fanout" as mode:
            return mode
    raise InvalidRequest(f"{_MODE} is auto, provider or fanout.", param=_MODE)


def _fields(metadata: Mapping[str, str]) -> dict[str, Json]:
    """The fields of a body that metadata stands for. Raises InvalidRequest."""
    fields = {_name(label): _field(label, text) for label, text in metadata.items()}
    variables = fields.pop("variables", None)
    if "template" in fields:
        said = _object(variables) if isinstance(variables, str) else {}
        fields["template"] = {"name": fields["template"], "variables": said}
    elif variables is not None:
        raise InvalidRequest(f"{_VARIABLES} goes with {PREFIX}template.", param=_VARIABLES)
    return fields


def _object(text: str) -> dict[str, Json]:
    try:
        found = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(f"{_VARIABLES} is no JSON: {error}.", param=_VARIABLES) from error
    if not isinstance(found, dict):
        raise InvalidRequest(f"{_VARIABLES} is a JSON object.", param=_VARIABLES)
    return found


def _name(label: str) -> str:
    return label.removeprefix(PREFIX).replace("-", "_")


def _field(label: str, text: str) -> Json:
    if label in _TEXTS:
        return text
    if label not in _NUMBERS:
        raise InvalidRequest(f"There is no {label[:100]!r} for this file.", param=label[:100])
    if not re.fullmatch("[0-9]{1,10}", text):
        raise InvalidRequest(f"{label} is a whole number.", param=label)
    return int(text)


def _decoded(text: str) -> str:
    """What `encoded` was given; any other text as it is."""
    found = _ENCODED.fullmatch(text)
    try:
        return base64.b64decode(found[1], validate=True).decode() if found else text
    except ValueError:
        return text

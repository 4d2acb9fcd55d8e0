"""The requests of Google's batches: how a line of the input is understood, what becomes of it, and
the line of results it ends as.

Facts: ai.google.dev/gemini-api/docs/batch-api and recorded results of 2025-07, 2026-10.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic_core import from_json

from shared.catalogue.rows import Model, Route
from shared.domain import Json
from shared.sandbox import batch as batches
from shared.sandbox import directives, gemini
from shared.sandbox.batch import Batch
from shared.sandbox.directives import BadDirective, Directive, Orders
from shared.sandbox.gemini import Scene
from shared.sandbox.google_faults import refuse
from shared.sandbox.google_files import PROVIDER, Files
from shared.surfaces.google_json import CODES, Refusal

NO_LINE = ("timeout", "truncated", "not_json")
"""Faults of a connection, which a line of results cannot show: they are errors of the server."""


@dataclass(frozen=True)
class _Item:
    """A request of a batch: what it is called there, and the scene, or why there is none."""

    name: Mapping[str, Json]
    asked: tuple[Directive, ...] = ()
    scene: Scene | None = None
    orders: Orders = Orders()
    refusal: Refusal | None = None


class Items:
    """The requests of every batch, read against the routes by their wire model."""

    def __init__(self, routes: Mapping[str, tuple[Model, Route]], files: Files) -> None:
        self._routes = routes
        self._files = files

    def judged(self, draft: Batch, data: bytes, named: Sequence[Directive]) -> Batch:
        """The batch with what becomes of its requests: each is understood as it will be later."""
        asked, fates = list(named), []
        for index, (_, start, end) in enumerate(batches.requests(data)):
            item = self._item(draft, data[start:end], index)
            asked += item.asked
            fates.append(batches.fate(item.asked, PROVIDER, item.refusal is not None))
        will = batches.will(asked, PROVIDER)
        return replace(draft, lasts_s=will.lasts_s, end=will.end, fates="".join(fates))

    def _item(self, batch: Batch, line: bytes, index: int) -> _Item:
        name: dict[str, Json] = {}
        asked: tuple[Directive, ...] = ()
        try:
            fields = _fields(line)
            name = {key: fields[key] for key in ("key", "metadata") if key in fields}
            request, wire_model = fields.get("request"), str(batch.about["model"])
            if not isinstance(request, dict):
                raise Refusal(400, "* BatchRequest.request: request is required.")
            if request.get("model", wire_model) not in (wire_model, f"models/{wire_model}"):
                raise Refusal(400, "All requests of a batch have to be for the same model.")
            model, route = self._routes[wire_model]
            scene = gemini.understand(
                packed(request),
                model,
                route.wire_model,
                str(batch.about["version"]),
                self._files,
                f"{batch.id} {index}".encode(),
            )
            asked = directives.parse(scene.prompt)
            orders = directives.once(asked, PROVIDER)
            webpage = "html" in directives.of_batch(asked, PROVIDER)
            inline = not batch.about["file_name"]
            if orders.fault in NO_LINE or (webpage and inline):
                orders = replace(orders, fault="server_error")
            refuse(orders.fault, wire_model)
        except Refusal as refusal:
            return _Item(name, asked, refusal=refusal)
        except BadDirective as error:
            return _Item(name, refusal=Refusal(400, str(error)))
        return _Item(name, asked, scene, orders)

    def result(self, batch: Batch, line: bytes, index: int) -> dict[str, Json]:
        """What a request of a batch brought."""
        item = self._item(batch, line, index)
        if item.scene is None:
            return {**item.name, "error": _status(item.refusal)}
        return {**item.name, "response": gemini.respond(item.scene, item.orders).body()}

    def line(self, batch: Batch, line: bytes, index: int) -> bytes:
        """The same as a line of a file, its fields in an order that differs from line to line."""
        return packed(_stirred(self.result(batch, line, index), f"{batch.id} {index}")) + b"\n"


def _fields(line: bytes) -> dict[str, Json]:
    try:
        fields = from_json(line, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal(400, f"Invalid JSON payload received. {error}") from error
    if not isinstance(fields, dict):
        raise Refusal(400, "Invalid JSON payload received. A line has to be an object.")
    return fields


def _status(refusal: Refusal | None) -> dict[str, Json]:
    """A google.rpc.Status."""
    if refusal is None:
        return {}
    details: list[Json] = [dict(one) for one in refusal.details]
    status: dict[str, Json] = {"code": CODES[refusal.status], "message": refusal.message}
    return status | ({"details": details} if details else {})


def _stirred(value: Json, salt: str) -> Json:
    """The same with its fields in an order that differs from line to line, as Google's do."""
    if isinstance(value, Mapping):
        names = sorted(value, key=lambda name: hashlib.sha256(f"{salt} {name}".encode()).digest())
        return {name: _stirred(value[name], salt) for name in names}
    if isinstance(value, list | tuple):
        return [_stirred(one, salt) for one in value]
    return value


def packed(value: Json) -> bytes:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

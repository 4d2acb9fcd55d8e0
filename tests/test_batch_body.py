"""The body of `POST /batch`: what its defaults may be, and what is said of a wrong one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from shared import batch_body
from shared.app import App
from shared.batch_items import BatchAsk
from shared.catalogue import Catalogue
from shared.domain import Caller
from shared.errors import InvalidRequest

ITEMS = [{"custom_id": "a", "prompt": "a cup"}]
CALLER = Caller("acc", "key", test=True)


def read(**fields: Any) -> BatchAsk:
    """A body with items, for which nothing is looked up."""
    said = {"items": ITEMS, **fields}
    app = cast(App, SimpleNamespace(catalogue=Catalogue({}, {}, {})))
    return asyncio.run(batch_body.read(app, CALLER, said, None))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"defaults": {"images": []}}, "defaults.images"),
        ({"defaults": {"mask": None}}, "defaults.mask"),
        ({"defaults": {"previous_request_id": "req_a"}}, "defaults.previous_request_id"),
        ({"defaults": {"metadata": {}}}, "defaults.metadata"),
        ({"model": "auto", "defaults": {"model": "auto"}}, "defaults.model"),
        ({"defaults": {"prompt": "x" * 65_536}}, "defaults"),
        ({"defaults": {"prompt": "字" * 22_000}}, "defaults"),
        ({"model": "m" * 201}, "model"),
        ({"metadata": dict.fromkeys(map(str, range(17)), 1)}, "metadata"),
        ({"items": [1] * 5000}, None),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(**fields)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "nano-banana", "defaults": {"prompt": "x" * 65_000}},
        {"defaults": {"model": "nano-banana", "prompt": "字" * 21_000}},
    ],
)
def test_every_item_has_the_defaults(fields: dict[str, Any]) -> None:
    item = read(**fields, items=[{"custom_id": "a"}]).parse(b'{"custom_id": "a"}')
    assert item.request.model == "nano-banana"
    assert item.request.prompt == fields["defaults"]["prompt"]

"""Every adapter against its fixtures: `tests/fixtures/<adapter>/<case>/` holds request.json and
wire.json (what is asked), or response.json and result.json (what an answer means)."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import errors
from shared.domain import Endpoint, ImageRequest, Picture, Source, Turn, Usage
from shared.providers import Done, Inline
from shared.providers.registry import ADAPTERS

FIXTURES = Path(__file__).parents[1] / "fixtures"
KEY = "provider-key"
ENDPOINT = Endpoint("https://provider.test", "v1beta", "model-1", KEY)
AUTOMATIC_HEADERS = {"host", "content-length"}


def cases(file: str) -> list[Any]:
    return [
        pytest.param(adapter, path.parent, id=f"{adapter}/{path.parent.name}")
        for adapter in sorted(ADAPTERS)
        for path in sorted((FIXTURES / adapter).glob(f"*/{file}"))
    ]


def load(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def source(fields: dict[str, Any]) -> Source:
    return Source(**{**fields, "data": base64.b64decode(fields["data"])})


def turn(fields: dict[str, Any]) -> Turn:
    pictures = [{**p, "data": base64.b64decode(p["data"])} for p in fields["images"]]
    return Turn(
        **{
            **fields,
            "sources": tuple(map(source, fields["sources"])),
            "images": tuple(Picture(**p) for p in pictures),
        }
    )


def image_request(fields: dict[str, Any]) -> ImageRequest:
    return ImageRequest(
        **{
            **fields,
            "sources": tuple(map(source, fields.get("sources", []))),
            "turns": tuple(map(turn, fields.get("turns", []))),
        }
    )


def response(fields: dict[str, Any]) -> httpx.Response:
    text = fields["text"] if "text" in fields else json.dumps(fields["body"])
    headers = {"content-type": "application/json", **fields.get("headers", {})}
    return httpx.Response(fields["status"], headers=headers, content=text.encode())


def done(fields: dict[str, Any]) -> Done:
    images = [Inline(base64.b64decode(i["base64"]), i["content_type"]) for i in fields["images"]]
    known = {k: v for k, v in fields.items() if k not in ("images", "usage", "reply")}
    return Done(images=tuple(images), usage=Usage(**fields["usage"]), **known)


@pytest.mark.parametrize(("adapter", "case"), cases("wire.json"))
def test_a_request_becomes_exactly_this_call(adapter: str, case: Path) -> None:
    wire = load(case / "wire.json")
    sent = ADAPTERS[adapter].submit(image_request(load(case / "request.json")), ENDPOINT)
    assert sent.method == wire["method"]
    assert str(sent.url) == wire["url"]
    headers = {k: v for k, v in sent.headers.items() if k not in AUTOMATIC_HEADERS}
    assert headers == wire["headers"]
    assert json.loads(sent.content) == wire["body"]


@pytest.mark.parametrize(("adapter", "case"), cases("result.json"))
def test_an_answer_means_exactly_this(adapter: str, case: Path) -> None:
    expected = load(case / "result.json")
    answer = response(load(case / "response.json"))
    if "error" in expected:
        with pytest.raises(getattr(errors, expected["error"])) as caught:
            ADAPTERS[adapter].read(answer)
        assert type(caught.value).__name__ == expected["error"]
        assert_error(caught.value, expected)
        return
    outcome = ADAPTERS[adapter].read(answer)
    assert isinstance(outcome, Done)
    reply = json.loads(outcome.reply) if outcome.reply else None
    assert reply == expected.get("reply")
    assert {**asdict(outcome), "reply": None} == asdict(done(expected))


def assert_error(error: errors.DarkroomError, expected: dict[str, Any]) -> None:
    assert error.message
    assert error.message == expected.get("message", error.message)
    assert error.param == expected.get("param")
    assert error.retry_after_s == expected.get("retry_after_s")
    assert error.details == expected["details"]


@pytest.mark.parametrize(("adapter", "case"), cases("wire.json"))
def test_the_key_is_never_in_the_address_or_the_body(adapter: str, case: Path) -> None:
    sent = ADAPTERS[adapter].submit(image_request(load(case / "request.json")), ENDPOINT)
    assert KEY not in str(sent.url)
    assert KEY.encode() not in sent.content


@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
def test_every_adapter_has_fixtures_for_asking_answering_and_failing(adapter: str) -> None:
    names = {path.name.split("-")[0] for path in (FIXTURES / adapter).iterdir()}
    assert {"submit", "read", "error"} <= names

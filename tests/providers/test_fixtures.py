"""Every adapter against its fixtures: `tests/fixtures/<adapter>/<case>/` holds request.json or
poll.json and wire.json (what is asked), or response.json and result.json (what an answer means).
endpoint.json changes fields of the endpoint, and `request_url` in response.json says what was
asked."""

from __future__ import annotations

import base64
import email
import email.policy
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import errors
from shared.domain import Endpoint, ImageRequest, Picture, Source, Turn, Usage
from shared.providers import Done, Inline, Pending, Remote
from shared.providers.registry import ADAPTERS
from tests.providers.told import told

FIXTURES = Path(__file__).parents[1] / "fixtures"
KEY = "provider-key"
ENDPOINT = Endpoint("https://provider.test", "v1beta", "model-1", KEY, "x-goog-api-key")
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
    mask, size = fields.get("mask"), fields.get("size")
    return ImageRequest(
        **{
            **fields,
            "sources": tuple(map(source, fields.get("sources", []))),
            "mask": source(mask) if mask else None,
            "turns": tuple(map(turn, fields.get("turns", []))),
            "size": tuple(size) if size else None,
        }
    )


def sent(adapter: str, case: Path) -> httpx.Request:
    changes = load(case / "endpoint.json") if (case / "endpoint.json").exists() else {}
    endpoint = replace(ENDPOINT, **changes)
    if (case / "poll.json").exists():
        return ADAPTERS[adapter].poll(load(case / "poll.json")["token"], endpoint)
    return ADAPTERS[adapter].submit(image_request(load(case / "request.json")), endpoint)


def parts(request: httpx.Request) -> list[dict[str, Any]]:
    """A multipart body, part by part."""
    head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + request.content, policy=email.policy.HTTP)
    found = []
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        if part.get_filename() is None:
            found.append({"name": name, "text": data.decode()})
        else:
            kind, encoded = part.get_content_type(), base64.b64encode(data).decode()
            found.append({"name": name, "content_type": kind, "base64": encoded})
    return found


def response(fields: dict[str, Any]) -> httpx.Response:
    text = fields["text"] if "text" in fields else json.dumps(fields["body"])
    headers = {"content-type": "application/json", **fields.get("headers", {})}
    asked = httpx.Request("GET", fields.get("request_url", "https://provider.test/"))
    return httpx.Response(fields["status"], headers=headers, content=text.encode(), request=asked)


def image(fields: dict[str, Any]) -> Inline | Remote:
    if "url" in fields:
        return Remote(fields["url"], fields.get("said", False))
    return Inline(base64.b64decode(fields["base64"]), fields["content_type"])


def done(fields: dict[str, Any]) -> Done:
    images = tuple(map(image, fields["images"]))
    known = {k: v for k, v in fields.items() if k not in ("images", "usage", "reply")}
    return Done(images=images, usage=Usage(**fields["usage"]), **known)


@pytest.mark.parametrize(("adapter", "case"), cases("wire.json"))
def test_a_request_becomes_exactly_this_call(adapter: str, case: Path) -> None:
    wire, request = load(case / "wire.json"), sent(adapter, case)
    assert request.method == wire["method"]
    assert str(request.url) == wire["url"]
    headers = {k: v for k, v in request.headers.items() if k not in AUTOMATIC_HEADERS}
    if "parts" in wire:
        assert headers.pop("content-type").startswith("multipart/form-data; boundary=")
        assert parts(request) == wire["parts"]
    elif "body" in wire:
        assert json.loads(request.content) == wire["body"]
    else:
        assert request.content == b""
    assert headers == wire["headers"]


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
    if "pending" in expected:
        assert outcome == Pending(**expected["pending"])
        return
    assert isinstance(outcome, Done)
    reply = json.loads(said) if (said := told(outcome)) else None
    assert reply == expected.get("reply")
    assert {**asdict(outcome), "reply": None} == asdict(done(expected))


def assert_error(error: errors.DarkroomError, expected: dict[str, Any]) -> None:
    assert error.message
    assert error.message == expected.get("message", error.message)
    assert error.param == expected.get("param")
    assert error.retry_after_s == expected.get("retry_after_s")
    assert error.details == expected["details"]
    usage = asdict(error.usage) if error.usage else None
    assert usage == (asdict(Usage(**expected["usage"])) if "usage" in expected else None)


@pytest.mark.parametrize(("adapter", "case"), cases("wire.json"))
def test_the_key_is_never_in_the_address_or_the_body(adapter: str, case: Path) -> None:
    request = sent(adapter, case)
    assert KEY not in str(request.url)
    assert KEY.encode() not in request.content


@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
def test_every_adapter_has_fixtures_for_asking_answering_and_failing(adapter: str) -> None:
    names = {path.name.split("-")[0] for path in (FIXTURES / adapter).iterdir()}
    assert {"submit", "read", "error"} <= names

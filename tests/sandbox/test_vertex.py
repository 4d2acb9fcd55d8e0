"""Vertex AI: the door, and where it is stricter than the Gemini API. The rest is generateContent,
which `test_gemini` looks at."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from shared import errors
from shared.catalogue import Catalogue
from shared.domain import Endpoint, ImageRequest
from shared.providers import Done, gemini
from shared.sandbox import Sandbox
from tests.faults import ANSWERED
from tests.sandbox.conftest import Clock, images, opened, packed, parts, photo, refused

pytestmark = pytest.mark.pictures

PRO, LITE, OLD = "gemini-3-pro-image", "gemini-3.1-flash-lite-image", "gemini-2.5-flash-image"
VERSION = "v1/projects/a-project/locations/global/publishers/google"


class Vertex:
    """Calls to the sandbox's Vertex AI, with a token unless told otherwise."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def send(
        self, content: bytes, path: str, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        sent = {"authorization": "Bearer ya29.token"} if headers is None else headers
        url = f"http://sandbox/vertex/{path}"
        return self.sandbox.handle(httpx.Request("POST", url, headers=sent, content=content))

    def make(
        self,
        prompt: str = "A red bicycle",
        model: str = LITE,
        verb: str = "generateContent",
        version: str = VERSION,
        **top: Any,
    ) -> httpx.Response:
        contents = [{"role": "user", "parts": [{"text": prompt}]}]
        body = {"contents": contents, **top}
        return self.send(json.dumps(body).encode(), f"{version}/models/{model}:{verb}")


@pytest.fixture
def vertex(rows: Catalogue, clock: Clock) -> Vertex:
    return Vertex(Sandbox(rows, clock))


def unauthenticated(response: httpx.Response) -> dict[str, Any]:
    error = refused(response, 401)
    assert error["status"] == "UNAUTHENTICATED"
    (info,) = error["details"]
    assert info["metadata"]["service"] == "aiplatform.googleapis.com"
    return {"message": error["message"], "reason": info["reason"]}


def test_a_picture_is_made_as_by_the_gemini_api(vertex: Vertex) -> None:
    answer = vertex.make(generationConfig={"imageConfig": {"aspectRatio": "16:9"}})
    (data,) = images(answer)
    assert opened(data).size == (1376, 768)
    body = answer.json()
    assert body["usageMetadata"]["trafficType"] == "ON_DEMAND"
    assert "serviceTier" not in body["usageMetadata"]
    assert body["createTime"] == "2026-11-21T10:00:00Z"


def test_a_source_goes_along_in_the_body(vertex: Vertex) -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": packed(photo())}}
    contents = [{"role": "user", "parts": [{"text": "Paint it blue"}, image]}]
    assert images(vertex.make(contents=contents))


def test_streams_come_as_events_and_as_an_array(vertex: Vertex) -> None:
    events = vertex.make(verb="streamGenerateContent?alt=sse")
    (frame,) = events.text.strip().split("\r\n\r\n")
    assert json.loads(frame.removeprefix("data: "))["createTime"]
    (chunk,) = vertex.make(verb="streamGenerateContent").json()
    assert chunk["usageMetadata"]["trafficType"] == "ON_DEMAND"
    (error,) = vertex.make("x [sandbox:rate_limited]", verb="streamGenerateContent").json()
    assert error["error"]["code"] == 429


@pytest.mark.parametrize(
    ("headers", "reason", "words"),
    [
        ({}, "CREDENTIALS_MISSING", "missing required authentication"),
        ({"x-goog-api-key": "AIza"}, "CREDENTIALS_MISSING", "API keys are not supported"),
        ({"authorization": "Bearer bad"}, "ACCESS_TOKEN_TYPE_UNSUPPORTED", "invalid"),
        ({"authorization": "Basic eDp5"}, "ACCESS_TOKEN_TYPE_UNSUPPORTED", "invalid"),
        ({"authorization": "Bearer "}, "ACCESS_TOKEN_TYPE_UNSUPPORTED", "invalid"),
    ],
)
def test_only_a_token_opens(
    vertex: Vertex, headers: dict[str, str], reason: str, words: str
) -> None:
    answer = vertex.send(b"{}", f"{VERSION}/models/{PRO}:generateContent", headers)
    error = unauthenticated(answer)
    assert error["reason"] == reason
    assert words in error["message"]


def test_a_token_may_lack_the_permission(vertex: Vertex) -> None:
    headers = {"authorization": "Bearer forbidden-token"}
    answer = vertex.send(b"{}", f"{VERSION}/models/{PRO}:generateContent", headers)
    error = refused(answer, 403)
    assert "projects/a-project/locations/global/publishers/google/models" in error["message"]
    assert error["status"] == "PERMISSION_DENIED"


def test_newer_models_are_in_no_region(vertex: Vertex) -> None:
    region = VERSION.replace("global", "europe-west4")
    assert "europe-west4" in refused(vertex.make(version=region), 404)["message"]
    assert images(vertex.make(model=OLD, version=region))


@pytest.mark.parametrize(
    "path",
    [
        f"v1/models/{PRO}:generateContent",
        f"v1beta/{VERSION.removeprefix('v1/')}/models/{PRO}:generateContent",
        f"{VERSION}/models/{PRO}:predict",
        f"{VERSION}/models/imagen-4.0-generate-001:generateContent",
        "upload/v1/files",
    ],
)
def test_nothing_else_is_there(vertex: Vertex, path: str) -> None:
    refused(vertex.send(b"{}", path), 404)


def test_a_model_is_gone_after_its_shutdown(vertex: Vertex, clock: Clock) -> None:
    clock.now = clock.now.replace(year=2027, month=3, day=15)
    assert "was not found" in refused(vertex.make(model=OLD), 404)["message"]


def test_every_content_says_whose_it_is(vertex: Vertex) -> None:
    for contents in ([{"parts": [{"text": "x"}]}], {"parts": [{"text": "x"}]}):
        error = refused(vertex.make(contents=contents), 400)
        assert error["message"] == "Please use a valid role: user, model."


def test_search_has_no_kinds(vertex: Vertex) -> None:
    tools: list[Any] = [{"googleSearch": {"searchTypes": {"webSearch": {}, "imageSearch": {}}}}]
    assert "searchTypes" in refused(vertex.make(model=PRO, tools=tools), 400)["message"]
    answer = vertex.make(model=PRO, tools=[{"googleSearch": {}}])
    assert "groundingMetadata" in answer.json()["candidates"][0]


def test_there_are_no_files(vertex: Vertex) -> None:
    file = {"fileData": {"mimeType": "image/png", "fileUri": "files/abc"}}
    contents = [{"role": "user", "parts": [{"text": "x"}, file]}]
    refused(vertex.make(contents=contents), 403)


def test_bodies_that_cannot_be_read_are_refused(vertex: Vertex) -> None:
    for content in (b"{", b"[]", b'{"contents": 7}', b"[" * 100_000, b""):
        refused(vertex.send(content, f"{VERSION}/models/{PRO}:generateContent"), 400)


# ------------------------------------------------------------------------- through the adapter


def through(vertex: Vertex, prompt: str) -> Done:
    """What the adapter makes of the sandbox's answer."""
    asked = ImageRequest("generate", LITE, prompt, aspect_ratio="1:1")
    endpoint = Endpoint("http://sandbox/vertex", VERSION, LITE, "ya29.token", "service-account")
    request = gemini.submit(asked, endpoint)
    answer = vertex.sandbox.handle(request)
    answer.request = request
    return gemini.read(answer)


def test_pictures_come_through_the_adapter(vertex: Vertex) -> None:
    done = through(vertex, "A robot [sandbox:wrong_mime@vertex][sandbox:blocked@google]")
    assert len(done.images) == 1
    assert done.usage.image_tokens == 1120


@pytest.mark.parametrize(("directive", "error"), ANSWERED)
def test_every_directive_ends_as_the_error_it_stands_for(
    vertex: Vertex, directive: str, error: type[errors.DarkroomError]
) -> None:
    with pytest.raises(error) as caught:
        through(vertex, f"A robot [sandbox:{directive}@vertex]")
    assert type(caught.value) is error


def test_faults_of_the_line_are_left_to_the_front_end(vertex: Vertex) -> None:
    for fault in ("timeout", "truncated"):
        answer = vertex.make(f"A robot [sandbox:{fault}]")
        assert answer.extensions["fault"] == fault
    assert parts(vertex.make("A robot [sandbox:slow=2.5]"))


def test_the_rows_offer_no_more_than_vertex_has(rows: Catalogue) -> None:
    mine = [r for m in rows.models.values() for r in m.routes if r.provider == "vertex"]
    assert len(mine) == 4
    for route in mine:
        offer = rows.offer(route)
        assert "image_search" not in offer.options
        assert not {"1:4", "4:1", "1:8", "8:1"} & set(offer.aspect_ratios)

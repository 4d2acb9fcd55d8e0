"""The sandbox's laozhang.ai, heard by the adapters that speak to the real one."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from shared import errors, routing
from shared.catalogue import Catalogue, load
from shared.domain import Endpoint, ImageRequest, Source
from shared.errors import DarkroomError
from shared.providers import Done, Inline
from shared.providers.registry import ADAPTERS
from shared.sandbox import Sandbox
from shared.sandbox.relay_shapes import SHAPES
from tests.faults import ANSWERED
from tests.sandbox.conftest import Clock, opened, photo

pytestmark = pytest.mark.pictures

CHAT, NATIVE = "laozhang:gemini-2.5-flash-image", "laozhang:gemini-3-pro-image"
ORIGIN = "http://sandbox:9000/laozhang"


class Relay:
    """Calls by a route of the catalogue, through its adapter."""

    def __init__(self, rows: Catalogue, clock: Clock) -> None:
        self.rows, self.sandbox = rows, Sandbox(rows, clock)

    def post(self, path: str, body: object, key: str = "any") -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return self.send(httpx.Request("POST", ORIGIN + path, headers=headers, json=body))

    def send(self, request: httpx.Request) -> httpx.Response:
        response = self.sandbox.handle(request)
        response.request = request
        return response

    def asked(
        self, prompt: str, name: str = CHAT, key: str = "any", **fields: Any
    ) -> httpx.Response:
        route = self.rows.route(name)
        operation: Any = "edit" if "sources" in fields else "generate"
        request = ImageRequest(operation, route.model, prompt, **fields)
        (call,) = routing.calls(request, route, self.rows.offer(route))
        account = self.rows.providers[route.provider]
        version = account.version if route.version is None else route.version
        endpoint = Endpoint(ORIGIN, version, route.wire_model, key, account.auth, route.dialect)
        return self.send(ADAPTERS[route.wire].submit(call, endpoint))

    def done(self, prompt: str = "A cat", name: str = CHAT, **fields: Any) -> Done:
        outcome = ADAPTERS[self.rows.route(name).wire].read(self.asked(prompt, name, **fields))
        assert isinstance(outcome, Done)
        return outcome

    def pictures(self, prompt: str = "A cat", name: str = CHAT, **fields: Any) -> list[bytes]:
        return [
            image.data
            if isinstance(image, Inline)
            else self.send(httpx.Request("GET", image.url)).content
            for image in self.done(prompt, name, **fields).images
        ]

    def fault(self, prompt: str = "A cat", name: str = CHAT, key: str = "any") -> DarkroomError:
        with pytest.raises(DarkroomError) as caught:
            self.done(prompt, name, key=key)
        return caught.value


@pytest.fixture
def relay(rows: Catalogue, clock: Clock) -> Relay:
    return Relay(rows, clock)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_brings_one_picture_of_the_right_size(relay: Relay, shape: str) -> None:
    (data,) = relay.pictures(key=f"relay-{shape}")
    assert (opened(data).size, opened(data).format) == ((1024, 1024), "PNG")


def test_a_key_without_a_profile_sees_another_shape_every_time(relay: Relay) -> None:
    answers = [relay.asked("A cat").json() for _ in SHAPES]
    kinds = {
        (type(a["choices"][0]["message"]["content"]), tuple(sorted(a["choices"][0]["message"])))
        for a in answers
    }
    assert len(kinds) >= 4
    assert any("media" in answer for answer in answers)


def test_pictures_differ_from_call_to_call(relay: Relay) -> None:
    assert relay.pictures(key="relay-b64") != relay.pictures(key="relay-b64")


def test_an_address_is_of_the_origin_that_was_asked_and_needs_no_key(relay: Relay) -> None:
    (image,) = relay.done(key="relay-url").images
    assert not isinstance(image, Inline)
    assert image.url.startswith(f"{ORIGIN}/files/")
    answer = relay.send(httpx.Request("GET", image.url))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert relay.send(httpx.Request("GET", f"{ORIGIN}/files/none.png")).status_code == 404


def test_only_the_latest_addresses_are_remembered(relay: Relay) -> None:
    (first,) = relay.done(key="relay-url").images
    for _ in range(256):
        relay.done(key="relay-url")
    assert not isinstance(first, Inline)
    assert relay.send(httpx.Request("GET", first.url)).status_code == 404


def test_sources_hang_in_the_picture(relay: Relay) -> None:
    source = Source(photo(40, 40, "lime"), "image/png", 40, 40)
    (data,) = relay.pictures(key="relay-dataurl", sources=(source,))
    colours = opened(data).convert("RGB").getcolors(2**24)
    assert colours is not None
    assert (0, 255, 0) in {colour for _, colour in colours}


@pytest.mark.parametrize(
    ("profile", "name"),
    [
        ("torn", "ProviderError"),
        ("504-html", "OutcomeUnknown"),
        ("502-html", "ProviderError"),
        ("503-html", "ProviderUnavailable"),
        ("503-model_not_found", "Misconfigured"),
        ("200-error", "OutcomeUnknown"),
        ("drained", "Misconfigured"),
    ],
)
def test_a_profile_that_fails_is_told_apart(relay: Relay, profile: str, name: str) -> None:
    assert type(relay.fault(key=f"relay-{profile}")) is getattr(errors, name)


def test_a_profile_may_lie_or_miscount_or_stream(relay: Relay) -> None:
    (lied,) = relay.done(key="relay-mime-lie").images
    assert isinstance(lied, Inline)
    assert lied.content_type == "image/png"
    said = relay.asked("A cat", key="relay-mime-lie").json()
    assert "data:image/jpeg" in said["choices"][0]["message"]["content"]
    assert len(set(relay.pictures(key="relay-two"))) == 2
    assert relay.asked("A cat", key="relay-stream").text.startswith("data: {")
    assert len(relay.pictures(key="relay-stream")) == 1


@pytest.mark.parametrize("name", [CHAT, NATIVE])
@pytest.mark.parametrize(("fault", "error"), ANSWERED)
def test_a_directive_ends_as_it_says(
    relay: Relay, name: str, fault: str, error: type[errors.DarkroomError]
) -> None:
    # Twice, since shapes take turns and each must end alike; "partial" is of the first call only.
    for _ in range(1 if fault == "partial" else 2):
        assert type(relay.fault(f"A cat [sandbox:{fault}]", name)) is error


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", ["wrong_mime", "slow=2", "bytes=400000"])
def test_a_harmless_directive_brings_a_picture_all_the_same(
    relay: Relay, shape: str, order: str
) -> None:
    (data,) = relay.pictures(f"A cat [sandbox:{order}]", key=f"relay-{shape}")
    assert opened(data).size == (1024, 1024)
    assert len(data) >= (400_000 if order.startswith("bytes") else 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_spoilt_base64_is_never_a_picture(relay: Relay, shape: str) -> None:
    error = relay.fault("A cat [sandbox:bad_base64]", key=f"relay-{shape}")
    assert type(error) is errors.ProviderError


@pytest.mark.parametrize("name", [CHAT, NATIVE])
@pytest.mark.parametrize("fault", ["timeout", "truncated"])
def test_a_transport_fault_is_left_to_the_front_end(relay: Relay, name: str, fault: str) -> None:
    assert relay.asked(f"A cat [sandbox:{fault}]", name).extensions["fault"] == fault


def test_googles_own_path_makes_what_google_makes(relay: Relay) -> None:
    fields: dict[str, Any] = {"aspect_ratio": "16:9", "resolution": "2K", "seed": 3}
    (data,) = relay.pictures(name=NATIVE, **fields)
    assert opened(data).size == (2752, 1536)
    assert relay.pictures(name=NATIVE, **fields) == [data]


def test_googles_own_path_takes_the_key_in_the_address(relay: Relay) -> None:
    body = {"contents": [{"parts": [{"text": "A cat"}]}]}
    path = "/v1beta/models/gemini-3-pro-image:generateContent"
    assert relay.post(f"{path}?key=any", body, key="").status_code == 200
    refused = relay.post(path, body, key="")
    assert (refused.status_code, refused.json()["error"]["type"]) == (401, "new_api_error")


def test_a_key_is_needed_and_may_be_bad(relay: Relay) -> None:
    assert type(relay.fault(key="bad")) is errors.Misconfigured
    assert type(relay.fault(name=NATIVE, key="bad")) is errors.Misconfigured
    assert relay.post("/v1/chat/completions", {}, key="").status_code == 401


def test_a_model_nobody_serves_is_unavailable_in_the_relays_words(relay: Relay) -> None:
    body = {"model": "gpt-9", "messages": [{"role": "user", "content": "A cat"}]}
    answer = relay.post("/v1/chat/completions", body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (503, "model_not_found")
    assert "gpt-9" in error["message"]
    assert "(request id: " in error["message"]


def test_the_models_are_those_of_the_rows(relay: Relay) -> None:
    request = httpx.Request("GET", f"{ORIGIN}/v1/models", headers={"authorization": "Bearer any"})
    listed = relay.send(request).json()
    assert listed["object"] == "list"
    routes = [r for m in load().models.values() for r in m.routes if r.provider == "laozhang"]
    assert {row["id"] for row in listed["data"]} == {route.wire_model for route in routes}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "invalid JSON"),
        (b"{}", "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": ""}]}, "say something"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "content"),
        ({"messages": [{"role": "user", "content": [
            {"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "x"}}]}]},
         "image data URI"),
        ({"messages": [{"role": "user", "content": [
            {"type": "text", "text": "x"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]},
         "not a picture"),
        ({"messages": [{"role": "user", "content": "[sandbox:nonsense]"}]}, "not a sandbox"),
        ({"messages": [{"role": "user", "content": "x"}],
          "extra_body": {"google": {"image_config": {"aspect_ratio": "7:1"}}}}, "7:1"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused(relay: Relay, body: Any, words: str) -> None:
    if isinstance(body, dict):
        body = json.dumps({"model": "gemini-2.5-flash-image", **body}).encode()
    headers = {"authorization": "Bearer any"}
    url = f"{ORIGIN}/v1/chat/completions"
    answer = relay.send(httpx.Request("POST", url, headers=headers, content=body))
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_new_apis_own_fields_choose_the_shape(relay: Relay) -> None:
    config = {"aspect_ratio": "16:9"}
    body = {
        "model": "gemini-2.5-flash-image",
        "messages": [{"role": "user", "content": "A cat"}],
        "extra_body": {"google": {"image_config": config}},
    }
    answer = relay.post("/v1/chat/completions", body, key="relay-b64")
    outcome = ADAPTERS["openai_chat"].read(answer)
    assert isinstance(outcome, Done)
    (image,) = outcome.images
    assert isinstance(image, Inline)
    assert opened(image.data).size == (1344, 768)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stream_brings_the_same_shapes(relay: Relay, shape: str) -> None:
    body = {
        "model": "gemini-2.5-flash-image",
        "stream": True,
        "messages": [{"role": "user", "content": "A cat"}],
    }
    answer = relay.post("/v1/chat/completions", body, key=f"relay-{shape}")
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.text.endswith("data: [DONE]\n\n")
    outcome = ADAPTERS["openai_chat"].read(answer)
    assert isinstance(outcome, Done)
    assert len(outcome.images) == 1


def test_images_generations_gives_base64_or_addresses(relay: Relay) -> None:
    path = "/v1/images/generations"
    body = {"model": "gemini-2.5-flash-image", "prompt": "A cat", "n": 2, "size": "640x480"}
    packed = relay.post(path, body).json()["data"]
    assert len({item["b64_json"] for item in packed}) == 2
    (linked, _) = relay.post(path, {**body, "response_format": "url"}).json()["data"]
    data = relay.send(httpx.Request("GET", linked["url"])).content
    assert opened(data).size == (640, 480)
    filtered = relay.post(path, {**body, "prompt": "A cat [sandbox:partial]"}).json()["data"]
    assert len(filtered) == 1
    assert relay.post(path, {**body, "size": "9999x9999"}).status_code == 400


def test_no_other_path_is_known(relay: Relay) -> None:
    answer = relay.post("/v1/embeddings", {})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "")

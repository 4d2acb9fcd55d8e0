"""The sandbox's OpenRouter, heard by the adapters that speak to the real one."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from shared import errors, pricing, routing
from shared.catalogue import Catalogue
from shared.domain import Endpoint, ImageRequest, Source
from shared.providers import Done, Inline, openai_chat, openrouter_images
from shared.sandbox import Sandbox
from tests.faults import ANSWERED
from tests.sandbox.conftest import Clock, opened, photo

pytestmark = pytest.mark.pictures

PRO, LITE = "openrouter:gemini-3-pro-image", "openrouter:gemini-3.1-flash-lite-image"
ORIGIN = "http://sandbox/openrouter"
MODEL = "google/gemini-3.1-flash-lite-image"


class Router:
    """Calls by a route of the catalogue, through its adapter."""

    def __init__(self, rows: Catalogue, clock: Clock) -> None:
        self.rows, self.sandbox = rows, Sandbox(rows, clock)

    def send(self, method: str, path: str, body: object = None, key: str = "any") -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return self.sandbox.handle(httpx.Request(method, ORIGIN + path, headers=headers, json=body))

    def asked(
        self, prompt: str, name: str = LITE, key: str = "any", **fields: Any
    ) -> httpx.Response:
        route = self.rows.route(name)
        operation: Any = "edit" if "sources" in fields else "generate"
        request = ImageRequest(operation, route.model, prompt, **fields)
        (call,) = routing.calls(request, route, self.rows.offer(route))
        endpoint = Endpoint(ORIGIN, "v1", route.wire_model, key)
        return self.sandbox.handle(openrouter_images.submit(call, endpoint))

    def done(self, prompt: str = "A cat", name: str = LITE, **fields: Any) -> Done:
        return openrouter_images.read(self.asked(prompt, name, **fields))

    def picture(self, prompt: str = "A cat", name: str = LITE, **fields: Any) -> bytes:
        (image,) = self.done(prompt, name, **fields).images
        assert isinstance(image, Inline)
        return image.data


@pytest.fixture
def router(rows: Catalogue, clock: Clock) -> Router:
    return Router(rows, clock)


def chat(**fields: object) -> dict[str, object]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "A cat"}], **fields}


def test_a_picture_is_made_and_charged_as_the_row_says(router: Router) -> None:
    done = router.done("A cat in the rain")
    (image,) = done.images
    assert isinstance(image, Inline)
    assert opened(image.data).size == (1024, 1024)
    assert image.content_type == "image/jpeg"
    assert done.usage.image_tokens == 1120
    route = router.rows.route(LITE)
    assert done.usage.cost_micros == pricing.cost_micros(done.usage, route, 0)
    assert done.usage.cost_micros == 33_601


def test_size_and_charge_follow_the_resolution(router: Router) -> None:
    fields: dict[str, Any] = {"aspect_ratio": "16:9", "resolution": "4K"}
    done = router.done(name=PRO, **fields)
    (image,) = done.images
    assert isinstance(image, Inline)
    assert opened(image.data).size == (5504, 3072)
    assert done.usage.image_tokens == 2000
    assert done.usage.cost_micros == 240_002


def test_an_edit_takes_the_shape_of_its_first_reference(router: Router) -> None:
    source = Source(photo(90, 60), "image/png", 90, 60)
    done = router.done(sources=(source,))
    (image,) = done.images
    assert isinstance(image, Inline)
    assert opened(image.data).size == (1264, 848)
    assert done.usage.input_tokens == 1120 + 1


def test_a_seed_paints_the_same_again_and_nothing_else_does(router: Router) -> None:
    body = {"model": MODEL, "prompt": "A cat", "seed": 5}
    first, again = (router.send("POST", "/v1/images", body).json()["data"] for _ in range(2))
    assert first == again
    assert router.picture() != router.picture()


def test_the_answer_has_the_headers_and_the_zero_of_the_real_one(router: Router) -> None:
    answer = router.asked("A cat")
    assert answer.headers["x-generation-id"].startswith("gen-img-")
    assert answer.json()["created"] == 0


@pytest.mark.parametrize(("fault", "error"), ANSWERED)
def test_a_directive_ends_as_it_says(
    router: Router, fault: str, error: type[errors.DarkroomError]
) -> None:
    with pytest.raises(error) as caught:
        router.done(f"A cat [sandbox:{fault}]")
    assert type(caught.value) is error


@pytest.mark.parametrize("order", ["wrong_mime", "slow=2", "bytes=400000"])
def test_a_harmless_directive_brings_a_picture_all_the_same(router: Router, order: str) -> None:
    data = router.picture(f"A cat [sandbox:{order}]")
    assert opened(data).size == (1024, 1024)
    assert len(data) >= (400_000 if order.startswith("bytes") else 1)


@pytest.mark.parametrize("fault", ["timeout", "truncated"])
def test_a_transport_fault_is_left_to_the_front_end(router: Router, fault: str) -> None:
    assert router.asked(f"A cat [sandbox:{fault}]").extensions["fault"] == fault


def test_a_kind_that_is_a_lie_is_seen_through(router: Router) -> None:
    assert router.asked("A cat", key="lying").json()["data"][0]["media_type"] == "image/png"
    (image,) = router.done(key="lying").images
    assert isinstance(image, Inline)
    assert image.content_type == "image/jpeg"


@pytest.mark.parametrize(("key", "status"), [("", 401), ("bad", 401), ("poor", 402)])
def test_a_key_may_open_nothing(router: Router, key: str, status: int) -> None:
    answer = router.send("POST", "/v1/images", {"model": MODEL, "prompt": "A cat"}, key)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, status)
    assert ("user_id" in answer.json()) == (status != 401)
    with pytest.raises(errors.Misconfigured):
        openrouter_images.read(answer)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "invalid JSON"),
        ({"prompt": ""}, "prompt"),
        ({"n": 2}, "n must be 1"),
        ({"n": 11}, "n:"),
        ({"aspect_ratio": "wide"}, "aspect_ratio"),
        ({"aspect_ratio": "19.5:9"}, "19.5:9"),
        ({"resolution": "8K"}, "resolution"),
        ({"resolution": "4K"}, "4K"),
        ({"quality": "best"}, "quality"),
        ({"background": "none"}, "background"),
        ({"output_format": "gif"}, "output_format"),
        ({"output_compression": 101}, "output_compression"),
        ({"guidance": 3}, "guidance"),
        ({"input_references": [{"type": "image"}]}, "input_references"),
        ({"model": "google/none"}, "not a valid model ID"),
        ({"prompt": "[sandbox:nonsense]"}, "not a sandbox directive"),
    ],
)
def test_what_cannot_be_understood_is_refused(router: Router, body: Any, words: str) -> None:
    if isinstance(body, dict):
        body = json.dumps({"model": MODEL, "prompt": "A cat", **body}).encode()
    headers = {"authorization": "Bearer any"}
    request = httpx.Request("POST", f"{ORIGIN}/v1/images", headers=headers, content=body)
    answer = router.sandbox.handle(request)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == 400
    assert words in answer.json()["error"]["message"]


def test_both_lists_name_the_models_of_the_rows(router: Router) -> None:
    models = router.send("GET", "/api/v1/images/models").json()["data"]
    names = {model["id"]: model for model in models}
    assert set(names) == {MODEL, "google/gemini-3-pro-image", "google/gemini-2.5-flash-image"}
    takes = names[MODEL]["supported_parameters"]
    assert takes["resolution"] == {"type": "enum", "values": ["1K"]}
    assert takes["input_references"]["max"] == 14
    plain = router.send("GET", "/v1/models").json()["data"]
    assert {model["id"] for model in plain} == set(names)


def test_chat_puts_the_picture_beside_an_empty_text(router: Router) -> None:
    body = chat(modalities=["image", "text"], image_config={"aspect_ratio": "4:5"})
    answer = router.send("POST", "/api/v1/chat/completions", body)
    message = answer.json()["choices"][0]["message"]
    assert message["content"] == ""
    data = base64.b64decode(message["images"][0]["image_url"]["url"].partition(",")[2])
    assert opened(data).size == (928, 1152)
    done = openai_chat.read(answer)
    assert len(done.images) == 1
    assert done.usage.cost_micros == 33_601


def test_a_stream_brings_the_picture_in_one_event(router: Router) -> None:
    answer = router.send("POST", "/v1/chat/completions", chat(stream=True))
    lines = answer.text.split("\n\n")
    assert lines[0] == ": OPENROUTER PROCESSING"
    assert lines[-2:] == ["data: [DONE]", ""]
    assert sum("image_url" in line for line in lines) == 1
    done = openai_chat.read(answer)
    assert len(done.images) == 1
    assert done.usage.image_tokens == 1120


def test_a_stream_may_end_in_an_error(router: Router) -> None:
    answer = router.send("POST", "/v1/chat/completions", chat(stream=True), key="broken")
    assert answer.status_code == 200
    with pytest.raises(errors.ProviderError) as caught:
        openai_chat.read(answer)
    assert caught.value.details == {"http_status": 200}


@pytest.mark.parametrize(
    ("fault", "error"),
    [("no_image", "NoImage"), ("text_only", "NoImage"), ("blocked", "ContentBlocked")],
)
def test_chat_may_have_nothing_to_show(router: Router, fault: str, error: str) -> None:
    said = [{"role": "user", "content": f"A cat [sandbox:{fault}]"}]
    answer = router.send("POST", "/v1/chat/completions", chat(messages=said))
    with pytest.raises(getattr(errors, error)):
        openai_chat.read(answer)


def test_no_other_path_is_known(router: Router) -> None:
    assert router.send("GET", "/v1/credits").status_code == 404

"""OpenAI's own SDK against the sandbox, which it takes for OpenAI."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

import openai
import pytest
from openai.types import ImagesResponse
from PIL import Image

from tests.sandbox.conftest import opened, photo
from tests.sandbox.process import running

pytestmark = pytest.mark.process
FLARE, SECOND = "gpt-image-2.5-flare", "gpt-image-2"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running() as address:
        yield f"{address}/openai/v1"


def sdk(address: str, key: str = "any") -> openai.OpenAI:
    return openai.OpenAI(
        api_key=key,
        base_url=address,
        max_retries=0,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    )


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[openai.OpenAI]:
    with sdk(address) as client:
        yield client


def drawn(response: ImagesResponse) -> list[Image.Image]:
    return [opened(base64.b64decode(item.b64_json or "")) for item in response.data or []]


def mask() -> bytes:
    file = io.BytesIO()
    Image.new("RGBA", (90, 160)).save(file, "PNG")
    return file.getvalue()


def test_a_picture_is_generated(client: openai.OpenAI) -> None:
    reply = client.images.generate(
        model=FLARE,
        prompt="A red bicycle",
        size="1536x864",
        quality="low",
        background="opaque",
        output_format="webp",
        output_compression=80,
        moderation="low",
    )
    (picture,) = drawn(reply)
    assert (picture.size, picture.format) == ((1536, 864), "WEBP")
    assert (reply.size, reply.quality, reply.output_format) == ("1536x864", "low", "webp")
    assert reply.usage is not None
    assert reply.usage.output_tokens == 120
    assert reply.usage.output_tokens_details is not None
    assert reply.usage.output_tokens_details.image_tokens == 120


def test_two_pictures_are_generated(client: openai.OpenAI) -> None:
    reply = client.images.generate(model=SECOND, prompt="A cat", n=2, quality="low")
    assert [picture.size for picture in drawn(reply)] == [(1024, 1024)] * 2
    assert len({item.b64_json for item in reply.data or []}) == 2


def test_one_file_is_edited_under_a_mask(client: openai.OpenAI) -> None:
    reply = client.images.edit(
        model=FLARE,
        prompt="Add a cat",
        image=photo(90, 160),
        mask=mask(),
        quality="low",
        n=1,
        stream=False,
    )
    assert drawn(reply)[0].size == (864, 1536)


def test_a_list_of_files_is_edited(client: openai.OpenAI) -> None:
    files = [("a.png", photo(), "image/png"), ("b.jpg", photo(kind="JPEG"), "image/jpeg")]
    reply = client.images.edit(
        model="gpt-image-1.5",
        prompt="Put them together",
        image=list(files),
        size="1536x1024",
        quality="low",
        input_fidelity="high",
    )
    assert drawn(reply)[0].size == (1536, 1024)
    assert reply.usage is not None
    assert reply.usage.input_tokens_details.image_tokens == 2 * 323


def test_an_edit_is_asked_in_json(client: openai.OpenAI) -> None:
    url = f"data:image/png;base64,{base64.b64encode(photo()).decode()}"
    body = {
        "model": FLARE,
        "prompt": "Add a cat",
        "quality": "low",
        "images": [{"image_url": url}],
        "moderation": "low",
    }
    reply = client.post("/images/edits", cast_to=ImagesResponse, body=body)
    assert drawn(reply)[0].size == (1024, 1024)


def test_a_picture_is_streamed(client: openai.OpenAI) -> None:
    stream = client.images.generate(
        model=FLARE, prompt="A cat", quality="low", stream=True, partial_images=2
    )
    found = list(stream)
    assert [event.type for event in found] == [
        "image_generation.partial_image",
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    last = found[-1]
    assert isinstance(last, openai.types.ImageGenCompletedEvent)
    assert opened(base64.b64decode(last.b64_json)).size == (1024, 1024)
    assert last.usage.output_tokens == 196 + 200
    assert [
        event.partial_image_index
        for event in found
        if isinstance(event, openai.types.ImageGenPartialImageEvent)
    ] == [0, 1]


def test_an_edit_is_streamed(client: openai.OpenAI) -> None:
    stream = client.images.edit(
        model=FLARE,
        prompt="Add a cat",
        image=[photo()],
        quality="low",
        stream=True,
        partial_images=1,
    )
    kinds = [event.type for event in stream]
    assert kinds == ["image_edit.partial_image", "image_edit.completed"]


def test_models_are_listed_and_got(client: openai.OpenAI) -> None:
    assert {FLARE, SECOND, f"{SECOND}-2026-04-21"} <= {m.id for m in client.models.list()}
    model = client.models.retrieve("gpt-image-1.5")
    assert (model.object, model.shutdown_date) == ("model", "2026-12-01")


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ("blocked", openai.BadRequestError, "moderation_blocked"),
        ("rate_limited", openai.RateLimitError, "rate_limit_exceeded"),
        ("quota_exhausted", openai.RateLimitError, "rate_limit_exceeded"),
        ("server_error", openai.InternalServerError, None),
        ("unavailable", openai.InternalServerError, None),
        ("truncated", openai.APIConnectionError, None),
    ],
)
def test_faults_are_the_sdks_own_errors(
    client: openai.OpenAI, fault: str, kind: type[openai.APIError], code: str | None
) -> None:
    with pytest.raises(kind) as caught:
        client.images.generate(model=FLARE, prompt=f"A cat [sandbox:{fault}]", quality="low")
    assert type(caught.value) is kind
    assert caught.value.code == code
    if isinstance(caught.value, openai.APIStatusError):
        assert (caught.value.request_id or "").startswith("req_")


def test_an_error_instead_of_a_stream_is_the_sdks_own_too(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="safety system"):
        client.images.generate(model=FLARE, prompt="A cat [sandbox:blocked]", stream=True)


@pytest.mark.parametrize(
    ("key", "kind", "code"),
    [
        ("bad", openai.AuthenticationError, "invalid_api_key"),
        ("unverified", openai.PermissionDeniedError, None),
        ("poor", openai.RateLimitError, "insufficient_quota"),
    ],
)
def test_keys_that_open_nothing_are_the_sdks_own_errors(
    address: str, key: str, kind: type[openai.APIStatusError], code: str | None
) -> None:
    with sdk(address, key) as stranger, pytest.raises(kind) as caught:
        stranger.images.generate(model=FLARE, prompt="A cat")
    assert caught.value.code == code


@pytest.mark.parametrize("model", ["gpt-image-1", "dall-e-3", "gpt-image-9"])
def test_models_that_are_gone_or_unknown_are_the_sdks_own_errors(
    client: openai.OpenAI, model: str
) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(model=model, prompt="A cat")
    assert caught.value.code == "model_not_found"


def test_a_field_of_a_retired_model_is_the_sdks_own_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model=FLARE, prompt="A cat", response_format="b64_json")
    assert (caught.value.code, caught.value.param) == ("unknown_parameter", "response_format")

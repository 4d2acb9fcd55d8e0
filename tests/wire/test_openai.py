"""OpenAI's own SDK on a tour of whatever speaks OpenAI's API: it sees the same at the sandbox,
which it takes for OpenAI, and at a Darkroom."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai.types import ImagesResponse

from tests.sandbox.conftest import opened, photo
from tests.wire.pictures import chatted, drawn, mask
from tests.wire.targets import Darkroom, Target

pytestmark = pytest.mark.process
FLARE, SECOND = "gpt-image-2.5-flare", "gpt-image-2"
FAULTS = ("blocked", "rate_limited", "quota_exhausted", "unavailable", "server_error", "truncated")


def sdk(address: str, key: str, max_retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(
        api_key=key,
        base_url=address,
        max_retries=max_retries,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    )


@pytest.fixture(scope="module")
def client(target: Target) -> Iterator[openai.OpenAI]:
    with sdk(target.openai, target.key) as client:
        yield client


@pytest.fixture(scope="module")
def chat(target: Target) -> Iterator[openai.OpenAI]:
    with sdk(target.chat, target.key) as client:
        yield client


def test_a_picture_is_generated(target: Target, client: openai.OpenAI) -> None:
    with target.paid():
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
    assert reply.background == "opaque"
    assert reply.usage is not None
    assert reply.usage.output_tokens == 120
    assert reply.usage.total_tokens == reply.usage.input_tokens + 120
    assert reply.usage.output_tokens_details is not None
    assert reply.usage.output_tokens_details.image_tokens == 120
    assert (reply._request_id or "").startswith("req_")


def test_what_is_not_asked_for_is_chosen_and_told(target: Target, client: openai.OpenAI) -> None:
    with target.paid():
        reply = client.images.generate(model="gpt-image-1-mini", prompt="A cat", quality="low")
    (picture,) = drawn(reply)
    assert (picture.size, picture.format) == ((1024, 1024), "PNG")
    assert (reply.size, reply.output_format) == ("1024x1024", "png")
    assert reply.background in ("opaque", "transparent")


def test_two_pictures_are_generated(target: Target, client: openai.OpenAI) -> None:
    with target.paid(pictures=2):
        reply = client.images.generate(model=SECOND, prompt="A cat", n=2, quality="low")
    assert [picture.size for picture in drawn(reply)] == [(1024, 1024)] * 2
    assert len({item.b64_json for item in reply.data or []}) == 2


def test_one_file_is_edited_under_a_mask(target: Target, client: openai.OpenAI) -> None:
    with target.paid():
        reply = client.images.edit(
            model=FLARE,
            prompt="Add a cat",
            image=photo(90, 160),
            mask=mask((90, 160)),
            quality="low",
            n=1,
            stream=False,
        )
    assert drawn(reply)[0].size == (864, 1536)


def test_a_list_of_files_is_edited(target: Target, client: openai.OpenAI) -> None:
    files = [("a.png", photo(), "image/png"), ("b.jpg", photo(kind="JPEG"), "image/jpeg")]
    with target.paid():
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


def test_an_edit_is_asked_in_json(target: Target, client: openai.OpenAI) -> None:
    url = f"data:image/png;base64,{base64.b64encode(photo()).decode()}"
    body = {
        "model": FLARE,
        "prompt": "Add a cat",
        "quality": "low",
        "images": [{"image_url": url}],
        "moderation": "low",
    }
    with target.paid():
        reply = client.post("/images/edits", cast_to=ImagesResponse, body=body)
    assert drawn(reply)[0].size == (1024, 1024)


def test_a_picture_is_streamed(target: Target, client: openai.OpenAI) -> None:
    with target.paid():
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
    sketches = [e for e in found if isinstance(e, openai.types.ImageGenPartialImageEvent)]
    assert [event.partial_image_index for event in sketches] == [0, 1]
    assert {(event.size, event.output_format) for event in found} == {("1024x1024", "png")}


def test_an_edit_is_streamed(target: Target, client: openai.OpenAI) -> None:
    with target.paid():
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


def test_a_chat_goes_on_for_three_turns(target: Target, chat: openai.OpenAI) -> None:
    messages: list[Any] = []
    with target.paid(requests=3):
        for prompt in ("A red bicycle", "Make it blue", "Now at night"):
            messages.append({"role": "user", "content": prompt})
            reply = chat.chat.completions.create(
                model=target.chat_model,
                messages=messages,
                extra_body={
                    "modalities": ["image", "text"],
                    "image_config": {"aspect_ratio": "16:9", "image_size": "1K"},
                },
            )
            message = reply.choices[0].message
            assert [picture.size for picture in chatted(message)] == [(1376, 768)]
            assert reply.choices[0].finish_reason == "stop"
            assert reply.usage is not None
            assert reply.usage.total_tokens > 0
            messages.append(message.to_dict())


def test_a_chat_edits_a_picture_that_it_is_shown(target: Target, chat: openai.OpenAI) -> None:
    url = f"data:image/png;base64,{base64.b64encode(photo(90, 160)).decode()}"
    shown: Any = [
        {"type": "text", "text": "Add a cat"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    with target.paid():
        reply = chat.chat.completions.create(
            model=target.chat_model, messages=[{"role": "user", "content": shown}]
        )
    assert chatted(reply.choices[0].message)[0].size == (768, 1376)


def test_a_chat_is_streamed(target: Target, chat: openai.OpenAI) -> None:
    with target.paid():
        stream = chat.chat.completions.create(
            model=target.chat_model,
            messages=[{"role": "user", "content": "A cat"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert sum(len(chatted(delta)) for delta in deltas) == 1
    assert {c.choices[0].finish_reason for c in chunks if c.choices} >= {"stop"}
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens > 0


def test_models_are_listed_and_got(client: openai.OpenAI) -> None:
    assert {FLARE, SECOND} <= {model.id for model in client.models.list()}
    assert client.models.retrieve(f"{SECOND}-2026-04-21").object == "model"
    model = client.models.retrieve("gpt-image-1.5")
    assert (model.id, model.object) == ("gpt-image-1.5", "model")
    assert model.shutdown_date == "2026-12-01"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-image-9")


@pytest.fixture(scope="module")
def faults(target: Target) -> Mapping[str, openai.APIError]:
    """What each fault comes to, all at once: a Darkroom tries some again before it gives up."""

    def met(fault: str) -> openai.APIError:
        with pytest.raises(openai.APIError) as caught:
            tester.images.generate(model=FLARE, prompt=f"A cat [sandbox:{fault}]", quality="low")
        return caught.value

    with sdk(target.openai, target.test_key) as tester, ThreadPoolExecutor(len(FAULTS)) as pool:
        return dict(zip(FAULTS, pool.map(met, FAULTS), strict=True))


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ("blocked", openai.BadRequestError, "moderation_blocked"),
        ("rate_limited", openai.RateLimitError, "rate_limit_exceeded"),
        ("quota_exhausted", openai.RateLimitError, "rate_limit_exceeded"),
        ("server_error", openai.InternalServerError, None),
        ("unavailable", openai.InternalServerError, None),
    ],
)
def test_faults_are_the_sdks_own_errors(
    faults: Mapping[str, openai.APIError], fault: str, kind: type, code: str | None
) -> None:
    error = faults[fault]
    assert type(error) is kind
    assert error.code == code
    assert isinstance(error, openai.APIStatusError)
    assert (error.request_id or "").startswith("req_")
    assert isinstance(error.body, dict)
    assert {*error.body} == {"message", "type", "param", "code"}


def test_an_answer_that_breaks_off_is_the_sdks_own_error(
    target: Target, faults: Mapping[str, openai.APIError]
) -> None:
    """Between the SDK and the sandbox it is the line that breaks; a Darkroom can still say so."""
    line = target.name == "sandbox"
    assert type(faults["truncated"]) is (
        openai.APIConnectionError if line else openai.InternalServerError
    )


def test_an_error_instead_of_a_stream_is_the_sdks_own_too(
    target: Target, client: openai.OpenAI
) -> None:
    with target.paid(requests=0), pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model=FLARE, prompt="A cat [sandbox:blocked]", stream=True)
    assert caught.value.code == "moderation_blocked"


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"size": "100x100"}, "size"),
        ({"size": "huge"}, "size"),
        ({"quality": "finest"}, "quality"),
        ({"n": 11}, "n"),
        ({"prompt": ""}, "prompt"),
        ({"background": "transparent", "model": SECOND}, "background"),
    ],
)
def test_what_cannot_be_is_the_sdks_own_error(
    target: Target, client: openai.OpenAI, asked: dict[str, Any], param: str
) -> None:
    body: dict[str, Any] = {"model": FLARE, "prompt": "A cat", "quality": "low", **asked}
    with target.paid(requests=0), pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(**body)
    assert caught.value.param == param


def test_a_file_that_is_no_picture_is_the_sdks_own_error(
    target: Target, client: openai.OpenAI
) -> None:
    with target.paid(requests=0), pytest.raises(openai.BadRequestError) as caught:
        client.images.edit(model=FLARE, prompt="Add a cat", image=b"no picture", quality="low")
    assert (caught.value.code, caught.value.param) == ("invalid_image_file", "image")


def test_keys_that_open_nothing_are_the_sdks_own_errors(target: Target) -> None:
    with sdk(target.openai, "bad") as stranger:
        with pytest.raises(openai.AuthenticationError) as caught:
            stranger.images.generate(model=FLARE, prompt="A cat")
        assert caught.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            list(stranger.models.list())


def test_an_account_without_credit_is_the_sdks_own_error(target: Target) -> None:
    poor = target.open_account().key if isinstance(target, Darkroom) else "poor"
    with sdk(target.openai, poor) as client, pytest.raises(openai.RateLimitError) as caught:
        client.images.generate(model=FLARE, prompt="A cat", quality="low")
    assert (caught.value.code, caught.value.type) == ("insufficient_quota", "insufficient_quota")


def test_an_organisation_that_is_not_verified_is_the_sdks_own_error(sandbox: Target) -> None:
    with sdk(sandbox.openai, "unverified") as stranger:
        with pytest.raises(openai.PermissionDeniedError) as caught:
            stranger.images.generate(model=FLARE, prompt="A cat")
        assert caught.value.code is None


@pytest.mark.parametrize("model", ["gpt-image-1", "dall-e-3", "gpt-image-9"])
def test_models_that_are_gone_or_unknown_are_the_sdks_own_errors(
    client: openai.OpenAI, model: str
) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(model=model, prompt="A cat")
    assert caught.value.code == "model_not_found"


def test_a_field_of_a_retired_model_is_the_sdks_own_error(sandbox: Target) -> None:
    """A Darkroom takes it, because some clients send it to every model they do not know."""
    with sdk(sandbox.openai, "any") as client, pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model=FLARE, prompt="A cat", response_format="b64_json")
    assert (caught.value.code, caught.value.param) == ("unknown_parameter", "response_format")


def test_an_answer_that_takes_too_long_is_the_sdks_own_error(target: Target) -> None:
    with sdk(target.openai, target.test_key) as client, pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.5).images.generate(
            model=FLARE, prompt="A cat [sandbox:slow=1]", quality="low"
        )


def test_an_error_that_passes_is_outlived(target: Target) -> None:
    """By the SDK's own second try, or by ours before the SDK hears of it."""
    with target.paid(), sdk(target.openai, target.key, max_retries=2) as client:
        prompt = "A cat [sandbox:rate_limited*1]"
        reply = client.images.generate(model=FLARE, prompt=prompt, quality="low")
    assert len(drawn(reply)) == 1

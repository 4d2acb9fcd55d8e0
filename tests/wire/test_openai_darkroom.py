"""What OpenAI's own SDK finds at a Darkroom beyond what OpenAI has: every model, chats and files
for all of them, links, keys for repeats, and a bill that counts each picture once."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from openai.types import ImagesResponse

from tests.functions.test_processes import until
from tests.sandbox.conftest import opened, photo
from tests.wire.pictures import chatted, drawn
from tests.wire.targets import Darkroom
from tests.wire.test_google_genai import sdk as google
from tests.wire.test_openai import FLARE, sdk

pytestmark = pytest.mark.process
PRO = "gemini-3-pro-image"


@pytest.fixture(scope="module")
def client(darkroom: Darkroom) -> Iterator[openai.OpenAI]:
    with sdk(darkroom.openai, darkroom.key) as client:
        yield client


def fetched(url: str) -> bytes:
    """What a link leads to, for which no key is needed."""
    answer = httpx.get(url, timeout=30, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize(
    ("model", "asked", "size"),
    [
        (PRO, "1536x1024", "1264x848"),
        ("nano-banana-pro", "1024x1024", "1024x1024"),
        ("nano-banana-2", "1024x1792", "768x1376"),
        ("seedream-4-0", "1024x1024", "1024x1024"),
    ],
)
def test_any_model_draws(
    darkroom: Darkroom, client: openai.OpenAI, model: str, asked: Any, size: str
) -> None:
    """In the size that comes nearest to what was asked, and it says so."""
    with darkroom.paid():
        reply = client.images.generate(model=model, prompt="A red bicycle", size=asked)
    (picture,) = drawn(reply)
    assert (f"{picture.width}x{picture.height}", picture.format) == (size, "PNG")
    assert (reply.size, reply.output_format) == (size, "png")
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.input_tokens + reply.usage.output_tokens
    assert reply.usage.input_tokens_details.image_tokens == 0


def test_several_pictures_are_one_charge(darkroom: Darkroom, client: openai.OpenAI) -> None:
    with darkroom.paid(pictures=3):
        reply = client.images.generate(model=PRO, prompt="A cat", n=3)
    assert len({item.b64_json for item in reply.data or []}) == 3
    (made, *_) = darkroom.account.requests()
    assert (made["id"], made["surface"], made["operation"]) == (
        reply._request_id,
        "openai",
        "generate",
    )


def test_what_is_not_delivered_is_not_charged(darkroom: Darkroom, client: openai.OpenAI) -> None:
    with darkroom.paid(pictures=2):
        reply = client.images.generate(model=PRO, prompt="A cat [sandbox:partial]", n=3)
    assert len(reply.data or []) == 2
    with darkroom.paid(requests=0):
        for fault, kind in (
            ("blocked", openai.BadRequestError),
            ("no_image", openai.BadRequestError),
            ("text_only", openai.BadRequestError),
            ("not_json", openai.InternalServerError),
        ):
            with pytest.raises(kind):
                client.images.generate(model=PRO, prompt=f"A cat [sandbox:{fault}]")


def test_a_gemini_edits(darkroom: Darkroom, client: openai.OpenAI) -> None:
    with darkroom.paid():
        reply = client.images.edit(model=PRO, prompt="Add a cat", image=photo(90, 160))
    assert drawn(reply)[0].size == (768, 1376)
    with darkroom.paid(pictures=2):
        reply = client.images.edit(
            model=PRO, prompt="Put them together", image=[photo(), photo(kind="JPEG")], n=2
        )
    assert len(drawn(reply)) == 2


def test_a_model_that_cannot_sketch_streams_its_picture(
    darkroom: Darkroom, client: openai.OpenAI
) -> None:
    with darkroom.paid():
        stream = client.images.generate(model=PRO, prompt="A cat", stream=True, partial_images=2)
        (event,) = list(stream)
    assert isinstance(event, openai.types.ImageGenCompletedEvent)
    picture = opened(base64.b64decode(event.b64_json))
    assert (event.size, event.output_format) == (f"{picture.width}x{picture.height}", "png")
    assert event.usage.total_tokens > 0


def test_every_model_is_listed(darkroom: Darkroom, client: openai.OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert {FLARE, PRO, "seedream-4-5", "gemini-nano-banana-2.1"} <= names
    assert client.models.retrieve("nano-banana-pro").object == "model"


def test_fields_that_mean_nothing_here_are_named(darkroom: Darkroom, client: openai.OpenAI) -> None:
    with darkroom.paid():
        answer = client.images.with_raw_response.generate(
            model=PRO,
            prompt="A cat",
            response_format="b64_json",
            style="vivid",
            user="somebody",
            moderation="low",
        )
    assert len(drawn(answer.parse())) == 1
    ignored = answer.headers["x-darkroom-ignored"].replace(" ", "").split(",")
    assert {"style", "moderation"} <= {*ignored}
    assert not {"model", "prompt", "response_format"} & {*ignored}


def test_links_come_instead_of_base64(darkroom: Darkroom, client: openai.OpenAI) -> None:
    ways: tuple[dict[str, Any], ...] = (
        {"extra_headers": {"x-darkroom-delivery": "url"}},
        {"extra_query": {"delivery": "url"}},
    )
    for way in ways:
        with darkroom.paid():
            reply = client.images.generate(model=FLARE, prompt="A cat", quality="low", **way)
        (item,) = reply.data or []
        assert item.b64_json is None
        assert opened(fetched(item.url or "")).size == (1024, 1024)


def test_a_link_stands_beside_base64_where_a_url_is_asked_for(
    darkroom: Darkroom, client: openai.OpenAI
) -> None:
    with darkroom.paid():
        reply = client.images.generate(
            model=FLARE, prompt="A cat", quality="low", response_format="url"
        )
    (item,) = reply.data or []
    assert fetched(item.url or "") == base64.b64decode(item.b64_json or "")


def test_a_chat_that_keeps_only_words_and_links_goes_on(
    darkroom: Darkroom, client: openai.OpenAI
) -> None:
    """As programs for chats do, which know of no `images`."""
    messages: list[Any] = []
    with darkroom.paid(requests=3):
        for prompt in ("A red bicycle", "Make it blue", "Now at night"):
            messages.append({"role": "user", "content": prompt})
            reply = client.chat.completions.create(model=PRO, messages=messages)
            message = reply.choices[0].message
            (picture,) = chatted(message)
            link = (message.content or "").partition("](")[2].partition(")")[0]
            assert opened(fetched(link)).size == picture.size
            messages.append({"role": "assistant", "content": message.content})
    last, middle, first = darkroom.account.requests()[:3]
    assert last["previous_request_id"] == middle["id"]
    assert middle["previous_request_id"] == first["id"]
    assert first["previous_request_id"] is None
    assert (last["operation"], last["prompt"], last["surface"]) == (
        "edit",
        "Now at night",
        "openai",
    )


def test_a_chat_with_a_model_that_has_no_memory_goes_on(
    darkroom: Darkroom, client: openai.OpenAI
) -> None:
    messages: list[Any] = [{"role": "user", "content": "A red bicycle"}]
    with darkroom.paid(requests=2):
        reply = client.chat.completions.create(model="seedream-4-0", messages=messages)
        messages += [
            reply.choices[0].message.to_dict(),
            {"role": "user", "content": "Make it blue"},
        ]
        reply = client.chat.completions.create(model="seedream-4-0", messages=messages)
    assert len(chatted(reply.choices[0].message)) == 1
    assert darkroom.account.requests()[0]["operation"] == "edit"


def test_a_chat_gives_links_where_they_are_wanted(
    darkroom: Darkroom, client: openai.OpenAI
) -> None:
    with darkroom.paid():
        reply = client.chat.completions.create(
            model=PRO,
            messages=[{"role": "user", "content": "A cat"}],
            extra_headers={"x-darkroom-delivery": "url"},
        )
    (image,) = (reply.choices[0].message.model_extra or {})["images"]
    assert opened(fetched(image["image_url"]["url"])).format == "JPEG"


def test_a_key_makes_repeats_harmless(darkroom: Darkroom, client: openai.OpenAI) -> None:
    again = {"Idempotency-Key": f"key-{time.time_ns()}"}

    def ask(prompt: str) -> Any:
        return client.images.with_raw_response.generate(
            model=FLARE, prompt=prompt, quality="low", extra_headers=again
        )

    with darkroom.paid():
        first, second = ask("A cat"), ask("A cat")
        assert drawn(first.parse())[0].tobytes() == drawn(second.parse())[0].tobytes()
        assert second.headers["idempotent-replayed"] == "true"
        assert second.headers["x-request-id"] == first.headers["x-request-id"]
        with pytest.raises(openai.UnprocessableEntityError) as other:
            ask("A dog")
    assert isinstance(other.value.body, dict)
    assert {*other.value.body} == {"message", "type", "param", "code"}


def test_a_key_that_is_still_at_work_is_a_conflict(
    darkroom: Darkroom, client: openai.OpenAI
) -> None:
    """Which the SDK outlives by itself, to collect the first one's picture."""
    key = f"key-{time.time_ns()}"

    def ask(client: openai.OpenAI) -> ImagesResponse:
        prompt, headers = "A cat [sandbox:slow=3]", {"Idempotency-Key": key}
        return client.images.generate(
            model=FLARE, prompt=prompt, quality="low", extra_headers=headers
        )

    def begun() -> bool:
        return bool(darkroom.account.get(f"/requests?idempotency_key={key}")["data"])

    with darkroom.paid(), ThreadPoolExecutor() as pool:
        first = pool.submit(ask, client)
        until(begun)
        with pytest.raises(openai.ConflictError) as busy:
            ask(client)
        assert 0 < float(busy.value.response.headers["retry-after"]) <= 120
        second = ask(client.with_options(max_retries=4))
        assert second.data == first.result().data


def test_a_client_that_gives_up_and_asks_again_pays_once(
    darkroom: Darkroom, client: openai.OpenAI
) -> None:
    """The SDK repeats what took too long, without a key, and says so in a header."""
    impatient = client.with_options(timeout=1.0, max_retries=4)
    with darkroom.paid():
        reply = impatient.images.generate(
            model=FLARE, prompt="A cat that pays once [sandbox:slow=3]", quality="low"
        )
    assert len(drawn(reply)) == 1


def test_a_client_that_gives_up_for_good_loses_nothing(
    darkroom: Darkroom, client: openai.OpenAI
) -> None:
    def done() -> bool:
        (latest, *_) = darkroom.account.requests()
        return "left alone" in latest["prompt"] and latest["status"] == "succeeded"

    with darkroom.paid():
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=0.5).images.generate(
                model=FLARE, prompt="A cat left alone [sandbox:slow=1]", quality="low"
            )
        until(done)
    (latest, *_) = darkroom.account.requests()
    assert opened(fetched(latest["images"][0]["url"])).size == (1024, 1024)


@pytest.mark.parametrize("fault", ["truncated", "not_json"])
def test_what_may_have_been_made_is_not_asked_for_again(
    darkroom: Darkroom, client: openai.OpenAI, fault: str
) -> None:
    """The SDK would repeat these by itself, and the picture be made and paid for once more."""
    known = {request["id"] for request in darkroom.account.requests()}
    persistent = client.with_options(max_retries=2)
    with darkroom.paid(requests=0), pytest.raises(openai.InternalServerError) as caught:
        persistent.images.generate(model=FLARE, prompt=f"A cat [sandbox:{fault}]", quality="low")
    (new,) = [r for r in darkroom.account.requests() if r["id"] not in known]
    assert (new["id"], new["status"]) == (caught.value.request_id, "failed")


def test_the_same_asked_twice_on_purpose_is_paid_twice(
    darkroom: Darkroom, client: openai.OpenAI
) -> None:
    with darkroom.paid(requests=2):
        for _ in range(2):
            client.images.generate(model=FLARE, prompt="A cat twice", quality="low")


def test_too_many_requests_are_the_sdks_own_error(darkroom: Darkroom) -> None:
    hurried = darkroom.open_account("--credit-usd", "1", "--rpm", "1")
    with sdk(darkroom.openai, hurried.key) as client:
        answer = client.images.with_raw_response.generate(
            model=FLARE, prompt="A cat", quality="low"
        )
        assert answer.headers["x-ratelimit-limit-requests"] == "1"
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
        with hurried.paid(requests=0), pytest.raises(openai.RateLimitError) as caught:
            client.images.generate(model=FLARE, prompt="A cat", quality="low")
    assert (caught.value.type, caught.value.code) == ("requests", "rate_limit_exceeded")
    assert 0 < float(caught.value.response.headers["retry-after"]) <= 120
    assert len(hurried.charges()) == 1


def test_a_test_key_draws_and_costs_nothing(darkroom: Darkroom) -> None:
    with darkroom.paid(requests=0), sdk(darkroom.openai, darkroom.test_key) as client:
        reply = client.images.generate(model=PRO, prompt="A cat")
    assert len(drawn(reply)) == 1


def edited(client: openai.OpenAI, file_id: str) -> ImagesResponse:
    """A file of the account, edited by its id, which only JSON can name."""
    body = {"model": PRO, "prompt": "Add a cat", "images": [{"file_id": file_id}]}
    return client.post("/images/edits", cast_to=ImagesResponse, body=body)


def test_a_file_sent_ahead_is_edited(darkroom: Darkroom, client: openai.OpenAI) -> None:
    data = photo(90, 160)
    wanted = {"filename": "photo.png", "content_type": "image/png", "bytes": len(data)}
    auth = {"authorization": f"Bearer {darkroom.key}"}
    with httpx.Client(timeout=30, trust_env=False) as http:
        url = f"{darkroom.account.url}/account/uploads"
        leave = http.post(url, json=wanted, headers=auth).json()
        assert http.put(leave["url"], content=data, headers=leave["headers"]).is_success
    with darkroom.paid():
        assert drawn(edited(client, leave["upload_id"]))[0].size == (768, 1376)


def test_a_file_kept_by_googles_sdk_is_edited(darkroom: Darkroom, client: openai.OpenAI) -> None:
    with google(darkroom) as other:
        file = other.files.upload(
            file=io.BytesIO(photo(90, 160)), config={"mime_type": "image/png"}
        )
        kept = (file.name or "").removeprefix("files/")
        with darkroom.paid():
            assert drawn(edited(client, kept))[0].size == (768, 1376)
        other.files.delete(name=file.name or "")
    with darkroom.paid(requests=0), pytest.raises(openai.NotFoundError):
        edited(client, kept)

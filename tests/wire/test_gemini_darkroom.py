"""What Google's own SDK finds at a Darkroom beyond what Google has: every model, several
candidates, links, keys for repeats, and a bill that counts each picture once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from PIL import Image

from tests.sandbox.conftest import opened, photo
from tests.wire.pictures import painted
from tests.wire.targets import Darkroom
from tests.wire.test_google_genai import LATEST, PRO, sdk

pytestmark = pytest.mark.process
SHORT = 1_000
"""Bytes: Google's own signatures are longer than the pictures that they sign."""


@pytest.fixture(scope="module")
def client(darkroom: Darkroom) -> Iterator[genai.Client]:
    with sdk(darkroom) as client:
        yield client


def made(reply: types.GenerateContentResponse) -> list[types.Part]:
    """The parts that are pictures, of every candidate."""
    contents = [candidate.content for candidate in reply.candidates or []]
    parts = [part for content in contents if content for part in content.parts or []]
    return [part for part in parts if part.inline_data or part.file_data]


def shape(ratio: str, size: str = "1K") -> types.GenerateContentConfig:
    image = types.ImageConfig(aspect_ratio=ratio, image_size=size)
    return types.GenerateContentConfig(image_config=image)


@pytest.mark.parametrize(
    ("model", "ratio", "size"),
    [
        ("seedream-4-0", "16:9", (1312, 736)),
        ("seedream-4", "1:1", (1024, 1024)),
        ("gpt-image-1-mini", "3:2", (1536, 1024)),
        ("nano-banana-pro", "4:5", (928, 1152)),
    ],
)
def test_any_model_draws(
    darkroom: Darkroom, client: genai.Client, model: str, ratio: str, size: tuple[int, int]
) -> None:
    with darkroom.paid():
        reply = client.models.generate_content(
            model=model, contents="A red bicycle", config=shape(ratio)
        )
    assert [picture.size for picture in painted(reply)] == [size]
    (part,) = made(reply)
    assert part.inline_data is not None
    assert Image.MIME[painted(reply)[0].format or ""] == part.inline_data.mime_type
    (request, *_) = darkroom.account.requests()
    assert (request["surface"], request["operation"]) == ("gemini", "generate")
    assert reply.model_version == request["model"]


def test_several_candidates_are_one_charge(darkroom: Darkroom, client: genai.Client) -> None:
    with darkroom.paid(pictures=3):
        reply = client.models.generate_content(
            model=LATEST, contents="A cat", config={"candidate_count": 3}
        )
    assert [candidate.index or 0 for candidate in reply.candidates or []] == [0, 1, 2]
    blobs = {part.inline_data.data for part in made(reply) if part.inline_data}
    assert len(blobs) == 3


def test_signatures_are_short(darkroom: Darkroom, client: genai.Client) -> None:
    with darkroom.paid():
        (part,) = made(client.models.generate_content(model=PRO, contents="A cat"))
    assert 0 < len(part.thought_signature or b"") < SHORT


def test_a_chat_goes_on_from_its_request(darkroom: Darkroom, client: genai.Client) -> None:
    chat = client.chats.create(model=PRO)
    with darkroom.paid(requests=3):
        for prompt in ("A red bicycle", "Make it blue", "Now at night"):
            chat.send_message(prompt)
    last, middle, first = darkroom.account.requests()[:3]
    assert last["previous_request_id"] == middle["id"]
    assert middle["previous_request_id"] == first["id"]
    assert first["previous_request_id"] is None
    assert (last["operation"], last["prompt"]) == ("edit", "Now at night")


def test_a_chat_goes_on_with_another_model(darkroom: Darkroom, client: genai.Client) -> None:
    with darkroom.paid(requests=2):
        first = client.chats.create(model=PRO)
        first.send_message("A red bicycle")
        history: list[types.ContentOrDict] = [*first.get_history()]
        second = client.chats.create(model="seedream-4-0", history=history)
        assert len(painted(second.send_message("Make it blue"))) == 1


def test_a_chat_that_lost_its_signatures_starts_from_the_picture(
    darkroom: Darkroom, client: genai.Client
) -> None:
    chat = client.chats.create(model=PRO)
    with darkroom.paid(requests=2):
        chat.send_message("A red bicycle")
        for content in chat.get_history():
            for part in content.parts or []:
                part.thought_signature = None
        assert len(painted(chat.send_message("Make it blue"))) == 1
    (request, *_) = darkroom.account.requests()
    assert (request["operation"], request["previous_request_id"]) == ("edit", None)
    assert request["parameters"]["images"] == 1


def test_any_model_edits(darkroom: Darkroom, client: genai.Client) -> None:
    source = types.Part.from_bytes(data=photo(320, 180), mime_type="image/png")
    contents: list[types.PartUnionDict] = ["Add a cat", source]
    with darkroom.paid():
        reply = client.models.generate_content(
            model="seedream-4-0", contents=contents, config=shape("1:1")
        )
    assert painted(reply)[0].size == (1024, 1024)


def test_an_uploaded_file_is_edited_by_any_model(
    darkroom: Darkroom, client: genai.Client, tmp_path: Any
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(photo(320, 180))
    file = client.files.upload(file=path)
    contents: list[types.PartUnionDict] = ["Add a cat", file]
    with darkroom.paid():
        reply = client.models.generate_content(model="gpt-image-1-mini", contents=contents)
    assert len(painted(reply)) == 1
    assert darkroom.account.requests()[0]["operation"] == "edit"


def test_another_accounts_file_is_not_there(
    darkroom: Darkroom, client: genai.Client, tmp_path: Any
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(photo())
    file = client.files.upload(file=path)
    other = darkroom.open_account("--credit-usd", "1")
    with sdk(darkroom, other.key) as stranger:
        with pytest.raises(errors.ClientError) as refused:
            stranger.files.get(name=file.name or "")
        assert (refused.value.code, refused.value.status) == (403, "PERMISSION_DENIED")
        contents: list[types.PartUnionDict] = ["Add a cat", file]
        with other.paid(requests=0), pytest.raises(errors.ClientError):
            stranger.models.generate_content(model=PRO, contents=contents)


def test_links_come_instead_of_base64(darkroom: Darkroom) -> None:
    """They lead to files such as Google's SDK downloads, and its chats go on with them."""
    with sdk(darkroom, headers={"x-darkroom-delivery": "url"}) as client:
        chat = client.chats.create(model=PRO)
        with darkroom.paid(requests=2):
            first, second = (made(chat.send_message(say)) for say in ("A bicycle", "Make it blue"))
        for (part,) in (first, second):
            assert part.inline_data is None
            assert part.file_data is not None
            name = "files/" + (part.file_data.file_uri or "").rpartition("/files/")[2]
            file = client.files.get(name=name)
            assert (file.name, file.uri) == (name, part.file_data.file_uri)
            assert file.source is types.FileSource.GENERATED
            picture = opened(client.files.download(file=file))
            assert Image.MIME[picture.format or ""] == part.file_data.mime_type == file.mime_type
    last, before = darkroom.account.requests()[:2]
    assert last["previous_request_id"] == before["id"]


def test_fields_that_mean_nothing_here_are_named(darkroom: Darkroom, client: genai.Client) -> None:
    config = types.GenerateContentConfig(temperature=0.5, top_p=0.9)
    with darkroom.paid():
        reply = client.models.generate_content(
            model="seedream-4-0", contents="A cat", config=config
        )
    assert reply.sdk_http_response is not None
    headers = {k.lower(): v for k, v in (reply.sdk_http_response.headers or {}).items()}
    assert "temperature" in headers["x-darkroom-ignored"]


def test_a_model_that_does_not_think_streams_its_picture(
    darkroom: Darkroom, client: genai.Client
) -> None:
    with darkroom.paid():
        chunks = list(client.models.generate_content_stream(model="seedream-4-0", contents="A cat"))
    assert sum(len(painted(chunk)) for chunk in chunks) == 1
    (last,) = chunks[-1].candidates or []
    assert last.finish_reason is types.FinishReason.STOP


def test_every_model_is_listed(client: genai.Client) -> None:
    names = {model.name for model in client.models.list()}
    assert {f"models/{m}" for m in (PRO, LATEST, "seedream-4-5", "gpt-image-2")} <= names
    assert (client.models.get(model="nano-banana-pro").name or "").startswith("models/")


def test_what_is_not_delivered_is_not_charged(darkroom: Darkroom, client: genai.Client) -> None:
    config = types.GenerateContentConfig(candidate_count=3)
    with darkroom.paid(pictures=2):
        reply = client.models.generate_content(
            model=PRO, contents="A cat [sandbox:partial]", config=config
        )
    assert len(made(reply)) == 2
    with darkroom.paid(requests=0), pytest.raises(errors.ServerError) as caught:
        client.models.generate_content(model=PRO, contents="A cat [sandbox:not_json]")
    assert (caught.value.code, caught.value.status) == (500, "INTERNAL")


def test_too_many_requests_and_no_credit_are_the_sdks_own_errors(darkroom: Darkroom) -> None:
    hurried = darkroom.open_account("--credit-usd", "1", "--rpm", "1")
    with sdk(darkroom, hurried.key) as client:
        client.models.generate_content(model=LATEST, contents="A cat")
        with hurried.paid(requests=0), pytest.raises(errors.ClientError) as caught:
            client.models.generate_content(model=LATEST, contents="A cat")
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert "RetryInfo" in str(caught.value.details)
    penniless = darkroom.open_account()
    with sdk(darkroom, penniless.key) as poor, pytest.raises(errors.ClientError) as caught:
        poor.models.generate_content(model=LATEST, contents="A cat")
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")


def test_a_client_that_gives_up_and_asks_again_with_a_key_pays_once(darkroom: Darkroom) -> None:
    """The SDK repeats what took too long, when told to, and nothing but a key says that it does.
    While the first one works, its key is a conflict, which the SDK is told to outlive too, like
    the 504 of a server that is told how long the SDK waits."""
    retries = types.HttpRetryOptions(
        attempts=8,
        initial_delay=0.5,
        exp_base=1.5,
        jitter=0.1,
        http_status_codes=[409, 429, 503, 504],
    )
    headers = {"idempotency-key": f"key-{time.time_ns()}"}
    with (
        darkroom.paid(),
        sdk(darkroom, timeout=1_000, retry_options=retries, headers=headers) as client,
    ):
        reply = client.models.generate_content(
            model=LATEST, contents="A cat that pays once [sandbox:slow=2.5]"
        )
    assert len(painted(reply)) == 1


def test_a_key_of_another_body_is_refused(darkroom: Darkroom) -> None:
    headers = {"idempotency-key": f"key-{time.time_ns()}"}
    with darkroom.paid(), sdk(darkroom, headers=headers) as client:
        first = client.models.generate_content(model=LATEST, contents="A cat")
        again = client.models.generate_content(model=LATEST, contents="A cat")
        assert painted(first)[0].tobytes() == painted(again)[0].tobytes()
        with pytest.raises(errors.ClientError) as refused:
            client.models.generate_content(model=LATEST, contents="A dog")
    assert refused.value.code in (400, 409, 422)

"""Google's own SDK against the sandbox on a port: each understands the other."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from google import genai
from google.genai import errors, types
from PIL import Image

from tests.sandbox.conftest import opened, photo
from tests.sandbox.process import running

pytestmark = pytest.mark.process
PRO, LATEST = "gemini-3-pro-image", "gemini-nano-banana-2.1"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running() as address:
        yield f"{address}/google"


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[genai.Client]:
    """As the SDK comes, which is API version v1."""
    options = types.HttpOptions(base_url=address)
    with genai.Client(api_key="any", http_options=options) as client:
        yield client


def drawn(response: types.GenerateContentResponse) -> list[Image.Image]:
    """The pictures of a reply, opened."""
    parts = response.parts or []
    blobs = [part.inline_data for part in parts if part.inline_data and not part.thought]
    return [opened(blob.data or b"") for blob in blobs]


def ask(client: genai.Client, prompt: str) -> types.GenerateContentResponse:
    return client.models.generate_content(model=LATEST, contents=prompt)


def test_a_picture_is_generated(client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        response_modalities=["TEXT", "IMAGE"],
        image_config=types.ImageConfig(aspect_ratio="16:9", image_size="2K"),
        system_instruction="Be brief",
        seed=7,
        temperature=0.5,
        safety_settings=[
            types.SafetySetting(
                category=types.HarmCategory.HARM_CATEGORY_HARASSMENT,
                threshold=types.HarmBlockThreshold.BLOCK_ONLY_HIGH,
            )
        ],
        tools=[types.Tool(google_search=types.GoogleSearch())],
        thinking_config=types.ThinkingConfig(
            include_thoughts=True, thinking_level=types.ThinkingLevel.HIGH
        ),
    )
    reply = client.models.generate_content(model=LATEST, contents="A red bicycle", config=config)
    assert [picture.size for picture in drawn(reply)] == [(2752, 1536)]
    assert reply.usage_metadata is not None
    assert (reply.usage_metadata.thoughts_token_count or 0) > 0
    assert reply.model_version == LATEST


def test_a_picture_is_edited(client: genai.Client) -> None:
    source = types.Part.from_bytes(data=photo(90, 160), mime_type="image/png")
    contents: list[types.PartUnionDict] = ["Add a cat", source]
    reply = client.models.generate_content(model=PRO, contents=contents)
    assert drawn(reply)[0].size == (768, 1376)


def test_a_chat_goes_on_for_three_turns(client: genai.Client) -> None:
    chat = client.chats.create(model=PRO)
    for prompt in ("A red bicycle", "Make it blue", "Now at night"):
        assert len(drawn(chat.send_message(prompt))) == 1
    history = chat.get_history()
    assert len(history) == 6
    assert all(p.thought_signature for c in history[1::2] for p in c.parts or [])


def test_a_chat_that_lost_its_signatures_is_refused(client: genai.Client) -> None:
    chat = client.chats.create(model=PRO)
    chat.send_message("A red bicycle")
    for content in chat.get_history():
        for part in content.parts or []:
            part.thought_signature = None
    with pytest.raises(errors.ClientError, match="missing a thought_signature in content posi"):
        chat.send_message("Make it blue")


def test_a_picture_is_streamed(client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(include_thoughts=True)
    )
    chunks = list(
        client.models.generate_content_stream(model=LATEST, contents="A cat", config=config)
    )
    assert [len(drawn(chunk)) for chunk in chunks] == [0, 0, 1]


def test_the_beta_version_is_the_same(address: str) -> None:
    options = types.HttpOptions(base_url=address, api_version="v1beta")
    with genai.Client(api_key="any", http_options=options) as client:
        assert len(drawn(ask(client, "A cat"))) == 1


def test_models_are_listed_and_got(client: genai.Client) -> None:
    names = {model.name for model in client.models.list(config={"page_size": 2})}
    assert {f"models/{PRO}", f"models/{LATEST}"} <= names
    assert client.models.get(model=PRO).display_name == "Nano Banana Pro"


def test_tokens_are_counted(client: genai.Client) -> None:
    assert client.models.count_tokens(model=PRO, contents="x" * 40).total_tokens == 10


@pytest.mark.parametrize("size", [1, 9_000_000])
def test_a_file_is_uploaded_and_used(client: genai.Client, tmp_path: Path, size: int) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(photo(160, 90) + bytes(size))
    file = client.files.upload(file=path, config={"display_name": "photo"})
    assert file.name is not None
    assert client.files.get(name=file.name).size_bytes == path.stat().st_size
    assert file.name in {listed.name for listed in client.files.list()}
    contents: list[types.PartUnionDict] = ["Add a cat", file]
    reply = client.models.generate_content(model=PRO, contents=contents)
    assert drawn(reply)[0].size == (1376, 768)
    client.files.delete(name=file.name)
    with pytest.raises(errors.ClientError, match="403"):
        client.files.get(name=file.name)


def test_a_file_object_is_uploaded_too(client: genai.Client) -> None:
    file = client.files.upload(file=io.BytesIO(photo()), config={"mime_type": "image/png"})
    assert file.state is types.FileState.ACTIVE
    with pytest.raises(ValueError, match="generated"):
        client.files.download(file=file)


@pytest.mark.parametrize(
    ("fault", "kind", "code", "status"),
    [
        ("rate_limited", errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
        ("quota_exhausted", errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
        ("explode", errors.ClientError, 400, "INVALID_ARGUMENT"),
        ("unavailable", errors.ServerError, 503, "UNAVAILABLE"),
        ("server_error", errors.ServerError, 500, "INTERNAL"),
    ],
)
def test_faults_are_the_sdks_own_errors(
    client: genai.Client, fault: str, kind: type[errors.APIError], code: int, status: str
) -> None:
    with pytest.raises(kind) as caught:
        ask(client, f"A cat [sandbox:{fault}]")
    assert (caught.value.code, caught.value.status) == (code, status)


def test_an_error_in_a_stream_is_the_sdks_own_too(client: genai.Client) -> None:
    with pytest.raises(errors.ServerError, match="503"):
        list(
            client.models.generate_content_stream(
                model=LATEST, contents="A cat [sandbox:unavailable]"
            )
        )


def test_unknown_models_and_wrong_keys_are_the_sdks_own_errors(
    client: genai.Client, address: str
) -> None:
    with pytest.raises(errors.ClientError) as missing:
        client.models.generate_content(model="gemini-9", contents="A cat")
    assert missing.value.code == 404
    for key, code in (("bad", 400), ("leaked", 403)):
        options = types.HttpOptions(base_url=address)
        with genai.Client(api_key=key, http_options=options) as stranger:
            with pytest.raises(errors.ClientError) as refused:
                ask(stranger, "A cat")
            assert refused.value.code == code


def test_refusals_can_be_read(client: genai.Client) -> None:
    blocked = ask(client, "A cat [sandbox:blocked]")
    assert blocked.prompt_feedback is not None
    assert blocked.prompt_feedback.block_reason is types.BlockedReason.PROHIBITED_CONTENT
    nothing = ask(client, "A cat [sandbox:no_image]")
    assert nothing.candidates is not None
    assert nothing.candidates[0].finish_reason is types.FinishReason.NO_IMAGE
    assert drawn(nothing) == []
    assert ask(client, "A cat [sandbox:text_only]").text

"""Google's own SDK on a tour of whatever speaks the Gemini API: it sees the same at the sandbox,
which it takes for Google, and at a Darkroom."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import httpx2
import pytest
from google import genai
from google.genai import errors, types

from tests.sandbox.conftest import photo
from tests.wire.pictures import painted
from tests.wire.targets import Target

pytestmark = pytest.mark.process
PRO, LATEST = "gemini-3-pro-image", "gemini-nano-banana-2.1"
FAULTS = (
    "rate_limited",
    "quota_exhausted",
    "explode",
    "unavailable",
    "server_error",
    "stream",
    "truncated",
)


def sdk(target: Target, key: str | None = None, **options: object) -> genai.Client:
    """As the SDK comes, which is API version v1."""
    http = types.HttpOptions.model_validate({"base_url": target.gemini, **options})
    return genai.Client(api_key=target.key if key is None else key, http_options=http)


@pytest.fixture(scope="module")
def client(target: Target) -> Iterator[genai.Client]:
    with sdk(target) as client:
        yield client


def ask(client: genai.Client, prompt: str) -> types.GenerateContentResponse:
    return client.models.generate_content(model=LATEST, contents=prompt)


def test_a_picture_is_generated(target: Target, client: genai.Client) -> None:
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
    with target.paid():
        reply = client.models.generate_content(
            model=LATEST, contents="A red bicycle", config=config
        )
    assert [picture.size for picture in painted(reply)] == [(2752, 1536)]
    assert reply.candidates is not None
    assert reply.candidates[0].finish_reason is types.FinishReason.STOP
    assert reply.usage_metadata is not None
    assert (reply.usage_metadata.thoughts_token_count or 0) > 0
    assert (reply.usage_metadata.total_token_count or 0) > 1680
    assert reply.model_version == LATEST
    assert reply.response_id


def test_a_picture_is_edited(target: Target, client: genai.Client) -> None:
    source = types.Part.from_bytes(data=photo(90, 160), mime_type="image/png")
    contents: list[types.PartUnionDict] = ["Add a cat", source]
    with target.paid():
        reply = client.models.generate_content(model=PRO, contents=contents)
    assert painted(reply)[0].size == (768, 1376)


def test_several_pictures_become_one(target: Target, client: genai.Client) -> None:
    sources: list[types.PartUnionDict] = [
        types.Part.from_bytes(data=photo(kind=kind), mime_type=f"image/{kind.lower()}")
        for kind in ("PNG", "JPEG", "WEBP")
    ]
    config = types.GenerateContentConfig(
        image_config=types.ImageConfig(aspect_ratio="3:2", image_size="1K")
    )
    with target.paid():
        reply = client.models.generate_content(
            model=PRO, contents=[*sources, "Put them together"], config=config
        )
    assert painted(reply)[0].size == (1264, 848)


def test_a_chat_goes_on_for_three_turns(target: Target, client: genai.Client) -> None:
    chat = client.chats.create(model=PRO)
    with target.paid(requests=3):
        for prompt in ("A red bicycle", "Make it blue", "Now at night"):
            assert len(painted(chat.send_message(prompt))) == 1
    history = chat.get_history()
    assert len(history) == 6
    made = [part for content in history[1::2] for part in content.parts or [] if part.inline_data]
    assert len(made) == 3
    assert all(part.thought_signature for part in made)


def test_a_chat_that_lost_its_signatures_is_refused(sandbox: Target) -> None:
    """A Darkroom starts from the picture then."""
    with sdk(sandbox) as client:
        chat = client.chats.create(model=PRO)
        chat.send_message("A red bicycle")
        for content in chat.get_history():
            for part in content.parts or []:
                part.thought_signature = None
        with pytest.raises(errors.ClientError, match="missing a thought_signature in content posi"):
            chat.send_message("Make it blue")


def test_a_picture_is_streamed(target: Target, client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(include_thoughts=True)
    )
    with target.paid():
        chunks = list(
            client.models.generate_content_stream(model=LATEST, contents="A cat", config=config)
        )
    assert sum(len(painted(chunk)) for chunk in chunks) == 1
    (last,) = chunks[-1].candidates or []
    assert last.finish_reason is types.FinishReason.STOP
    usage = chunks[-1].usage_metadata
    assert usage is not None
    assert (usage.total_token_count or 0) > 1120


def test_the_beta_version_is_the_same(target: Target) -> None:
    with target.paid(), sdk(target, api_version="v1beta") as client:
        assert len(painted(ask(client, "A cat"))) == 1


def test_models_are_listed_and_got(client: genai.Client) -> None:
    names = {model.name for model in client.models.list(config={"page_size": 2})}
    assert {f"models/{PRO}", f"models/{LATEST}"} <= names
    model = client.models.get(model=PRO)
    assert (model.name, model.display_name) == (f"models/{PRO}", "Nano Banana Pro")
    assert "generateContent" in (model.supported_actions or [])
    assert model.input_token_limit == 131_072


def test_tokens_are_counted(target: Target, client: genai.Client) -> None:
    with target.paid(requests=0):
        assert client.models.count_tokens(model=PRO, contents="x" * 40).total_tokens == 10


@pytest.mark.parametrize("size", [1, 9_000_000])
def test_a_file_is_uploaded_and_used(
    target: Target, client: genai.Client, tmp_path: Path, size: int
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(photo(160, 90) + bytes(size))
    file = client.files.upload(file=path, config={"display_name": "photo"})
    assert file.name is not None
    assert (file.display_name, file.mime_type) == ("photo", "image/png")
    assert client.files.get(name=file.name).size_bytes == path.stat().st_size
    assert file.name in {listed.name for listed in client.files.list()}
    contents: list[types.PartUnionDict] = ["Add a cat", file]
    with target.paid():
        reply = client.models.generate_content(model=PRO, contents=contents)
    assert painted(reply)[0].size == (1376, 768)
    client.files.delete(name=file.name)
    with pytest.raises(errors.ClientError) as gone:
        client.files.get(name=file.name)
    assert (gone.value.code, gone.value.status) == (403, "PERMISSION_DENIED")


def test_a_file_object_is_uploaded_too(client: genai.Client) -> None:
    file = client.files.upload(file=io.BytesIO(photo()), config={"mime_type": "image/png"})
    assert file.state is types.FileState.ACTIVE
    with pytest.raises(ValueError, match="generated"):
        client.files.download(file=file)


@pytest.fixture(scope="module")
def faults(target: Target) -> Mapping[str, Exception]:
    """What each fault comes to, all at once: a Darkroom tries some again before it gives up."""

    def met(fault: str) -> Exception:
        with pytest.raises((errors.APIError, httpx.HTTPError, httpx2.HTTPError)) as caught:
            if fault == "stream":
                prompt = "A dog [sandbox:unavailable]"
                list(tester.models.generate_content_stream(model=LATEST, contents=prompt))
            else:
                ask(tester, f"A cat [sandbox:{fault}]")
        return caught.value

    with sdk(target, target.test_key) as tester, ThreadPoolExecutor(len(FAULTS)) as pool:
        return dict(zip(FAULTS, pool.map(met, FAULTS), strict=True))


@pytest.mark.parametrize(
    ("fault", "kind", "code", "status"),
    [
        ("rate_limited", errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
        ("quota_exhausted", errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
        ("explode", errors.ClientError, 400, "INVALID_ARGUMENT"),
        ("unavailable", errors.ServerError, 503, "UNAVAILABLE"),
        ("server_error", errors.ServerError, 500, "INTERNAL"),
        ("stream", errors.ServerError, 503, "UNAVAILABLE"),
    ],
)
def test_faults_are_the_sdks_own_errors(
    faults: Mapping[str, Exception], fault: str, kind: type, code: int, status: str
) -> None:
    error = faults[fault]
    assert type(error) is kind
    assert isinstance(error, errors.APIError)
    assert (error.code, error.status) == (code, status)
    assert error.message


def test_an_answer_that_breaks_off_is_an_error(
    target: Target, faults: Mapping[str, Exception]
) -> None:
    """Between the SDK and the sandbox it is the line that breaks; a Darkroom can still say so."""
    error = faults["truncated"]
    if target.name == "sandbox":
        assert isinstance(error, httpx.RemoteProtocolError | httpx2.RemoteProtocolError)
    else:
        assert isinstance(error, errors.ServerError)
        assert (error.code, error.status) == (504, "DEADLINE_EXCEEDED")


@pytest.mark.parametrize(
    "config",
    [
        {"image_config": {"aspect_ratio": "17:9"}},
        {"image_config": {"image_size": "1k"}},
        {"image_config": {"image_size": "8K"}},
        {"response_mime_type": "image/png"},
        {"temperature": 7},
    ],
)
def test_what_cannot_be_is_the_sdks_own_error(
    target: Target, client: genai.Client, config: types.GenerateContentConfigDict
) -> None:
    with target.paid(requests=0), pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model=PRO, contents="A cat", config=config)
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")


def test_unknown_models_and_keys_are_the_sdks_own_errors(
    target: Target, client: genai.Client
) -> None:
    with pytest.raises(errors.ClientError, match="models/gemini-9 is not found") as missing:
        client.models.generate_content(model="gemini-9", contents="A cat")
    assert (missing.value.code, missing.value.status) == (404, "NOT_FOUND")
    for key, code, status in (
        ("bad", 400, "INVALID_ARGUMENT"),
        (" ", 403, "PERMISSION_DENIED"),
    ):
        with sdk(target, key) as stranger:
            with pytest.raises(errors.ClientError) as refused:
                ask(stranger, "A cat")
            assert (refused.value.code, refused.value.status) == (code, status)
            with pytest.raises(errors.ClientError):
                list(stranger.models.list())


def test_a_wrong_key_says_so_in_its_details(target: Target) -> None:
    with sdk(target, "bad") as stranger, pytest.raises(errors.ClientError) as refused:
        ask(stranger, "A cat")
    assert "API_KEY_INVALID" in str(refused.value.details)
    assert refused.value.message == "API key not valid. Please pass a valid API key."


def test_a_leaked_key_is_the_sdks_own_error(sandbox: Target) -> None:
    with sdk(sandbox, "leaked") as stranger, pytest.raises(errors.ClientError) as refused:
        ask(stranger, "A cat")
    assert refused.value.code == 403


def test_refusals_can_be_read(target: Target, client: genai.Client) -> None:
    with target.paid(requests=0):
        blocked = ask(client, "A cat [sandbox:blocked]")
        nothing = ask(client, "A cat [sandbox:no_image]")
        text = ask(client, "A cat [sandbox:text_only]")
    assert blocked.prompt_feedback is not None
    assert blocked.prompt_feedback.block_reason is types.BlockedReason.PROHIBITED_CONTENT
    assert nothing.candidates is not None
    assert nothing.candidates[0].finish_reason is types.FinishReason.NO_IMAGE
    assert painted(nothing) == painted(text) == []
    assert text.text


def test_an_answer_that_takes_too_long_is_an_error(target: Target) -> None:
    kinds = (httpx.TimeoutException, httpx2.TimeoutException)
    with sdk(target, target.test_key, timeout=500) as client, pytest.raises(kinds):
        ask(client, "A cat [sandbox:slow=1]")


def test_an_error_that_passes_is_outlived(target: Target) -> None:
    """By the SDK's own second try, or by ours before the SDK hears of it."""
    retries = types.HttpRetryOptions(attempts=3, initial_delay=0.1, jitter=0.1)
    with target.paid(), sdk(target, retry_options=retries) as client:
        assert len(painted(ask(client, "A cat [sandbox:unavailable*1@google]"))) == 1

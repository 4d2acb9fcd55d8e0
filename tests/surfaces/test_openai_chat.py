"""Conversations in chat/completions → requests, and records → completions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from shared.catalogue import load
from shared.domain import ImageRef, Json, Problem, Usage
from shared.errors import InvalidRequest, PayloadTooLarge
from shared.surfaces import Asked
from shared.surfaces.conversation import Said, fold, last_request
from shared.surfaces.openai_chat import COMPLETIONS, SUPPORT, ChatBody, asked, read
from shared.surfaces.openai_completion import Delivery, chunks, completion, words_of
from tests.surfaces.records import record, shown

MODELS = load().models
PRO, FLARE, NANO = "gemini-3-pro-image", "gpt-image-2.5-flare", "gemini-2.5-flash-image"
LINK = "https://host.test/account/images/img_abc_0?expires=1&signature=s"
SECOND = LINK.replace("_0?", "_1?")
DATA, OTHER = "data:image/png;base64,AAAA", "https://host.test/cat.png"
CAT: dict[str, Any] = {"role": "user", "content": "A cat"}
BLUE: dict[str, Any] = {"role": "user", "content": "Make it blue"}


def picture(url: str, **more: object) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def chatted(
    *messages: dict[str, Any], model: str = PRO, continued: bool = False, **fields: Any
) -> Asked:
    said = read({"model": model, "messages": list(messages or (CAT,)), **fields})
    return asked(said, fold(said.said, continued=continued), MODELS.get(model))


def test_a_word_is_a_picture_in_the_models_own_shape_and_format() -> None:
    request = chatted().request
    assert (request.operation, request.prompt, request.n) == ("generate", "A cat", 1)
    assert (request.aspect_ratio, request.resolution, request.output_format) == (None, None, None)
    assert request.timeout_s == 600.0


def test_parts_are_words_and_images() -> None:
    said = {
        "role": "user",
        "name": "me",
        "content": [text("Put the hat"), picture(DATA), picture(LINK), text("on the cat")],
    }
    request = chatted(said).request
    assert (request.operation, request.prompt) == ("edit", "Put the hat\non the cat")
    assert request.refs == (ImageRef(url=DATA), ImageRef(image_id="img_abc_0"))


def test_an_image_may_be_a_plain_address() -> None:
    said = {"role": "user", "content": [{"type": "image_url", "image_url": OTHER}, text("Blue")]}
    assert chatted(said).request.refs == (ImageRef(url=OTHER),)


@pytest.mark.parametrize(
    "answered",
    [
        {"content": f"Here it is.\n\n![image]({LINK})"},
        {"content": f"Here it is.\n\n![image]({LINK})", "images": [picture(DATA)]},
        {"content": "Here it is.", "images": [picture(LINK)]},
        {"content": [text("Here it is."), picture(LINK)]},
        {"content": f"![image]({LINK}) ![image]({SECOND})"},
        {"content": None, "images": [picture(DATA), picture(LINK)]},
    ],
)
def test_a_picture_of_ours_is_gone_on_from(answered: dict[str, Any]) -> None:
    messages = (CAT, {"role": "assistant", **answered}, BLUE)
    said = read({"messages": list(messages)}).said
    assert last_request(said) == "req_abc"
    request = chatted(*messages, continued=True).request
    assert (request.operation, request.prompt) == ("edit", "Make it blue")
    assert (request.previous_request_id, request.max_turns, request.refs) == ("req_abc", 1, ())
    source = chatted(*messages, continued=False).request
    assert source.previous_request_id is None
    assert source.refs[0] == ImageRef(image_id="img_abc_0")


def test_another_picture_than_the_first_is_one_to_start_from() -> None:
    answered = {"role": "assistant", "content": f"![image]({SECOND})"}
    said = read({"messages": [CAT, answered, BLUE]}).said
    assert last_request(said) is None
    assert chatted(CAT, answered, BLUE).request.refs == (ImageRef(image_id="img_abc_1"),)


@pytest.mark.parametrize(
    "answered",
    [
        {"content": f"![image]({DATA})"},
        {"content": "", "images": [{"image_url": {"url": DATA}, "index": 0}]},
        {"content": f"![image]({DATA})", "images": [picture(DATA)]},
    ],
)
def test_a_picture_of_somebody_elses_is_one_to_start_from(answered: dict[str, Any]) -> None:
    request = chatted(CAT, {"role": "assistant", **answered}, BLUE).request
    assert (request.refs, request.prompt) == ((ImageRef(url=DATA),), "Make it blue")


def test_words_without_a_picture_are_told_again() -> None:
    said = read({"messages": [CAT, {"role": "assistant", "content": "Which?"}, BLUE]}).said
    assert said[1] == Said("model", "Which?")
    answered = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    prompt = "User: A cat\n\nAssistant: No.\n\nUser: Make it blue"
    assert chatted(CAT, answered, BLUE).request.prompt == prompt


def test_standing_orders_are_an_option_or_come_first() -> None:
    orders = (
        {"role": "system", "content": "Be bold."},
        CAT,
        {"role": "developer", "content": [text("No text.")]},
        BLUE,
    )
    told = chatted(*orders)
    assert told.request.options == {"system_instruction": "Be bold.\n\nNo text."}
    assert told.request.prompt == "User: A cat\n\nUser: Make it blue"
    for model in (FLARE, "auto"):
        first = chatted(orders[0], CAT, model=model)
        assert first.request.prompt == "Be bold.\n\nA cat"
        assert (first.request.options, first.ignored) == ({}, ())


@pytest.mark.parametrize(
    "fields",
    [
        {"image_config": {"aspect_ratio": "16:9", "image_size": "2K"}},
        {"google": {"image_config": {"aspect_ratio": "16:9", "image_size": "2K"}}},
        {"extra_body": {"google": {"image_config": {"aspect_ratio": "16:9", "image_size": "2K"}}}},
        {
            "image_config": {"aspect_ratio": "auto", "image_size": "2K"},
            "google": {"image_config": {"aspect_ratio": "16:9", "image_size": "4K"}},
        },
        {"size": "2752x1536"},
        {"size": "1792x1024", "quality": "medium"},
        {"size": "16:9", "quality": "2K"},
    ],
)
def test_the_shape_is_taken_from_where_clients_put_it(fields: dict[str, Any]) -> None:
    said = chatted(**fields)
    assert (said.request.aspect_ratio, said.request.resolution) == ("16:9", "2K")
    assert said.ignored == ()


def test_fields_for_pictures_come_before_those_of_another_api() -> None:
    config = {"aspect_ratio": "16:9", "image_size": "2K"}
    said = chatted(image_config=config, size="1024x1024", quality="high")
    assert (said.request.aspect_ratio, said.request.resolution) == ("16:9", "2K")
    assert set(said.ignored) == {"size", "quality"}
    ratio = chatted(image_config={"aspect_ratio": "16:9"}, quality="high")
    assert (ratio.request.aspect_ratio, ratio.request.resolution) == ("16:9", "4K")
    assert ratio.ignored == ()
    gpt = chatted(image_config=config, quality="high", model=FLARE)
    assert (gpt.request.resolution, gpt.request.quality, gpt.ignored) == ("2K", "high", ())


def test_an_exact_size_is_an_option() -> None:
    assert chatted(model=FLARE, size="1536x864").request.options == {"size": "1536x864"}


def test_settings_are_the_models() -> None:
    fields: dict[str, Any] = {
        "temperature": 1,
        "top_p": 0.5,
        "seed": 7,
        "n": 2,
        "metadata": {"a": "b"},
    }
    gemini = chatted(**fields)
    assert gemini.request.options == {"temperature": 1, "top_p": 0.5}
    assert (gemini.request.seed, gemini.request.n) == (7, 2)
    assert gemini.request.metadata == {"a": "b"}
    assert gemini.ignored == ()
    for model in (FLARE, "auto"):
        other = chatted(model=model, **fields)
        assert (other.request.options, other.request.seed) == ({}, None)
        assert set(other.ignored) == {"temperature", "top_p", "seed"}


@pytest.mark.parametrize("seed", [-1, 2**31, 2**40])
def test_a_seed_that_no_model_has_is_passed_over(seed: int) -> None:
    said = chatted(model="nano-banana-pro", seed=seed)
    assert (said.request.seed, said.ignored) == (None, ("seed",))


def test_a_picture_and_standing_orders_are_enough() -> None:
    orders = {"role": "system", "content": "Make it blue"}
    shown_only = {"role": "user", "content": [picture(DATA)]}
    for model in ("nano-banana-pro", FLARE):
        said = chatted(orders, shown_only, model=model)
        assert (said.request.prompt, len(said.request.refs)) == ("Make it blue", 1)
        assert "system_instruction" not in said.request.options


def test_what_means_nothing_here_is_named() -> None:
    table = SUPPORT[f"POST {COMPLETIONS}"]
    names = [n for n, (treatment, _) in table.items() if treatment == "ignored"]
    unread: dict[str, Any] = dict.fromkeys(names, 1)
    said = chatted(
        {
            "role": "user",
            "content": [text("A cat") | {"cache_control": {"a": 1}}, picture(DATA, detail="high")],
            "name": "Ann",
        },
        **(unread | {"store": False}),
        whatever=True,
        logit=None,
        tools=[],
        stream_options={"include_usage": True, "include_obfuscation": True},
        google={"thinking_config": {"x": 1}},
    )
    assert set(said.ignored) == {
        *names,
        "whatever",
        "messages.name",
        "messages.content.cache_control",
        "messages.content.image_url.detail",
        "stream_options.include_obfuscation",
        "google.thinking_config",
    }


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
        ({"messages": [{"role": "user", "content": [picture(DATA)]}]}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        (
            {"messages": [{"role": "system", "content": [picture(DATA)]}, CAT]},
            "messages[0].content",
        ),
        (
            {"messages": [CAT, {"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages[1].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0]",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {"messages": [{"role": "user", "content": [text("x"), picture("cat.png")]}]},
            "messages[0]",
        ),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"modalities": ["text"]}, "modalities"),
        ({"modalities": []}, "modalities"),
        ({"modalities": ["image", "audio"]}, "modalities"),
        ({"modalities": "image"}, "modalities"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"functions": [{"name": "x"}]}, "functions"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"n": 0}, "n"),
        ({"seed": "7"}, "seed"),
        ({"temperature": "hot"}, "temperature"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"stream": 1}, "stream"),
        ({"size": "17:3"}, "size"),
    ],
)
def test_what_is_wrong_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chatted(**{"messages": [CAT], **fields}) if "messages" not in fields else asked(
            read(fields), fold((), continued=False), None
        )
    assert caught.value.param == param


@pytest.mark.parametrize("wanted", [["image"], ["text", "image"], None])
def test_a_picture_is_among_what_is_wanted(wanted: list[str] | None) -> None:
    assert chatted(modalities=wanted, response_format={"type": "text"}).ignored == ()


def test_orders_that_cannot_be_kept_are_too_large() -> None:
    with pytest.raises(PayloadTooLarge) as caught:
        chatted({"role": "system", "content": "x" * 800_000}, CAT)
    assert caught.value.param == "messages"


def test_the_table_has_every_field_that_is_read() -> None:
    table = SUPPORT[f"POST {COMPLETIONS}"]
    assert {n for n, (treatment, _) in table.items() if treatment == "honoured"} == set(
        ChatBody.model_fields
    )


COUNTED = Usage(
    input_tokens=30, output_tokens=1500, source_tokens=20, thought_tokens=200, image_tokens=1290
)
MADE = record(text="Here it is.", usage=COUNTED)


def completed(delivery: Delivery, *, n: int = 1, pictures: int = 1) -> ChatCompletion:
    made = completion(
        record(text="Here it is.", usage=COUNTED, n=n),
        [shown(place, None if delivery == "url" else "AAAA") for place in range(pictures)],
        delivery,
    )
    return ChatCompletion.model_validate_json(json.dumps(made), strict=True)


def images_of(message: Any) -> list[str]:
    """The addresses of the pictures beside the words, which the SDK's types do not know."""
    return [image["image_url"]["url"] for image in getattr(message, "images", [])]


def test_a_completion_is_what_the_sdk_reads() -> None:
    reply = completed("b64_json")
    assert (reply.id, reply.created, reply.model) == ("chatcmpl-abc", 1795255212, FLARE)
    (choice,) = reply.choices
    assert choice.finish_reason == "stop"
    assert choice.message.content == f"Here it is.\n\n![image]({shown().url})"
    assert images_of(choice.message) == ["data:image/png;base64,AAAA"]
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (30, 1500)
    assert reply.usage.total_tokens == 1530
    details: Any = reply.usage.completion_tokens_details
    assert (details.image_tokens, details.reasoning_tokens) == (1290, 200)


def test_the_picture_may_be_behind_a_link_or_in_the_words() -> None:
    by_link = completed("url").choices[0].message
    assert by_link.content == f"Here it is.\n\n![image]({shown().url})"
    assert images_of(by_link) == [shown().url]
    in_words = completed("markdown").choices[0].message
    assert in_words.content == "Here it is.\n\n![image](data:image/png;base64,AAAA)"
    assert images_of(in_words) == []


def test_every_picture_asked_for_is_a_choice() -> None:
    reply = completed("url", n=3, pictures=2)
    assert [choice.index for choice in reply.choices] == [0, 1]
    assert [images_of(c.message) for c in reply.choices] == [[shown(0).url], [shown(1).url]]
    assert reply.choices[1].message.content == f"![image]({shown(1).url})"
    gift = completed("url", n=1, pictures=2)
    assert [images_of(c.message) for c in gift.choices] == [[shown(0).url, shown(1).url]]


def silent(code: str = "no_image", **details: Json) -> Any:
    return record(status="failed", error=Problem(code, "No picture.", details=details))


def test_words_in_place_of_a_picture_are_an_answer() -> None:
    assert words_of(silent(text="A cat is…")) == "A cat is…"
    assert words_of(silent()) is words_of(silent(text=" ")) is words_of(MADE) is None
    assert words_of(silent("content_blocked", text="No.")) is None
    said = completion(silent(text="A cat is…"), [], "b64_json")
    reply = ChatCompletion.model_validate_json(json.dumps(said), strict=True)
    assert reply.choices[0].message.content == "A cat is…"
    assert images_of(reply.choices[0].message) == []
    assert reply.choices[0].finish_reason == "stop"


def streamed(*, counted: bool) -> list[ChatCompletionChunk]:
    return [
        ChatCompletionChunk.model_validate_json(json.dumps(chunk), strict=True)
        for chunk in chunks(MADE, [shown()], "b64_json", counted=counted)
    ]


def test_chunks_say_the_same_in_pieces() -> None:
    who, words, pictures, end = (chunk.choices[0] for chunk in streamed(counted=False))
    assert (who.delta.role, who.finish_reason) == ("assistant", None)
    assert words.delta.content == f"Here it is.\n\n![image]({shown().url})"
    assert images_of(pictures.delta) == ["data:image/png;base64,AAAA"]
    assert end.finish_reason == "stop"


def test_the_usage_comes_last_where_it_is_wanted() -> None:
    *before, last = streamed(counted=True)
    assert all(chunk.usage is None for chunk in before)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 1530
    assert "usage" not in next(iter(chunks(MADE, [shown()], "url", counted=False)))

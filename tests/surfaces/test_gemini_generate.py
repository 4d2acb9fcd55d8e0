"""A GenerateContentRequest becomes our request; whatever of it is passed over is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from shared.catalogue import load
from shared.domain import ImageRef
from shared.links import Links
from shared.surfaces.gemini_generate import SUPPORT, Wanted, read, wanted
from shared.surfaces.gemini_turns import Signer
from shared.surfaces.google_json import Refusal

CATALOGUE = load()
SIGNER = Signer(Links("https://host.test", b"a secret"), "acc_1")
CAT = [{"role": "user", "parts": [{"text": "A cat"}]}]
PRO, LATEST, OLD = "gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-2.5-flash-image"
GPT = "gpt-image-1-mini"


def understood(name: str = PRO, **fields: Any) -> Wanted:
    model = None if name == "auto" else CATALOGUE.find(name)
    call = read({"contents": CAT, **fields}, "v1beta", name, SIGNER)
    return wanted(call, model, name, "b64_json", continued=False)


def configured(name: str = PRO, **config: Any) -> Wanted:
    return understood(name, generationConfig=config)


def refused(name: str = PRO, **fields: Any) -> str:
    with pytest.raises(Refusal) as caught:
        understood(name, **fields)
    assert caught.value.code == 400
    return caught.value.message


def test_settings_become_ours() -> None:
    config = {
        "responseModalities": ["TEXT", "IMAGE"],
        "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"},
        "candidateCount": 3,
        "seed": 7,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "maxOutputTokens": 5000,
        "stopSequences": ["x"],
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
        "thinkingConfig": {"thinkingLevel": "high"},
    }
    safety = {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}
    found = understood(
        LATEST,
        generationConfig=config,
        safetySettings=[safety],
        systemInstruction={"parts": [{"text": "Be brief"}]},
        tools=[{"googleSearch": {}}],
        model=f"models/{LATEST}",
    )
    request = found.request
    assert found.ignored == ()
    assert found.words
    assert (request.operation, request.model, request.prompt) == ("generate", LATEST, "A cat")
    assert (request.aspect_ratio, request.resolution) == ("16:9", "2K")
    assert (request.n, request.seed, request.timeout_s) == (3, 7, 600)
    assert request.output_format is None
    assert request.options == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "max_output_tokens": 5000,
        "stop_sequences": ["x"],
        "media_resolution": "MEDIA_RESOLUTION_LOW",
        "thinking_level": "HIGH",
        "safety_settings": [safety],
        "system_instruction": "Be brief",
        "google_search": True,
    }


def test_both_spellings_are_one() -> None:
    camel = configured(imageConfig={"aspectRatio": "1:1"}, candidateCount=2)
    snake = understood(
        generation_config={"image_config": {"aspect_ratio": "1:1"}, "candidate_count": 2}
    )
    assert camel == snake


def test_only_pictures_means_no_words() -> None:
    assert not configured(responseModalities=["IMAGE"]).words
    assert configured().words


def test_what_a_model_does_not_have_is_named() -> None:
    found = understood(
        GPT,
        generationConfig={
            "seed": 7,
            "temperature": 0.5,
            "thinkingConfig": {"thinkingLevel": "HIGH"},
        },
        safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
    )
    assert found.request.options == {}
    assert found.request.seed is None
    assert set(found.ignored) == {
        "generationConfig.seed",
        "generationConfig.temperature",
        "generationConfig.thinkingConfig.thinkingLevel",
        "safetySettings",
    }
    assert configured(seed=-1).ignored == ("generationConfig.seed",)


EXAMPLES: dict[str, Any] = {
    "contents.parts.thought": [{"parts": [{"text": "x", "thought": True}, {"text": "A cat"}]}],
    "contents.parts.videoMetadata": [{"parts": [{"text": "A cat", "videoMetadata": {"fps": 1}}]}],
    "contents.parts.mediaResolution": [{"parts": [{"text": "A cat", "mediaResolution": {"a": 1}}]}],
    "contents.parts.partMetadata": [{"parts": [{"text": "A cat", "partMetadata": {"a": 1}}]}],
    "contents.parts.fileData.displayName": [
        {"parts": [{"text": "A cat"}, {"fileData": {"fileUri": "files/a", "displayName": "x"}}]}
    ],
    "tools.googleSearch.timeRangeFilter": [{"googleSearch": {"timeRangeFilter": {"a": "b"}}}],
    "generationConfig.thinkingConfig.includeThoughts": True,
    "generationConfig.thinkingConfig.thinkingBudget": 10,
    "generationConfig.presencePenalty": 0.5,
    "generationConfig.frequencyPenalty": 0.5,
    "generationConfig.responseLogprobs": True,
    "generationConfig.logprobs": 3,
    "generationConfig.audioTranscriptionConfig": {"a": 1},
    "generationConfig.enableEnhancedCivicAnswers": True,
    "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    "serviceTier": "flex",
    "labels": {"a": "b"},
    "store": True,
}


def ignored_by_the_table() -> Iterator[str]:
    for fields in SUPPORT.values():
        yield from (name for name, (treatment, _) in fields.items() if treatment == "ignored")


@pytest.mark.parametrize("path", sorted(set(ignored_by_the_table())))
def test_what_the_table_ignores_is_named_if_it_is_there(path: str) -> None:
    first, *rest = path.split(".")
    value = EXAMPLES[path]
    if first == "generationConfig":
        for step in reversed(rest):
            value = {step: value}
    assert understood(**{first: value}).ignored == (path,)
    assert understood().ignored == ()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"contents": []}, "contents is not specified"),
        ({"contents": [{"role": "system", "parts": [{"text": "x"}]}]}, "valid role: user, model"),
        ({"contents": [{"parts": []}]}, "contents.parts must not be empty"),
        ({"contents": [{"parts": [{}]}]}, "required oneof field 'data'"),
        ({"contents": [{"parts": [{"text": " "}]}]}, "no words that say what to draw"),
        ({"unheard": 1}, 'Unknown name "unheard": Cannot find field.'),
        ({"generationConfig": {"responseFormat": {}}}, "at 'generation_config'"),
        ({"generationConfig": {"responseModalities": ["TEXT"]}}, "response modalities: text"),
        ({"generationConfig": {"responseModalities": ["AUDIO"]}}, "response modalities: audio"),
        ({"generationConfig": {"responseMimeType": "application/json"}}, "JSON mode"),
        ({"generationConfig": {"responseMimeType": "image/png"}}, "allowed mimetypes"),
        ({"generationConfig": {"responseSchema": {}}}, "JSON mode"),
        ({"generationConfig": {"speechConfig": {"a": 1}}}, "Speech"),
        ({"generationConfig": {"candidateCount": -1}}, "candidate_count"),
        ({"generationConfig": {"temperature": 7}}, "temperature must be in the range"),
        ({"cachedContent": "cachedContents/x"}, "Cached content"),
        ({"continuationToken": "x"}, "Continuation"),
        ({"tools": [{"functionDeclarations": []}]}, "Function calling"),
        ({"tools": [{"codeExecution": {}}]}, "Tool code_execution"),
        ({"tools": [{"googleSearch": {"searchTypes": {"imageSearch": {}}}}]}, "Search as tool"),
        (
            {"systemInstruction": {"parts": [{"fileData": {"fileUri": "x"}}]}},
            "only parts with text",
        ),
        ({"model": "models/another"}, "models/another"),
        ({"contents": [{"parts": [{"text": "é" * 500_000}]}]}, "bytes of text"),
    ],
)
def test_what_cannot_be_done_is_refused(fields: dict[str, Any], words: str) -> None:
    assert words in refused(**fields)


def test_search_is_asked_of_models_that_have_it_only() -> None:
    pictures: Any = [{"googleSearch": {"searchTypes": {"imageSearch": {}}}}]
    assert understood(LATEST, tools=pictures).request.options == {"image_search": True}
    assert "Search as tool" in refused(OLD, tools=[{"googleSearch": {}}])
    assert understood("auto", tools=[{"googleSearch": {}}]).request.options == {
        "google_search": True
    }


def test_instructions_come_before_the_prompt_where_a_model_has_none() -> None:
    for name in (GPT, "auto"):
        found = understood(name, systemInstruction={"parts": [{"text": "Be brief"}]})
        assert found.request.prompt == "Be brief\n\nA cat"


def test_pictures_make_it_an_edit() -> None:
    parts = [{"text": "Add a cat"}, {"fileData": {"fileUri": "files/abc"}}]
    request = understood(contents=[{"parts": parts}]).request
    assert (request.operation, request.refs) == ("edit", (ImageRef(file_id="abc"),))

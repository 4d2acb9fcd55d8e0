"""generateContent: pictures of the right kind, signed chats, refusals in Google's words."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import httpx
import pytest

from shared.catalogue import Catalogue
from shared.sandbox import gemini
from shared.sandbox.google_files import Files
from tests.sandbox.conftest import Clock, Google, images, opened, packed, parts, photo, refused

pytestmark = pytest.mark.pictures

PRO, FLASH_25 = "gemini-3-pro-image", "gemini-2.5-flash-image"
LATEST, LITE = "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image"


def test_every_ratio_and_resolution_has_the_catalogues_size_and_tokens(rows: Catalogue) -> None:
    for model in rows.models.values():
        route = model.routes[0]
        if route.wire != "gemini":
            continue
        for ratio, resolution in itertools.product(model.aspect_ratios, model.resolutions):
            shape = {"aspectRatio": ratio, "imageSize": resolution}
            if route.wire_model.startswith("gemini-2"):
                del shape["imageSize"]
            contents = [{"parts": [{"text": "x"}]}]
            body = {"contents": contents, "generationConfig": {"imageConfig": shape}}
            scene = gemini.understand(
                json.dumps(body).encode(), model, route.wire_model, "v1", Files(Clock()), b"1"
            )
            assert scene.size == model.sizes[ratio][resolution]
            assert scene.image_tokens == model.image_tokens[resolution]


@pytest.mark.parametrize(
    ("model", "shape", "size", "kind"),
    [
        (PRO, {}, (1024, 1024), "JPEG"),
        (PRO, {"aspectRatio": "16:9", "imageSize": "2K"}, (2752, 1536), "JPEG"),
        (LITE, {"aspectRatio": "1:8", "imageSize": "512"}, (192, 1536), "JPEG"),
        (FLASH_25, {"aspectRatio": "21:9"}, (1536, 672), "PNG"),
    ],
)
def test_the_picture_has_the_models_size_and_format(
    google: Google, model: str, shape: dict[str, str], size: tuple[int, int], kind: str
) -> None:
    reply = google.generate(model=model, config={"imageConfig": shape})
    (data,) = images(reply)
    assert (opened(data).size, opened(data).format) == (size, kind)
    assert parts(reply)[-1]["inlineData"]["mimeType"] == f"image/{kind.lower()}"


def test_a_reply_counts_tokens_as_google_does(google: Google) -> None:
    reply = google.generate("x" * 80, sources=(photo(),)).json()
    usage = reply["usageMetadata"]
    assert usage["promptTokenCount"] == 20 + 560
    assert usage["promptTokensDetails"] == [
        {"modality": "TEXT", "tokenCount": 20},
        {"modality": "IMAGE", "tokenCount": 560},
    ]
    assert usage["candidatesTokensDetails"] == [{"modality": "IMAGE", "tokenCount": 1120}]
    assert usage["totalTokenCount"] == 580 + 1120 + usage["thoughtsTokenCount"]
    assert reply["modelVersion"] == PRO
    assert len(reply["responseId"]) == 23
    assert reply["candidates"][0]["finishReason"] == "STOP"


def test_the_older_model_speaks_first_signs_nothing_and_does_not_think(google: Google) -> None:
    reply = google.generate(model=FLASH_25)
    assert ["text" in part for part in parts(reply)] == [True, False]
    assert not any("thoughtSignature" in part for part in parts(reply))
    assert "thoughtsTokenCount" not in reply.json()["usageMetadata"]
    only = google.generate(model=FLASH_25, config={"responseModalities": ["Image"]})
    assert len(parts(only)) == 1


def test_the_same_seed_gives_the_same_bytes_and_no_seed_others(google: Google) -> None:
    def picture(prompt: str = "A cat", seed: int | None = None, *sources: bytes) -> bytes:
        config = {"seed": seed, "imageConfig": {"imageSize": "512"}}
        return images(google.generate(prompt, LITE, config=config, sources=sources))[0]

    seven = picture(seed=7)
    assert picture(seed=7) == seven
    others = (picture(seed=8), picture("A dog", 7), picture("A cat", 7, photo()))
    assert len({seven, *others, picture(), picture()}) == 6


def test_response_ids_differ_even_with_a_seed(google: Google) -> None:
    ids = {google.generate(config={"seed": 7}).json()["responseId"] for _ in range(2)}
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(160, 90, (1376, 768)), (90, 160, (768, 1376)), (100, 98, (1024, 1024))],
)
def test_an_edit_without_a_ratio_follows_its_first_source(
    google: Google, width: int, height: int, size: tuple[int, int]
) -> None:
    (data,) = images(google.generate(sources=(photo(width, height), photo(10, 90))))
    assert opened(data).size == size


def test_snake_case_lone_parts_and_unset_fields_are_taken(google: Google) -> None:
    body = {
        "contents": {"parts": {"inline_data": {"mime_type": "image/png", "data": packed(photo())}}},
        "system_instruction": {"parts": {"text": "Be brief"}},
        "generation_config": {
            "response_modalities": ["text", "Image"],
            "image_config": {"aspect_ratio": "4:5"},
            "seed": "7",
            "thinking_config": None,
        },
    }
    reply = google.send("POST", f"/v1/models/{PRO}:generateContent", body)
    assert opened(images(reply)[0]).size == (928, 1152)


def test_every_unknown_field_is_named_with_its_path_in_snake_case(google: Google) -> None:
    error = refused(
        google.generate(
            config={"imageConfig": {"resolution": "1K", "numberOfImages": 2}, "quality": 1}, foo=1
        ),
        400,
    )
    unknown = "Invalid JSON payload received. Unknown name"
    lines = [
        f"{unknown} \"resolution\" at 'generation_config.image_config': Cannot find field.",
        f"{unknown} \"numberOfImages\" at 'generation_config.image_config': Cannot find field.",
        f"{unknown} \"quality\" at 'generation_config': Cannot find field.",
        f'{unknown} "foo": Cannot find field.',
    ]
    assert error["message"] == "\n".join(lines)
    assert error["status"] == "INVALID_ARGUMENT"
    violations = error["details"][0]["fieldViolations"]
    assert [v["description"] for v in violations] == lines
    assert violations[0]["field"] == "generation_config.image_config"
    assert "field" not in violations[3]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"candidateCount": 2}, "Multiple candidates is not enabled for this model"),
        ({"responseMimeType": "image/png"}, "response_mime_type: allowed mimetypes are `text/pl"),
        ({"responseMimeType": "application/json"}, "JSON mode is not enabled"),
        ({"responseSchema": {}}, "JSON mode is not enabled"),
        ({"imageConfig": {"aspectRatio": "9:21"}}, 'v1beta.ImageConfig.AspectRatio), "9:21"'),
        ({"imageConfig": {"aspectRatio": "1:8"}}, "'generation_config.image_config.aspect_ratio'"),
        ({"imageConfig": {"imageSize": "1k"}}, 'v1beta.ImageConfig.ImageSize), "1k"'),
        ({"imageConfig": {"imageSize": "512"}}, "'generation_config.image_config.image_size'"),
        ({"seed": 2**31}, "Invalid value at 'generation_config.seed' (TYPE_INT32), 2147483648"),
        ({"temperature": 2.1}, "temperature must be in the range [0.0, 2.0]"),
        ({"temperature": "warm"}, "Invalid value at 'generation_config.temperature' (TYPE_FLOAT)"),
        ({"topP": -1}, "top_p must be in the range"),
        ({"stopSequences": ["x"] * 6}, "stop_sequences"),
        ({"responseModalities": ["AUDIO"]}, "the requested response modalities: audio"),
        ({"responseModalities": ["SMELL"]}, 'GenerationConfig.Modality), "SMELL"'),
        ({"thinkingConfig": {"thinkingLevel": "HIGH"}}, "Thinking level is not supported"),
    ],
)
def test_a_setting_the_model_does_not_have_is_refused(
    google: Google, config: dict[str, Any], words: str
) -> None:
    assert words in refused(google.generate(config=config), 400)["message"]


@pytest.mark.parametrize(
    ("model", "top", "words"),
    [
        (PRO, {"safetySettings": [{"category": "HARM_CATEGORY_JOKES"}]}, "HarmCategory"),
        (
            PRO,
            {"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "LOUD"}]},
            "HarmBlockThreshold",
        ),
        (PRO, {"tools": [{"functionDeclarations": []}]}, "Function calling is not enabled"),
        (PRO, {"tools": [{"codeExecution": {}}]}, "Tool code_execution is not enabled"),
        (LITE, {"tools": [{"googleSearch": {}}]}, "Search as tool is not enabled"),
        (PRO, {"contents": []}, "contents is not specified"),
        (PRO, {"contents": [{"parts": []}]}, "contents.parts must not be empty"),
        (PRO, {"contents": [{"parts": [{}]}]}, "must have one initialized field"),
        (PRO, {"contents": [{"role": "bot", "parts": [{"text": "x"}]}]}, "valid role"),
        (PRO, {"contents": "A bicycle"}, "Invalid value at 'contents'"),
        (PRO, {"contents": [{"parts": [{"text": "x" * 3_000_000}]}]}, "input token count (750000)"),
        (PRO, {"contents": [{"parts": [{"text": "x", "fileData": {}}]}]}, "(oneof)"),
    ],
)
def test_a_body_that_does_not_fit_is_refused(
    google: Google, model: str, top: dict[str, Any], words: str
) -> None:
    assert words in refused(google.generate(model=model, **top), 400)["message"]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"mimeType": "image/svg+xml", "data": "aGk="}, "Unsupported MIME type: image/svg+xml"),
        ({"mimeType": "image/png", "data": "aGk="}, "Unable to process input image"),
        ({"mimeType": "image/png", "data": packed(photo())[:80]}, "Unable to process input image"),
        ({"mimeType": "image/png", "data": "?"}, '(TYPE_BYTES), Base64 decoding failed for "?"'),
    ],
)
def test_a_source_that_cannot_be_read_is_refused(
    google: Google, part: dict[str, str], words: str
) -> None:
    contents = [{"parts": [{"text": "Edit"}, {"inlineData": part}]}]
    assert words in refused(google.generate(contents=contents), 400)["message"]


def test_a_broken_body_is_refused(google: Google) -> None:
    path = f"/v1beta/models/{PRO}:generateContent"
    for content in (b"{", b"[1]", b"\xff", b"[" * 100_000):
        refused(google.send("POST", path, content=content), 400)


def test_more_sources_than_the_model_takes_are_refused(google: Google) -> None:
    tiny = photo(2, 2)
    assert google.generate(sources=(tiny,) * 14).status_code == 200
    assert "at most 14" in refused(google.generate(sources=(tiny,) * 15), 400)["message"]


def test_thoughts_come_first_and_are_not_signed(google: Google) -> None:
    config = {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": "medium"}}
    idea, sketch, final = parts(google.generate(model=LATEST, config=config))
    assert idea["thought"] is sketch["thought"] is True
    assert "thoughtSignature" not in sketch
    assert sketch["inlineData"] == final["inlineData"]
    assert len(base64.b64decode(final["thoughtSignature"])) == 1024


def test_a_search_leaves_its_sources(google: Google) -> None:
    reply = google.generate(tools=[{"googleSearch": {}}]).json()
    assert reply["candidates"][0]["groundingMetadata"]["webSearchQueries"] == ["A red bicycle"]


def test_too_few_tokens_for_a_picture_end_the_answer_early(google: Google) -> None:
    candidate = google.generate(config={"maxOutputTokens": 100}).json()["candidates"][0]
    assert (candidate["content"], candidate["finishReason"]) == ({}, "MAX_TOKENS")


def test_text_alone_can_be_asked_for(google: Google) -> None:
    (part,) = parts(google.generate(config={"responseModalities": ["TEXT"]}))
    assert part["text"]


def chat(google: Google, answer: dict[str, Any], model: str = PRO) -> httpx.Response:
    contents = [
        {"role": "user", "parts": [{"text": "A red bicycle"}]},
        {"role": "model", "parts": [answer]},
        {"role": "user", "parts": [{"text": "Make it blue"}]},
    ]
    return google.generate(model=model, contents=contents)


def test_a_chat_goes_on_with_what_was_signed_here(google: Google) -> None:
    shape = {"imageConfig": {"aspectRatio": "21:9"}}
    (answer,) = parts(google.generate(config=shape))
    second = chat(google, answer)
    assert opened(images(second)[0]).size == (1584, 672)
    spelt = {"inline_data": answer["inlineData"], "thought_signature": answer["thoughtSignature"]}
    assert chat(google, spelt).status_code == 200


def test_a_chat_without_the_signature_is_refused(google: Google) -> None:
    (answer,) = parts(google.generate())
    unsigned = {"inlineData": answer["inlineData"]}
    message = refused(chat(google, unsigned), 400)["message"]
    missing = "Image part is missing a thought_signature in content position 2, part position 1."
    assert message.startswith(missing)
    assert chat(google, {**unsigned, "thought": True}).status_code == 200


def test_a_chat_with_another_pictures_signature_is_refused(google: Google) -> None:
    answers = [parts(google.generate())[0] for _ in range(2)]
    mixed = {**answers[0], "thoughtSignature": answers[1]["thoughtSignature"]}
    assert refused(chat(google, mixed), 400)["message"] == "Corrupted thought signature."


def test_the_older_model_chats_without_signatures(google: Google) -> None:
    answer = parts(google.generate(model=FLASH_25))[-1]
    assert chat(google, answer, FLASH_25).status_code == 200


def test_only_the_last_turns_directives_count(google: Google) -> None:
    (answer,) = parts(google.generate())
    contents = [
        {"role": "user", "parts": [{"text": "A red bicycle [sandbox:unavailable]"}]},
        {"role": "model", "parts": [answer]},
        {"role": "user", "parts": [{"text": "Make it blue"}]},
    ]
    assert google.generate(contents=contents).status_code == 200


def stream(google: Google, query: str = "", **extra: Any) -> httpx.Response:
    body = {"contents": [{"parts": [{"text": "A red bicycle"}]}], **extra}
    return google.send("POST", f"/v1beta/models/{LATEST}:streamGenerateContent{query}", body)


THOUGHTS = {"thinkingConfig": {"includeThoughts": True}}


def test_events_are_frames_of_one_part_ending_without_a_sentinel(google: Google) -> None:
    answer = stream(google, "?alt=sse", generationConfig=THOUGHTS)
    assert answer.headers["content-type"] == "text/event-stream"
    *frames, end = answer.text.split("\r\n\r\n")
    assert end == ""
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    assert [len(chunk["candidates"][0]["content"]["parts"]) for chunk in chunks] == [1, 1, 1]
    assert ["finishReason" in chunk["candidates"][0] for chunk in chunks] == [False, False, True]
    assert "candidatesTokenCount" not in chunks[0]["usageMetadata"]
    assert chunks[-1]["usageMetadata"]["candidatesTokenCount"] == 1120
    assert len({chunk["responseId"] for chunk in chunks}) == 1


def test_a_stream_without_events_is_an_array_even_when_refused(google: Google) -> None:
    assert len(stream(google, generationConfig=THOUGHTS).json()) == 3
    error = stream(google, foo=1)
    assert (error.status_code, error.json()[0]["error"]["code"]) == (400, 400)
    assert "error" in stream(google, "?alt=sse", foo=1).json()

"""Records become answers of generateContent, refusals of the content among them."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from shared.domain import Problem, Record, Usage
from shared.errors import (
    ContentBlocked,
    DarkroomError,
    InvalidRequest,
    NoImage,
    OutcomeUnknown,
    ProviderError,
)
from shared.links import Links
from shared.surfaces import Shown
from shared.surfaces.gemini_answer import Rendering, Stream, is_answer, not_begun
from shared.surfaces.gemini_errors import Place
from shared.surfaces.gemini_turns import Signer
from shared.work import Answer
from tests.surfaces.records import record, shown

SIGNER = Signer(Links("https://host.test", b"a secret"), "acc_1")
RENDERING = Rendering(SIGNER, "https://host.test/gemini", "v1")
PLACE = Place("v1", "gpt-image-2.5-flare", "streamGenerateContent")
USAGE = Usage(30, 1300, source_tokens=20, thought_tokens=100, image_tokens=1120)


def body(
    made: Record,
    *pictures: Shown,
    error: DarkroomError | None = None,
    rendering: Rendering = RENDERING,
) -> Any:
    return json.loads(json.dumps(rendering.of(made, pictures, error).body()))


def candidates(made: Record, *pictures: Shown, **more: Any) -> list[Any]:
    return list(body(made, *pictures, **more)["candidates"])


def test_a_picture_and_its_words_are_one_signed_candidate() -> None:
    answer = body(record(text="Here it is.", usage=USAGE), shown())
    (candidate,) = answer["candidates"]
    words, picture = candidate["content"]["parts"]
    assert words["text"] == "Here it is."
    assert picture["inlineData"] == {"mimeType": "image/png", "data": "AAAA"}
    assert words["thoughtSignature"] == picture["thoughtSignature"]
    reference = SIGNER.read(base64.b64decode(picture["thoughtSignature"]))
    assert (reference.request_id, reference.number) == ("req_abc", 0)
    assert {k: v for k, v in candidate.items() if k != "content"} == {
        "finishReason": "STOP",
        "index": 0,
    }
    assert answer["modelVersion"] == "gpt-image-2.5-flare"
    assert answer["responseId"] == "abc"
    assert answer["usageMetadata"] == {
        "promptTokenCount": 30,
        "candidatesTokenCount": 1200,
        "totalTokenCount": 1330,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 10},
            {"modality": "IMAGE", "tokenCount": 20},
        ],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
        "thoughtsTokenCount": 100,
        "serviceTier": "standard",
    }


def test_words_are_left_out_where_only_pictures_are_wanted() -> None:
    (candidate,) = candidates(
        record(text="Here"), shown(), rendering=replace(RENDERING, words=False)
    )
    assert ["inlineData" in part for part in candidate["content"]["parts"]] == [True]


def test_a_picture_that_is_not_inline_is_a_file() -> None:
    (candidate,) = candidates(record(), shown(1, None))
    (part,) = candidate["content"]["parts"]
    uri = "https://host.test/gemini/v1/files/imgabcn1"
    assert part["fileData"] == {"mimeType": "image/png", "fileUri": uri}
    assert part["thoughtSignature"]


def test_several_pictures_of_one_are_one_candidate() -> None:
    (candidate,) = candidates(record(), shown(0), shown(1))
    assert len(candidate["content"]["parts"]) == 2


def test_each_picture_asked_for_is_a_candidate() -> None:
    found = candidates(record(n=2, text="Here"), shown(0), shown(1))
    assert [c["index"] for c in found] == [0, 1]
    assert [len(c["content"]["parts"]) for c in found] == [2, 1]


@pytest.mark.parametrize(
    ("code", "reason"), [("partially_blocked", "IMAGE_SAFETY"), ("provider_error", "OTHER")]
)
def test_missing_pictures_have_a_reason(code: str, reason: str) -> None:
    found = candidates(record(n=3, error=Problem(code, "One is missing.")), shown(0), shown(1))
    assert [c["finishReason"] for c in found] == ["STOP", "STOP", reason]
    assert found[2]["content"] == {}
    assert found[2]["finishMessage"] == "One is missing."


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            ContentBlocked("no", param="prompt", details={"reason": "OTHER"}),
            {"blockReason": "OTHER"},
        ),
        (ContentBlocked("no", param="prompt"), {"blockReason": "PROHIBITED_CONTENT"}),
    ],
)
def test_a_blocked_prompt_has_no_candidates(error: DarkroomError, expected: object) -> None:
    answer = body(record(status="failed"), error=error)
    assert answer["promptFeedback"] == expected
    assert "candidates" not in answer


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (ContentBlocked("no"), "IMAGE_SAFETY", "no"),
        (ContentBlocked("no", details={"reason": "IMAGE_RECITATION"}), "IMAGE_RECITATION", "no"),
        (ContentBlocked("no", details={"reason": "made up"}), "IMAGE_SAFETY", "no"),
        (NoImage("none"), "NO_IMAGE", "none"),
        (NoImage("none", details={"reason": "IMAGE_OTHER"}), "IMAGE_OTHER", "none"),
        (NoImage("none", details={"reason": "STOP"}), "NO_IMAGE", "none"),
        (InvalidRequest("low", details={"reason": "MAX_TOKENS"}), "MAX_TOKENS", "low"),
    ],
)
def test_a_refused_picture_is_an_empty_candidate(
    error: DarkroomError, reason: str, message: str
) -> None:
    assert is_answer(error)
    (candidate,) = candidates(record(status="failed"), error=error)
    assert candidate == {
        "content": {},
        "finishReason": reason,
        "finishMessage": message,
        "index": 0,
    }


def test_words_instead_of_a_picture_are_an_answer() -> None:
    error = NoImage("none", details={"reason": "STOP", "text": "I would rather not."})
    (candidate,) = candidates(record(status="failed"), error=error)
    assert candidate["content"]["parts"] == [{"text": "I would rather not."}]
    assert candidate["finishReason"] == "STOP"


def test_other_errors_are_no_answers() -> None:
    for error in (ProviderError("x"), OutcomeUnknown("x"), InvalidRequest("x")):
        assert not is_answer(error)


def test_a_word_this_installation_does_not_draw_blocks_the_prompt() -> None:
    blocked = not_begun("m", "id", ContentBlocked("no", details={"blocklist": True})).body()
    assert blocked["promptFeedback"] == {"blockReason": "BLOCKLIST"}


def ended(made: Record) -> Answer:
    return Answer(made)


def test_events_end_in_crlf_and_only_the_last_says_how_it_ended() -> None:
    stream = Stream(RENDERING, PLACE, events=True)
    made = record(text="Here", usage=USAGE)
    frames = list(stream.ended(ended(made), [shown()]))
    assert stream.media_type == "text/event-stream"
    assert all(f.startswith(b"data: {") and f.endswith(b"}\r\n\r\n") for f in frames)
    words, picture = (json.loads(f[6:]) for f in frames)
    assert words["candidates"][0]["content"]["parts"][0]["text"] == "Here"
    assert "finishReason" not in words["candidates"][0]
    assert "candidatesTokenCount" not in words["usageMetadata"]
    assert picture["candidates"][0]["finishReason"] == "STOP"
    assert picture["usageMetadata"]["totalTokenCount"] == 1330
    assert words["responseId"] == picture["responseId"] == "abc"


def test_an_array_grows_to_valid_json_whatever_came_before() -> None:
    stream = Stream(RENDERING, PLACE, events=False)
    pieces = [stream.waiting(), *stream.ended(ended(record(text="Here")), [shown()])]
    chunks = json.loads(b"".join(pieces))
    assert [len(chunk["candidates"]) for chunk in chunks] == [1, 1]


def test_an_empty_line_is_no_event() -> None:
    assert not Stream(RENDERING, PLACE, events=True).waiting().strip()


def test_a_stream_that_fails_ends_in_the_bare_error() -> None:
    error = ProviderError("broken")
    bare = json.loads(Stream(RENDERING, PLACE, events=True).failed(error))
    assert bare["error"] == {"code": 500, "message": "broken", "status": "INTERNAL"}
    assert json.loads(Stream(RENDERING, PLACE, events=False).failed(error)) == [bare]


def test_a_refusal_of_the_content_is_no_error_to_a_stream() -> None:
    stream = Stream(RENDERING, PLACE, events=True)
    blocked = record(status="failed", error=Problem("content_blocked", "no", param="prompt"))
    assert stream.refusal(ended(blocked)) is None
    (rendering,) = stream.ended(ended(blocked), [])
    assert json.loads(rendering[6:])["promptFeedback"]
    broken = record(status="failed", error=Problem("provider_error", "no"))
    assert isinstance(stream.refusal(ended(broken)), ProviderError)

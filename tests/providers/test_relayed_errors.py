"""A relay's errors mean the same by Google's format as by OpenAI's."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from shared.errors import HTTP_STATUS, DarkroomError
from shared.providers import gemini, openai_chat

ASKED = httpx.Request("POST", "https://relay.test/")


def new_api(code: str, message: str = "no", **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "new_api_error", "code": code, **fields}}


ANSWERS: list[tuple[int, Any]] = [
    (500, new_api("do_request_failed")),
    (500, new_api("bad_response_body")),
    (500, new_api("read_response_body_failed")),
    (503, new_api("model_not_found", "No available channel for model x")),
    (429, new_api("insufficient_user_quota")),
    (200, new_api("insufficient_user_quota")),
    (400, new_api("sensitive_words_detected")),
    (400, new_api("prompt_blocked")),
    (504, new_api("channel:response_time_exceeded")),
    (401, {"error": {"message": "Invalid token", "type": "new_api_error"}}),
    (402, {"error": {"message": "no credit"}}),
    (408, "<html>"),
    (524, "<html>"),
    (529, {"error": {"message": "overloaded"}}),
]


@pytest.mark.parametrize(("status", "body"), ANSWERS, ids=str)
def test_both_formats_read_it_alike(status: int, body: Any) -> None:
    def read(adapter: Any) -> DarkroomError:
        shown = {"text": body} if isinstance(body, str) else {"json": body}
        with pytest.raises(DarkroomError) as caught:
            adapter.read(httpx.Response(status, request=ASKED, **shown))
        return caught.value

    by_google, by_openai = read(gemini), read(openai_chat)
    assert type(by_google) is type(by_openai)
    assert by_google.details[HTTP_STATUS] == by_openai.details[HTTP_STATUS] == status


def test_neither_shows_keys_nor_addresses() -> None:
    said = 'Post "https://up-7.internal.example/v1": token sk-abcdEFGH12345 failed (request id: 1)'
    for adapter in (gemini, openai_chat):
        answer = httpx.Response(400, request=ASKED, json=new_api("bad_thing", said))
        with pytest.raises(DarkroomError) as caught:
            adapter.read(answer)
        for hidden in ("internal", "sk-abcd", "request id"):
            assert hidden not in caught.value.message


def test_what_a_good_answer_holds_is_not_logged() -> None:
    torn = '{"data": [{"revised_prompt": "MY SECRET", "b64_json": "iVBOR'
    for adapter in (gemini, openai_chat):
        with pytest.raises(DarkroomError) as caught:
            adapter.read(httpx.Response(200, request=ASKED, text=torn))
        assert caught.value.private == f"{len(torn)} bytes"
        assert caught.value.paid

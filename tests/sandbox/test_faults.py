"""What a prompt can make go wrong at Google."""

from __future__ import annotations

import base64
import binascii

import pytest

from tests.sandbox.conftest import Google, images, opened, parts, refused

RETRY, QUOTA = "type.googleapis.com/google.rpc.RetryInfo", "google.rpc.QuotaFailure"


@pytest.mark.parametrize(
    ("fault", "period", "delay"),
    [("rate_limited", "PerMinute", "1s"), ("quota_exhausted", "PerDay", "39600s")],
)
def test_a_limit_says_which_and_until_when(
    google: Google, fault: str, period: str, delay: str
) -> None:
    error = refused(google.generate(f"A cat [sandbox:{fault}]"), 429)
    assert error["status"] == "RESOURCE_EXHAUSTED"
    failure, _, retry = error["details"]
    assert period in failure["violations"][0]["quotaId"]
    assert failure["violations"][0]["quotaValue"].isdecimal()
    assert retry == {"@type": RETRY, "retryDelay": delay}


def test_an_outage_is_503_and_a_fault_500(google: Google) -> None:
    outage = refused(google.generate("A cat [sandbox:unavailable]"), 503)
    assert outage["status"] == "UNAVAILABLE"
    fault = refused(google.generate("A cat [sandbox:server_error]"), 500)
    assert fault["status"] == "INTERNAL"


def test_a_blocked_prompt_has_no_candidates(google: Google) -> None:
    body = google.generate("A cat [sandbox:blocked]").json()
    assert body["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}
    assert "candidates" not in body
    assert "candidatesTokenCount" not in body["usageMetadata"]


def test_no_image_is_an_empty_content(google: Google) -> None:
    candidate = google.generate("A cat [sandbox:no_image]").json()["candidates"][0]
    assert (candidate["content"], candidate["finishReason"]) == ({}, "NO_IMAGE")
    assert candidate["finishMessage"]


def test_text_only_is_a_polite_success(google: Google) -> None:
    reply = google.generate("A cat [sandbox:text_only]")
    assert [set(part) for part in parts(reply)] == [{"text", "thoughtSignature"}]
    assert reply.json()["candidates"][0]["finishReason"] == "STOP"
    assert "candidatesTokensDetails" not in reply.json()["usageMetadata"]


def test_partial_withholds_the_first_of_a_requests_calls(google: Google) -> None:
    def finish() -> str:
        reply = google.generate("A cat [sandbox:partial]", headers={"x-request-id": "req_1"})
        return str(reply.json()["candidates"][0]["finishReason"])

    assert [finish() for _ in range(3)] == ["IMAGE_SAFETY", "STOP", "STOP"]


def test_not_json_is_a_page(google: Google) -> None:
    reply = google.generate("A cat [sandbox:not_json]")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/html")
    with pytest.raises(ValueError, match="Expecting value"):
        reply.json()


def test_bad_base64_cannot_be_decoded(google: Google) -> None:
    (part,) = parts(google.generate("A cat [sandbox:bad_base64]"))
    with pytest.raises(binascii.Error):
        base64.b64decode(part["inlineData"]["data"], validate=True)


@pytest.mark.parametrize("model", ["gemini-3-pro-image", "gemini-2.5-flash-image"])
def test_wrong_mime_lies_about_good_bytes(google: Google, model: str) -> None:
    reply = google.generate("A cat [sandbox:wrong_mime]", model=model)
    claimed = parts(reply)[-1]["inlineData"]["mimeType"]
    assert claimed != f"image/{(opened(images(reply)[0]).format or '').lower()}"


def test_bytes_makes_a_big_picture_that_can_be_opened(google: Google) -> None:
    (data,) = images(google.generate("A cat [sandbox:bytes=3000000]"))
    assert 3_000_000 <= len(data) < 3_000_100
    assert opened(data).size == (1024, 1024)


def test_transport_faults_are_left_to_the_front_end(google: Google) -> None:
    slow = google.generate("A cat [sandbox:slow=2.5] [sandbox:unavailable]")
    assert (slow.status_code, slow.extensions["delay_s"]) == (503, 2.5)
    assert google.generate("A cat [sandbox:timeout]").extensions["fault"] == "timeout"
    torn = google.generate("A cat [sandbox:truncated]")
    assert torn.extensions["fault"] == "truncated"
    assert images(torn)


def test_a_directive_for_another_provider_is_not_for_google(google: Google) -> None:
    assert images(google.generate("A cat [sandbox:unavailable@openai]"))
    refused(google.generate("A cat [sandbox:unavailable@google]"), 503)


def test_an_unknown_directive_is_refused_with_the_known_ones(google: Google) -> None:
    message = refused(google.generate("A cat [sandbox:explode]"), 400)["message"]
    assert "[sandbox:explode]" in message
    assert "rate_limited" in message


def test_a_bad_request_is_refused_before_its_directives(google: Google) -> None:
    refused(google.generate("A cat [sandbox:unavailable]", config={"candidateCount": 3}), 400)

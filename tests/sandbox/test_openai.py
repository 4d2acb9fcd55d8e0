"""The sandbox's OpenAI: keys, models, paths and what a prompt can make go wrong."""

from __future__ import annotations

import httpx
import pytest

from shared import errors
from shared.catalogue import Catalogue
from shared.providers import Inline
from shared.sandbox import Sandbox
from tests.sandbox.conftest import Clock, opened
from tests.sandbox.openai_client import FLARE, MINI, SECOND, OpenAI, refused

pytestmark = pytest.mark.pictures


@pytest.fixture
def openai(rows: Catalogue, clock: Clock) -> OpenAI:
    return OpenAI(Sandbox(rows, clock))


def test_without_a_key_nobody_comes_in(rows: Catalogue, clock: Clock) -> None:
    nobody = OpenAI(Sandbox(rows, clock), key="")
    assert "didn't provide an API key" in refused(nobody.generate(), 401)["message"]
    assert refused(nobody.send("GET", "/v1/models"), 401)["code"] is None


@pytest.mark.parametrize(
    ("key", "status", "kind", "code"),
    [
        ("bad-key", 401, "invalid_request_error", "invalid_api_key"),
        ("unverified", 403, "invalid_request_error", None),
        ("poor", 429, "insufficient_quota", "insufficient_quota"),
    ],
)
def test_a_key_may_open_nothing(
    openai: OpenAI, key: str, status: int, kind: str, code: str | None
) -> None:
    error = refused(OpenAI(openai.sandbox, key).generate(), status)
    assert (error["type"], error["code"]) == (kind, code)


def test_models_are_listed_with_their_snapshots(openai: OpenAI) -> None:
    listed = openai.send("GET", "/v1/models").json()
    assert listed["object"] == "list"
    by_id = {model["id"]: model for model in listed["data"]}
    assert {FLARE, f"{FLARE}-2026-09-08", MINI, SECOND} <= set(by_id)
    assert "gpt-image-1" not in by_id
    assert by_id[MINI]["shutdown_date"] == "2026-12-01"
    assert by_id[SECOND] == {
        "id": SECOND,
        "object": "model",
        "created": 1776729600,
        "owned_by": "system",
        "shutdown_date": None,
    }
    assert openai.send("GET", f"/v1/models/{SECOND}").json() == by_id[SECOND]


@pytest.mark.parametrize("name", ["gpt-image-1", "dall-e-3", "gemini-3-pro-image"])
def test_a_model_that_is_gone_or_unknown_is_not_found(openai: OpenAI, name: str) -> None:
    for response in (openai.generate(model=name), openai.send("GET", f"/v1/models/{name}")):
        error = refused(response, 404)
        assert (error["param"], error["code"]) == ("model", "model_not_found")


def test_a_model_is_gone_from_the_day_of_its_shutdown(openai: OpenAI, clock: Clock) -> None:
    clock.now = clock.now.replace(day=30)
    assert openai.generate(model=MINI).status_code == 200
    clock.now = clock.now.replace(month=12, day=1)
    refused(openai.generate(model=MINI), 404)


def test_a_call_without_a_model_means_one_that_is_gone(openai: OpenAI) -> None:
    response = openai.send("POST", "/v1/images/generations", {"prompt": "A cat"})
    assert "dall-e-2" in refused(response, 404)["message"]


def test_paths_and_methods_that_mean_nothing_are_refused(openai: OpenAI) -> None:
    assert (
        "POST /v1/images/variations"
        in refused(openai.send("POST", "/v1/images/variations"), 404)["message"]
    )
    refused(openai.send("GET", "/v1/images/generations"), 405)
    refused(openai.send("DELETE", f"/v1/models/{SECOND}"), 404)


def test_every_answer_says_which_it_is(openai: OpenAI) -> None:
    answers = [openai.generate(n=0), openai.generate(), openai.send("GET", "/v1/models")]
    assert len({a.headers["x-request-id"] for a in answers}) == 3
    assert all(a.headers["openai-version"] == "2020-10-01" for a in answers)
    assert all(a.headers["openai-processing-ms"].isdecimal() for a in answers)


@pytest.mark.parametrize(
    ("fault", "status", "kind", "code"),
    [
        ("rate_limited", 429, "requests", "rate_limit_exceeded"),
        ("quota_exhausted", 429, "requests", "rate_limit_exceeded"),
        ("unavailable", 503, "server_error", None),
        ("server_error", 500, "server_error", None),
        ("blocked", 400, "image_generation_user_error", "moderation_blocked"),
        ("explode", 400, "invalid_request_error", "invalid_value"),
    ],
)
def test_a_prompt_can_make_it_fail(
    openai: OpenAI, fault: str, status: int, kind: str, code: str | None
) -> None:
    error = refused(openai.generate(f"A cat [sandbox:{fault}]"), status)
    assert (error["type"], error["code"]) == (kind, code)


def test_a_refusal_of_the_safety_system_names_the_call_and_the_reason(openai: OpenAI) -> None:
    response = openai.generate("A cat [sandbox:blocked]")
    message = refused(response, 400)["message"]
    assert response.headers["x-request-id"] in message
    assert message.endswith("safety_violations=[sexual].")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("rate_limited", errors.RateLimited),
        ("quota_exhausted", errors.QuotaExceeded),
        ("unavailable", errors.ProviderUnavailable),
        ("server_error", errors.ProviderError),
        ("blocked", errors.ContentBlocked),
        ("no_image", errors.NoImage),
        ("text_only", errors.NoImage),
        ("not_json", errors.ProviderError),
        ("bad_base64", errors.ProviderError),
        ("partial", errors.ContentBlocked),
    ],
)
def test_what_goes_wrong_here_is_what_it_should_be_to_us(
    openai: OpenAI, fault: str, kind: type[errors.DarkroomError]
) -> None:
    with pytest.raises(errors.DarkroomError) as caught:
        openai.through_the_adapter(f"A cat [sandbox:{fault}]")
    assert type(caught.value) is kind
    assert "[sandbox" not in caught.value.message


@pytest.mark.parametrize(("fault", "delay_s"), [("rate_limited", 1.0), ("quota_exhausted", 25920)])
def test_a_limit_says_until_when(openai: OpenAI, fault: str, delay_s: float) -> None:
    with pytest.raises(errors.DarkroomError) as caught:
        openai.through_the_adapter(f"A cat [sandbox:{fault}]")
    assert caught.value.retry_after_s == delay_s


@pytest.mark.parametrize("key", ["bad", "unverified", "poor"])
def test_a_key_that_opens_nothing_is_the_operators_to_mend(openai: OpenAI, key: str) -> None:
    with pytest.raises(errors.Misconfigured):
        OpenAI(openai.sandbox, key).through_the_adapter("A cat")


def test_one_picture_of_several_can_be_withheld(openai: OpenAI) -> None:
    done = openai.through_the_adapter("A cat [sandbox:partial]", n=3)
    assert (len(done.images), done.withheld) == (2, 0)


@pytest.mark.parametrize("fault", ["wrong_mime", "slow=2", "bytes=400000"])
def test_a_strange_picture_is_a_picture(openai: OpenAI, fault: str) -> None:
    done = openai.through_the_adapter(f"A cat [sandbox:{fault}]")
    (image,) = done.images
    assert isinstance(image, Inline)
    assert opened(image.data).format == "PNG"
    assert image.content_type == ("image/jpeg" if fault == "wrong_mime" else "image/png")
    assert len(image.data) >= (400_000 if fault.startswith("bytes") else 1)


@pytest.mark.parametrize("fault", ["timeout", "truncated"])
def test_faults_of_the_connection_are_left_to_the_front_end(openai: OpenAI, fault: str) -> None:
    response = openai.generate(f"A cat [sandbox:{fault}]")
    assert response.extensions["fault"] == fault


def test_a_fault_can_pass_after_some_calls(openai: OpenAI) -> None:
    answers: list[httpx.Response] = [
        openai.generate("A cat [sandbox:unavailable*2@openai]") for _ in range(3)
    ]
    assert [a.status_code for a in answers] == [503, 503, 200]

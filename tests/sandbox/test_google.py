"""Google's doors: paths, keys, models, and the errors in front of them."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from shared.catalogue import Catalogue
from shared.sandbox import Sandbox
from tests.sandbox.conftest import Clock, Google, refused

pytestmark = pytest.mark.pictures

BODY = {"contents": [{"parts": [{"text": "A red bicycle"}]}]}
PRO = "/v1beta/models/gemini-3-pro-image"


def test_a_call_without_a_key_is_forbidden(google: Google) -> None:
    error = refused(google.send("GET", "/v1/models", headers={"x-goog-api-key": ""}), 403)
    assert error["status"] == "PERMISSION_DENIED"
    assert "unregistered callers" in error["message"]


@pytest.mark.parametrize(
    ("key", "code", "words"),
    [("bad1", 400, "not valid"), ("expired1", 400, "expired"), ("leaked1", 403, "leaked")],
)
def test_keys_are_refused_by_how_they_begin(
    google: Google, key: str, code: int, words: str
) -> None:
    error = refused(google.send("GET", "/v1/models", headers={"x-goog-api-key": key}), code)
    assert words in error["message"]
    if code == 400:
        assert error["details"][0]["reason"] == "API_KEY_INVALID"


def test_a_key_may_be_in_the_address(google: Google) -> None:
    answer = google.send("GET", "/v1/models?key=any", headers={"x-goog-api-key": ""})
    assert answer.status_code == 200


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_models_lists_what_is_live_today(google: Google, rows: Catalogue, version: str) -> None:
    listed = google.send("GET", f"/{version}/models").json()["models"]
    live = {
        f"models/{route.wire_model}"
        for model in rows.models.values()
        for route in model.routes
        if route.provider == "google" and route.live(Clock().today())
    }
    assert {row["name"] for row in listed} == live
    pro = next(row for row in listed if row["name"] == "models/gemini-3-pro-image")
    methods = ["generateContent", "countTokens", "batchGenerateContent"]
    assert pro["supportedGenerationMethods"] == methods
    assert pro["inputTokenLimit"] == 131072
    assert pro["thinking"] is True


def test_pages_of_models_join_to_the_whole_list(google: Google) -> None:
    whole = google.send("GET", "/v1beta/models").json()["models"]
    found, query = [], "pageSize=1"
    for _ in whole:
        page = google.send("GET", f"/v1beta/models?{query}").json()
        found += page["models"]
        query = f"pageSize=1&pageToken={page.get('nextPageToken')}"
    assert found == whole
    assert len(whole) > 1


@pytest.mark.parametrize("query", ["pageToken=x", "pageSize=-1", "page_size=x"])
def test_a_page_that_cannot_be_is_refused(google: Google, query: str) -> None:
    refused(google.send("GET", f"/v1beta/models?{query}"), 400)


def test_one_model_is_bare(google: Google) -> None:
    assert google.send("GET", PRO).json()["name"] == "models/gemini-3-pro-image"


@pytest.mark.parametrize("model", ["gemini-9", "gemini-3-pro-image-preview"])
def test_an_unknown_or_retired_model_is_not_found(google: Google, model: str) -> None:
    error = refused(google.send("POST", f"/v1/models/{model}:generateContent", BODY), 404)
    assert error["status"] == "NOT_FOUND"
    assert error["message"] == (
        f"models/{model} is not found for API version v1, or is not supported for generateContent. "
        "Call ModelService.ListModels to see the list of available models and their supported "
        "methods."
    )


def test_a_model_is_served_up_to_the_day_before_its_shutdown(google: Google, clock: Clock) -> None:
    path = "/v1beta/models/gemini-3.1-flash-image"
    clock.now = clock.now.replace(month=10, day=28)
    assert google.send("GET", path).status_code == 200
    clock.now += timedelta(days=1)
    assert google.send("GET", path).status_code == 404


def test_a_method_of_another_wire_is_not_found(google: Google) -> None:
    assert (
        "not supported for predict"
        in refused(google.send("POST", f"{PRO}:predict", BODY), 404)["message"]
    )


def test_the_colon_may_come_percent_encoded(google: Google) -> None:
    assert google.send("POST", f"{PRO}%3AcountTokens", BODY).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1beta/batches/none"),
        ("GET", "/v1beta/webhooks"),
        ("GET", "/v2/models"),
        ("GET", f"{PRO}:generateContent"),
        ("PUT", "/v1beta/files/x"),
        ("POST", "/upload/v1beta/other"),
    ],
)
def test_what_is_not_there_is_not_found_in_googles_shape(
    google: Google, method: str, path: str
) -> None:
    assert refused(google.send(method, path), 404)["status"] == "NOT_FOUND"


def test_answers_carry_the_front_ends_headers(google: Google) -> None:
    headers = google.send("GET", "/v1beta/models").headers
    assert headers["content-type"] == "application/json; charset=UTF-8"
    assert headers["server-timing"].startswith("gfet4t7; dur=")


def test_count_tokens_counts_text_and_sources(google: Google) -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    contents = [{"parts": [{"text": "x" * 40}, image]}]
    counted = google.send("POST", f"{PRO}:countTokens", {"contents": contents}).json()
    assert counted["totalTokens"] == 10 + 560
    request = {"model": "models/gemini-3-pro-image", "contents": contents}
    whole = google.send("POST", f"{PRO}:countTokens", {"generateContentRequest": request}).json()
    assert whole == counted


@pytest.mark.parametrize("body", [{}, {**BODY, "generateContentRequest": BODY}])
def test_count_tokens_wants_exactly_one_thing_to_count(google: Google, body: object) -> None:
    refused(google.send("POST", f"{PRO}:countTokens", body), 400)


def test_a_path_of_no_provider_is_told_what_there_is(rows: Catalogue, clock: Clock) -> None:
    sandbox = Sandbox(rows, clock)
    answer = sandbox.handle(httpx.Request("GET", "http://sandbox/elsewhere/v1/models"))
    assert answer.status_code == 404
    assert "/google" in answer.text

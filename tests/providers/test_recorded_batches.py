"""Batches that Google and OpenAI really ran, read from a folder beside the repository where there
is one. None of them made pictures: what is checked is all around them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import yaml

from shared.domain import Endpoint
from shared.errors import NoImage, ProviderError
from shared.providers import Done, Order, Progress, gemini_batches, openai_batches
from tests.recorded import recording

GOOGLE = Endpoint("https://google.test", "v1beta", "model-1", "key", "x-goog-api-key")
OPENAI = Endpoint("https://api.openai.com", "v1", "model-1", "key")


def said(name: str) -> httpx.Response:
    return httpx.Response(200, content=recording(f"google/{name}").read_bytes())


def exchanges(name: str) -> list[Any]:
    text = recording(f"openai/{name}.yml").read_text("utf-8").replace("!binary ", "")
    loaded: list[Any] = yaml.load(text, yaml.CSafeLoader)["http_interactions"]
    return loaded


def answer(exchange: Any) -> httpx.Response:
    recorded = exchange["response"]
    body = recorded["body"]["string"].encode()
    return httpx.Response(recorded["status"]["code"], content=body)


def test_a_recorded_batch_of_googles_is_followed() -> None:
    created = said("DelphiGemini__batch_create_response_2026-01-06.json")
    token = gemini_batches.read_begun(created, Order("my batch name", (b"{}",)), GOOGLE)
    assert isinstance(token, str)
    assert token == created.json()["name"]
    assert gemini_batches.read_progress(created) == Progress("running")
    ended = said("DelphiGemini__batch_get_succeeded_2026-01-06.json")
    file = f"files/batch-{token.removeprefix('batches/')}"
    assert gemini_batches.read_progress(ended) == Progress("succeeded", 2, (file,))
    page = httpx.Response(200, json={"operations": [created.json(), ended.json()]})
    assert gemini_batches.read_found(page, "my batch name") == (token, None)
    assert gemini_batches.read_found(page, "my batch") == (None, None)


def test_recorded_results_of_googles_are_read_whatever_the_order_of_their_fields() -> None:
    text = recording("google/cookbook__batch_text_results_2025-07-01.txt").read_text("utf-8")
    shown = [piece[piece.index("{") :] for piece in text.split("-" * 20) if "{" in piece]
    lines = [json.dumps(json.loads(piece)).encode() for piece in shown]
    outcomes = [gemini_batches.read_line(line) for line in lines]
    keys = [outcome.key for outcome in outcomes if outcome]
    assert keys == ["request_1", "request_2"]
    for outcome in outcomes:
        assert outcome
        assert isinstance(outcome.done, NoImage)
        assert outcome.done.usage
        assert outcome.done.usage.thought_tokens > 800


def test_recorded_results_that_are_no_pictures_are_errors_of_ours() -> None:
    lines = recording("google/cookbook__batch_embedding_results_2025-09-10.jsonl").read_bytes()
    outcomes = [o for o in map(gemini_batches.read_line, lines.splitlines()) if o]
    assert [outcome.key for outcome in outcomes] == ["request_1", "request_2"]
    assert all(isinstance(outcome.done, ProviderError) for outcome in outcomes)


def test_a_recorded_batch_of_openais_is_followed_to_its_results() -> None:
    uploaded, created, *looks, fetched = exchanges("openai_files_batches_full_cycle")
    form = uploaded["request"]["body"]["string"]
    lines = [line.strip().encode() for line in form.splitlines() if line.startswith("{")]
    order = Order("bat_1-0", tuple(lines))
    assert str(openai_batches.begin(order, OPENAI).url) == uploaded["request"]["uri"]
    asked = openai_batches.read_begun(answer(uploaded), order, OPENAI)
    assert isinstance(asked, httpx.Request)
    assert str(asked.url) == created["request"]["uri"]
    known = json.loads(created["request"]["body"]["string"])
    assert json.loads(asked.content) == {**known, "metadata": {"darkroom": "bat_1-0"}}
    token = openai_batches.read_begun(answer(created), order, OPENAI)
    assert isinstance(token, str)
    for look in looks:
        assert str(openai_batches.poll(token, OPENAI).url) == look["request"]["uri"]
    stands = [openai_batches.read_progress(answer(look)) for look in looks]
    assert {progress.state for progress in stands} == {"running", "succeeded"}
    (file,) = stands[-1].files
    assert stands[-1].finished == len(lines)
    assert str(openai_batches.download(file, 0, OPENAI).url) == fetched["request"]["uri"]
    outcomes = [openai_batches.read_line(line) for line in answer(fetched).content.splitlines()]
    assert sorted(outcome.key for outcome in outcomes if outcome) == ["0", "1"]
    assert not [outcome for outcome in outcomes if outcome and isinstance(outcome.done, Done)]


def test_a_recorded_cancellation_is_under_way() -> None:
    (exchange,) = exchanges("openai_batches_cancel")
    progress = openai_batches.read_progress(answer(exchange))
    assert progress == Progress("running")
    asked = openai_batches.cancel(answer(exchange).json()["id"], OPENAI)
    assert (asked.method, str(asked.url)) == ("POST", exchange["request"]["uri"])


@pytest.mark.parametrize("name", ["batch_create_response", "batch_get_succeeded"])
def test_a_recorded_batch_is_no_event(name: str) -> None:
    body = said(f"DelphiGemini__{name}_2026-01-06.json").content
    assert gemini_batches.read_event(body) is None

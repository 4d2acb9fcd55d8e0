"""Google's batches: created of a file or of requests, watched, cancelled, read line by line."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from shared.catalogue import Catalogue
from shared.sandbox import Sandbox, gemini, google_batches
from shared.sandbox.batch import Batch, standing
from shared.sandbox.directives import Orders
from shared.sandbox.shelf import Folder
from tests.sandbox.conftest import Clock, Google, opened, packed, photo, refused
from tests.sandbox.test_google_files import uploaded

PRO = "/v1beta/models/gemini-3-pro-image"
QUIET = "[sandbox:text_only]"
"""Answers without a picture are made in no time."""


@dataclass(frozen=True)
class Batches:
    """Calls about batches."""

    google: Google
    clock: Clock

    def create(self, *prompts: str, name: str = "mine", **more: Any) -> httpx.Response:
        lines = [line(f"r{number}", prompt) for number, prompt in enumerate(prompts)]
        return self.of_file(b"\n".join(lines), name, **more)

    def of_file(self, data: bytes, name: str = "mine", model: str = PRO) -> httpx.Response:
        config = {"fileName": uploaded(self.google, data)["name"]}
        return self.of(config, name, model)

    def of(self, config: object, name: str = "mine", model: str = PRO) -> httpx.Response:
        body = {"batch": {"displayName": name, "inputConfig": config}}
        return self.google.send("POST", f"{model}:batchGenerateContent", body)

    def get(self, batch: httpx.Response) -> dict[str, Any]:
        found = self.google.send("GET", f"/v1beta/{batch.json()['name']}")
        assert found.status_code == 200, found.text
        body = json.loads(found.read())
        assert isinstance(body, dict)
        return body

    def state(self, batch: httpx.Response) -> str:
        return str(self.get(batch)["metadata"]["state"]).removeprefix("BATCH_STATE_")

    def wait(self, seconds: float = 2.0) -> None:
        self.clock.now += timedelta(seconds=seconds)

    def download(self, file: str, start: int | None = None) -> httpx.Response:
        headers = {} if start is None else {"range": f"bytes={start}-"}
        return self.google.send("GET", f"/v1beta/{file}:download?alt=media", headers=headers)

    def results(self, batch: httpx.Response) -> bytes:
        """The whole file of results, some time later."""
        self.wait()
        return self.download(self.get(batch)["response"]["responsesFile"]).read()


def line(key: str, prompt: str, **request: Any) -> bytes:
    contents = [{"parts": [{"text": prompt}]}]
    return json.dumps({"key": key, "request": {"contents": contents, **request}}).encode()


def by_key(results: bytes) -> dict[str, dict[str, Any]]:
    found = [json.loads(one) for one in results.splitlines()]
    return {one["key"]: one for one in found}


def drawings(monkeypatch: pytest.MonkeyPatch, painter: ModuleType) -> list[int]:
    """The thread of every answer that a module gives from now on."""
    threads: list[int] = []
    respond = painter.respond

    def counted(scene: object, orders: Orders) -> object:
        threads.append(threading.get_ident())
        return respond(scene, orders)

    monkeypatch.setattr(painter, "respond", counted)
    return threads


@pytest.fixture
def batches(google: Google, clock: Clock) -> Batches:
    return Batches(google, clock)


def test_a_batch_of_a_file_runs_by_the_clock(batches: Batches) -> None:
    made = batches.create(*[f"A cat {QUIET}"] * 3, "A cat [sandbox:rate_limited]")
    fresh = made.json()
    metadata = fresh["metadata"]
    assert fresh["name"] == metadata["name"]
    assert len(fresh["name"]) == len("batches/") + 36
    assert metadata["model"] == "models/gemini-3-pro-image"
    assert (metadata["displayName"], metadata["state"]) == ("mine", "BATCH_STATE_PENDING")
    assert metadata["inputConfig"]["fileName"].startswith("files/")
    assert metadata["batchStats"] == {"requestCount": "4", "pendingRequestCount": "4"}
    assert "done" not in fresh
    assert "output" not in metadata
    batches.wait(1.25)
    running = batches.get(made)["metadata"]
    assert running["state"] == "BATCH_STATE_RUNNING"
    assert running["batchStats"] == {
        "requestCount": "4",
        "successfulRequestCount": "2",
        "pendingRequestCount": "2",
    }
    batches.wait(0.75)
    ended = batches.get(made)
    file = f"files/batch-{fresh['name'].removeprefix('batches/')}"
    assert ended["done"] is True
    assert ended["response"]["responsesFile"] == file
    assert ended["metadata"]["output"] == {"responsesFile": file}
    assert ended["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
    assert ended["metadata"]["endTime"] == "2026-11-21T10:00:02Z"
    assert ended["metadata"]["batchStats"] == {
        "requestCount": "4",
        "successfulRequestCount": "3",
        "failedRequestCount": "1",
    }


def test_every_item_ends_as_a_single_call_would(batches: Batches) -> None:
    faults = ("blocked", "no_image", "partial", "rate_limited*1", "quota_exhausted", "unavailable")
    errors = ("server_error", "timeout", "truncated", "not_json", "blocked@openai", "explode")
    prompts = [f"A cat [sandbox:{name}] {QUIET}" for name in faults + errors]
    results = by_key(batches.results(batches.create(*prompts)))
    answers = [results[f"r{number}"].get("response", {}) for number in range(len(prompts))]
    codes = [results[f"r{n}"].get("error", {}).get("code") for n in range(len(prompts))]
    assert answers[0]["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}
    assert answers[1]["candidates"][0]["finishReason"] == "NO_IMAGE"
    assert answers[2]["candidates"][0]["finishReason"] == "IMAGE_SAFETY"
    assert answers[10]["candidates"][0]["content"]["parts"][0]["text"]
    assert codes == [None, None, None, 8, 8, 14, 13, 13, 13, 13, None, 3]
    limited = results["r3"]["error"]
    assert {"@type", "retryDelay"} in [set(detail) for detail in limited["details"]]
    assert "status" not in limited


def test_bad_lines_are_errors_of_their_own(batches: Batches) -> None:
    lines = (
        b"{not json",
        b"[]",
        b"",
        b'{"key": "none"}',
        line("ratio", "A", generationConfig={"imageConfig": {"aspectRatio": "7:7"}}),
        line("field", "A", colour="red"),
        line("model", "A", model="models/gemini-2.5-flash-image"),
        line("file", "A", contents=[{"parts": [{"fileData": {"fileUri": "files/none"}}]}]),
        line("good", QUIET, model="models/gemini-3-pro-image"),
    )
    made = batches.of_file(b"\r\n".join(lines) + b"\n")
    found = [json.loads(one) for one in batches.results(made).splitlines()]
    assert len(found) == 8
    codes = {one.get("key", ""): one.get("error", {}).get("code") for one in found}
    assert codes == {"": 3, "none": 3, "ratio": 3, "field": 3, "model": 3, "file": 7, "good": None}
    assert batches.get(made)["metadata"]["batchStats"]["failedRequestCount"] == "7"


def test_lines_are_shuffled_and_their_fields_too(batches: Batches) -> None:
    results = batches.results(batches.create(*[QUIET] * 24))
    found = [json.loads(one) for one in results.splitlines()]
    keys = [one["key"] for one in found]
    assert sorted(keys) == sorted(f"r{number}" for number in range(24))
    assert keys != [f"r{number}" for number in range(24)]
    assert {tuple(one) for one in found} == {("key", "response"), ("response", "key")}
    assert len({tuple(one["response"]) for one in found}) > 3


@pytest.mark.pictures
def test_a_line_holds_a_signed_picture_and_differs_from_others(batches: Batches) -> None:
    images = [{"inlineData": {"mimeType": "image/png", "data": packed(photo(90, 160))}}]
    edit = line("edit", "", contents=[{"parts": [{"text": "Add a cat"}, *images]}])
    lines = (line("a", "A cat"), line("b", "A cat"), edit)
    results = by_key(batches.results(batches.of_file(b"\n".join(lines))))
    contents = [results[key]["response"]["candidates"][0]["content"] for key in ("a", "b", "edit")]
    parts = [content["parts"][0] for content in contents]
    assert all(part["thoughtSignature"] for part in parts)
    data = [base64.b64decode(part["inlineData"]["data"]) for part in parts]
    assert [opened(one).size for one in data] == [(1024, 1024), (1024, 1024), (768, 1376)]
    assert len(set(data)) == 3


def test_results_may_hold_a_web_page_and_miss_a_line(batches: Batches) -> None:
    made = batches.create(*[QUIET] * 6, f"[sandbox:html]{QUIET}", f"[sandbox:missing]{QUIET}")
    found = batches.results(made).splitlines()
    assert found.count(b"<!DOCTYPE html>") == 1
    rest = by_key(b"\n".join(one for one in found if one.startswith(b"{")))
    assert set(rest) == {f"r{number}" for number in range(6)}


@pytest.mark.parametrize("where", ["item", "name"])
def test_a_batch_may_fail_or_expire(batches: Batches, where: str) -> None:
    def create(directive: str) -> httpx.Response:
        if where == "item":
            return batches.create(QUIET, directive)
        return batches.create(QUIET, name=f"mine {directive}")

    failing, expiring = create("[sandbox:failed]"), create("[sandbox:expired@google]")
    batches.wait(0.5)
    failed = batches.get(failing)
    assert (failed["done"], failed["error"]["code"]) == (True, 3)
    assert failed["metadata"]["state"] == "BATCH_STATE_FAILED"
    assert batches.state(expiring) == "RUNNING"
    batches.wait(1.5)
    expired = batches.get(expiring)
    assert expired["metadata"]["state"] == "BATCH_STATE_EXPIRED"
    assert expired["done"] is True
    assert "response" not in expired
    assert "output" not in expired["metadata"]
    refused(batches.download(f"files/batch-{expired['name'].removeprefix('batches/')}"), 403)


def test_a_slow_item_makes_the_batch_slow(batches: Batches) -> None:
    made = batches.create(QUIET, "[sandbox:slow=60]", "[sandbox:slow=7]")
    batches.wait(59)
    assert batches.state(made) == "RUNNING"
    batches.wait(1)
    assert batches.state(made) == "SUCCEEDED"


def test_a_cancelled_batch_ends_a_moment_later(batches: Batches) -> None:
    made = batches.create(*[QUIET] * 4)
    path = f"/v1beta/{made.json()['name']}:cancel"
    batches.wait(1.5)
    assert batches.google.send("POST", path).json() == {}
    assert batches.state(made) == "RUNNING"
    batches.wait(0.75)
    assert batches.google.send("POST", path, {}).json() == {}
    batches.wait(0.25)
    ended = batches.get(made)
    assert (ended["done"], ended["error"]["code"]) == (True, 1)
    assert ended["metadata"]["state"] == "BATCH_STATE_CANCELLED"
    assert ended["metadata"]["batchStats"]["pendingRequestCount"] == "2"
    assert "response" not in ended


def test_what_ended_cannot_be_cancelled(batches: Batches) -> None:
    made = batches.create(QUIET)
    batches.wait()
    assert batches.google.send("POST", f"/v1beta/{made.json()['name']}:cancel").json() == {}
    batches.wait()
    assert batches.state(made) == "SUCCEEDED"


def test_a_cancel_that_comes_too_late_changes_nothing(clock: Clock) -> None:
    batch = Batch("id", clock(), 2.0, "succeeded", "g", "content", {})
    ended = clock() + timedelta(seconds=2)
    assert standing(batch, ended, ended).phase == "succeeded"
    assert standing(batch, ended, ended - timedelta(seconds=0.5)).phase == "cancelling"


def test_results_can_be_read_from_any_byte_on(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = batches.create(*[f"A cat {number} {QUIET}" for number in range(5)])
    whole = batches.results(made)
    file = batches.get(made)["response"]["responsesFile"]
    drawn = drawings(monkeypatch, gemini)
    lines = whole.splitlines(keepends=True)
    for start in (0, 1, len(lines[0]), len(lines[0]) + 7, len(whole) - 1):
        answer = batches.download(file, start)
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        assert answer.read() == whole[start:]
    assert len(drawn) == 5 + 5 + 4 + 4 + 1, "lines before the range are not made again"
    assert batches.download(file, len(whole)).status_code == 416
    assert batches.download(file).headers["content-length"] == str(len(whole))


def test_lines_are_made_one_by_one(batches: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    made = batches.create(*[QUIET] * 50)
    batches.wait()
    file = batches.get(made)["response"]["responsesFile"]
    drawn = drawings(monkeypatch, gemini)
    answer = batches.download(file)
    pieces = answer.iter_raw()
    first = next(pieces) + next(pieces)
    assert len(drawn) == 2
    rest = batches.download(file, len(first))
    assert len(drawn) == 3
    assert rest.headers["content-range"].startswith(f"bytes {len(first)}-")
    assert rest.headers["content-range"].endswith("/*")
    shown = batches.google.send("GET", f"/v1beta/{file}").json()
    assert "sizeBytes" not in shown
    whole = first + rest.read()
    assert len(whole.splitlines()) == 50
    shown = batches.google.send("GET", f"/v1beta/{file}").json()
    assert shown["sizeBytes"] == str(len(whole))


def test_a_file_of_results_is_a_generated_file(batches: Batches) -> None:
    made = batches.create(QUIET)
    file = f"files/batch-{made.json()['name'].removeprefix('batches/')}"
    refused(batches.google.send("GET", f"/v1beta/{file}"), 403)
    batches.wait()
    shown = batches.google.send("GET", f"/v1/{file}").json()
    assert (shown["source"], shown["state"]) == ("GENERATED", "ACTIVE")
    assert shown["uri"] == f"http://sandbox/google/v1/{file}"
    at = f"http://sandbox/google/download/v1/{file}:download?alt=media"
    assert shown["downloadUri"] == at
    assert batches.google.send("GET", at).read() == batches.download(file).read()
    listed = batches.google.send("GET", "/v1/files").json()["files"]
    assert [one["source"] for one in listed] == ["GENERATED", "UPLOADED"]
    refused(batches.google.send("GET", at, headers={"x-goog-api-key": ""}), 403)
    assert batches.google.send("DELETE", f"/v1/{file}").json() == {}
    refused(batches.google.send("GET", at), 403)
    assert batches.state(made) == "SUCCEEDED"


def test_results_are_gone_after_48_hours(batches: Batches) -> None:
    made = batches.create(QUIET)
    batches.wait()
    file = batches.get(made)["response"]["responsesFile"]
    batches.wait(48 * 3600 - 1)
    assert batches.download(file).status_code == 200
    batches.wait(1)
    refused(batches.download(file), 403)


def test_a_batch_outlives_its_file_and_ends_with_delete(batches: Batches) -> None:
    made = batches.create(QUIET)
    name = made.json()["name"]
    source = made.json()["metadata"]["inputConfig"]["fileName"]
    assert batches.google.send("DELETE", f"/v1beta/{source}").json() == {}
    assert len(by_key(batches.results(made))) == 1
    file = batches.get(made)["response"]["responsesFile"]
    assert batches.google.send("DELETE", f"/v1beta/{name}").json() == {}
    refused(batches.google.send("GET", f"/v1beta/{name}"), 404)
    refused(batches.google.send("DELETE", f"/v1beta/{name}"), 404)
    refused(batches.download(file), 403)


def test_answers_of_inlined_requests_are_in_the_batch(batches: Batches) -> None:
    prompts = (QUIET, "[sandbox:unavailable]", "[sandbox:html]", "[sandbox:missing]", QUIET)
    asked = [
        {
            "request": {"contents": [{"parts": [{"text": prompt}]}]},
            "metadata": {"key": f"r{number}"},
        }
        for number, prompt in enumerate(prompts)
    ]
    made = batches.of({"requests": {"requests": asked}})
    assert "inputConfig" not in made.json()["metadata"]
    batches.wait()
    ended = batches.get(made)
    for place in (ended["response"], ended["metadata"]["output"]):
        found = place["inlinedResponses"]["inlinedResponses"]
        assert [one["metadata"]["key"] for one in found] == ["r0", "r1", "r2", "r4"]
        assert ["response" in one for one in found] == [True, False, False, True]
        assert [one.get("error", {}).get("code") for one in found] == [None, 14, 13, None]
    stats = ended["metadata"]["batchStats"]
    assert (stats["successfulRequestCount"], stats["failedRequestCount"]) == ("3", "2")
    (listed,) = batches.google.send("GET", "/v1beta/batches").json()["operations"]
    assert "response" not in listed
    refused(batches.download(f"files/batch-{ended['name'].removeprefix('batches/')}"), 403)


def test_batches_are_listed_newest_first_page_by_page(batches: Batches) -> None:
    assert batches.google.send("GET", "/v1beta/batches").json() == {}
    names = []
    for _ in range(3):
        names.append(batches.create(QUIET).json()["name"])
        batches.wait(0.001)
    first = batches.google.send("GET", "/v1beta/batches?pageSize=2").json()
    token = first["nextPageToken"]
    rest = batches.google.send("GET", f"/v1beta/batches?pageSize=2&pageToken={token}").json()
    listed = [one["name"] for one in first["operations"] + rest["operations"]]
    assert listed == names[::-1]
    assert "nextPageToken" not in rest


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({}, 400),
        ({"fileName": "files/a", "requests": {"requests": []}}, 400),
        ({"requests": {"requests": []}}, 400),
        ({"requests": {"requests": [{"request": {"colour": "red"}}]}}, 400),
        ({"file_name": "files/none"}, 403),
    ],
)
def test_what_is_no_batch_is_refused(batches: Batches, config: object, code: int) -> None:
    refused(batches.of(config), code)
    assert batches.google.send("GET", "/v1beta/batches").json() == {}


def test_a_model_without_batches_is_not_found(batches: Batches) -> None:
    refused(batches.create(QUIET, model="/v1beta/models/none"), 404)
    refused(batches.create(QUIET, model="/v1beta/models/imagen-4.0-generate-001"), 404)
    refused(batches.create(QUIET, name="[sandbox:explode]"), 400)


def test_only_so_many_batches_run_at_once(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert google_batches.MOST_RUNNING == 100
    monkeypatch.setattr(google_batches, "MOST_RUNNING", 3)
    config = {"fileName": uploaded(batches.google, line("a", QUIET))["name"]}
    for _ in range(3):
        assert batches.of(config).status_code == 200
    assert refused(batches.of(config), 429)["status"] == "RESOURCE_EXHAUSTED"
    batches.wait()
    assert batches.of(config).status_code == 200


@pytest.mark.parametrize("path", ["batches/none", "batches/a%2F..%2Fb", "batches/none:cancel"])
def test_what_is_not_there_is_not_found(google: Google, path: str) -> None:
    refused(google.send("POST" if ":" in path else "GET", f"/v1beta/{path}"), 404)


def test_everything_on_a_folder_survives_the_process(
    rows: Catalogue, clock: Clock, tmp_path: Path
) -> None:
    def started() -> Batches:
        return Batches(Google(Sandbox(rows, clock, Folder(tmp_path))), clock)

    made = started().create(*[f"A cat {number} {QUIET}" for number in range(4)])
    assert started().state(made) == "PENDING"
    whole = started().results(made)
    file = started().get(made)["response"]["responsesFile"]
    assert started().download(file, 1000).read() == whole[1000:]
    name = made.json()["metadata"]["inputConfig"]["fileName"]
    assert started().google.send("GET", f"/v1beta/{name}").json()["name"] == name
    second = started().create(QUIET)
    started().google.send("POST", f"/v1beta/{second.json()['name']}:cancel")
    clock.now += timedelta(seconds=1)
    assert started().state(second) == "CANCELLED"

"""OpenAI's files and batches: uploaded, checked, watched, cancelled, read line by line."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.catalogue import Catalogue
from shared.sandbox import Sandbox, openai_batch_items, openai_images
from shared.sandbox.shelf import Folder
from tests.sandbox.conftest import Clock, opened, photo
from tests.sandbox.openai_client import FLARE, MINI, SECOND, OpenAI, refused
from tests.sandbox.test_google_batches import drawings

GENERATE, EDIT = "/v1/images/generations", "/v1/images/edits"
QUIET = "[sandbox:no_image]"
"""Answers without a picture are made in no time."""


@dataclass(frozen=True)
class Batches:
    """Calls about files and batches."""

    openai: OpenAI
    clock: Clock

    def upload(self, data: bytes, purpose: str = "batch", name: str = "x.jsonl") -> dict[str, Any]:
        answer = self.openai.send(
            "POST", "/v1/files", data={"purpose": purpose}, files={"file": (name, data)}
        )
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert isinstance(found, dict)
        return found

    def create(self, *lines: bytes, endpoint: str = GENERATE, **more: Any) -> dict[str, Any]:
        return self.of(self.upload(b"\n".join(lines))["id"], endpoint=endpoint, **more)

    def of(self, file_id: str, **more: Any) -> dict[str, Any]:
        body = {"input_file_id": file_id, "endpoint": GENERATE, "completion_window": "24h", **more}
        answer = self.openai.send("POST", "/v1/batches", body)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert isinstance(found, dict)
        return found

    def get(self, path: str) -> dict[str, Any]:
        answer = self.openai.send("GET", path)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert isinstance(found, dict)
        return found

    def at(self, batch: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The batch so many seconds later."""
        self.clock.now += timedelta(seconds=seconds)
        return self.get(f"/v1/batches/{batch['id']}")

    def content(self, file_id: str, start: int | None = None) -> httpx.Response:
        headers = {} if start is None else {"range": f"bytes={start}-"}
        return self.openai.send("GET", f"/v1/files/{file_id}/content", headers=headers)

    def lines(self, file_id: str) -> dict[str, dict[str, Any]]:
        """The lines of a file of results, by what was asked."""
        found = [json.loads(one) for one in self.content(file_id).read().splitlines()]
        assert all(list(one) == ["id", "custom_id", "response", "error"] for one in found)
        return {one["custom_id"]: one for one in found}


def line(name: str, prompt: str = QUIET, url: str = GENERATE, **fields: object) -> bytes:
    body = {"model": SECOND, "prompt": prompt, "quality": "low", **fields}
    return json.dumps({"custom_id": name, "method": "POST", "url": url, "body": body}).encode()


@pytest.fixture
def batches(rows: Catalogue, clock: Clock) -> Batches:
    return Batches(OpenAI(Sandbox(rows, clock)), clock)


def test_a_file_goes_up_and_comes_back(batches: Batches) -> None:
    data = b"--not a boundary\r\n\r\n\x00\xff"
    file = batches.upload(data)
    assert file == {
        "object": "file",
        "id": file["id"],
        "purpose": "batch",
        "filename": "x.jsonl",
        "bytes": len(data),
        "created_at": 1795255200,
        "expires_at": 1795255200 + 30 * 86_400,
        "status": "processed",
        "status_details": None,
    }
    assert batches.get(f"/v1/files/{file['id']}") == file
    content = batches.content(file["id"])
    assert content.content == data
    assert content.headers["content-disposition"] == 'attachment; filename="x.jsonl"'
    gone = batches.openai.send("DELETE", f"/v1/files/{file['id']}").json()
    assert gone == {"id": file["id"], "object": "file", "deleted": True}
    for path in ("", "/content"):
        error = refused(batches.openai.send("GET", f"/v1/files/{file['id']}{path}"), 404)
        assert error["param"] == "id"


def test_files_are_listed_newest_first(batches: Batches) -> None:
    ids = []
    for purpose in ("batch", "vision", "batch"):
        ids.append(batches.upload(b"x", purpose)["id"])
        batches.clock.now += timedelta(seconds=1)
    whole = batches.get("/v1/files")
    assert [file["id"] for file in whole["data"]] == ids[::-1]
    assert (whole["object"], whole["has_more"]) == ("list", False)
    assert (whole["first_id"], whole["last_id"]) == (ids[2], ids[0])
    page = batches.get(f"/v1/files?purpose=batch&order=asc&limit=1&after={ids[0]}")
    assert [file["id"] for file in page["data"]] == [ids[2]]
    refused(batches.openai.send("GET", "/v1/files?limit=0"), 400)
    refused(batches.openai.send("GET", "/v1/files?order=up"), 400)


def test_a_file_lives_as_long_as_it_was_told(batches: Batches) -> None:
    parts = {"purpose": "vision", "expires_after[anchor]": "created_at"}
    life = {"expires_after[seconds]": "3600"}
    send = batches.openai.send
    file = send("POST", "/v1/files", data={**parts, **life}, files={"file": ("a.png", b"x")}).json()
    assert file["expires_at"] - file["created_at"] == 3600
    batches.clock.now += timedelta(hours=1)
    refused(send("GET", f"/v1/files/{file['id']}"), 404)
    short = {**parts, "expires_after[seconds]": "60"}
    refused(send("POST", "/v1/files", data=short, files={"file": ("a.png", b"x")}), 400)


@pytest.mark.parametrize(
    ("data", "files", "code"),
    [
        ({"purpose": "batch"}, {"other": ("a.jsonl", b"x")}, "missing_required_parameter"),
        ({}, {"file": ("a.jsonl", b"x")}, "missing_required_parameter"),
        ({"purpose": "fun"}, {"file": ("a.jsonl", b"x")}, "invalid_value"),
        ({"purpose": "batch"}, {"file": ("a.txt", b"x")}, None),
    ],
)
def test_what_is_no_upload_is_refused(
    batches: Batches, data: Any, files: Any, code: str | None
) -> None:
    answer = batches.openai.send("POST", "/v1/files", data=data, files=files)
    assert refused(answer, 400)["code"] == code


def test_a_torn_form_is_refused(batches: Batches) -> None:
    for content in (b"--b\r\nhead", b"--b\r\n\r\nbody", b"nothing", b""):
        headers = {"content-type": "multipart/form-data; boundary=b"}
        answer = batches.openai.send("POST", "/v1/files", headers=headers, content=content)
        refused(answer, 400)


def test_a_batch_runs_by_the_clock(batches: Batches) -> None:
    metadata = {"batch": "mine"}
    made = batches.create(*[line(f"r{n}") for n in range(4)], metadata=metadata)
    assert made["status"] == "validating"
    assert made["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert made["metadata"] == metadata
    assert made["expires_at"] == made["created_at"] + 86_400
    nothing = ("errors", "output_file_id", "error_file_id", "in_progress_at", "finalizing_at")
    ends = ("completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at")
    assert [made[name] for name in nothing + ends] == [None] * 10
    assert len(made["id"]) == len("batch_") + 32
    running = batches.at(made, 1.25)
    assert running["status"] == "in_progress"
    assert running["request_counts"] == {"total": 4, "completed": 2, "failed": 0}
    assert batches.at(made, 0.6)["status"] == "finalizing"
    ended = batches.at(made, 0.15)
    assert (ended["status"], ended["completed_at"]) == ("completed", made["created_at"] + 2)
    assert ended["request_counts"] == {"total": 4, "completed": 4, "failed": 0}
    assert ended["error_file_id"] is None
    assert ended["model"] == SECOND
    assert set(batches.lines(ended["output_file_id"])) == {"r0", "r1", "r2", "r3"}


def test_refused_requests_stand_in_the_file_of_errors(batches: Batches) -> None:
    faults = ("rate_limited*1", "quota_exhausted", "unavailable", "server_error", "blocked")
    odd = ("partial", "timeout", "truncated", "not_json", "explode", "blocked@google")
    lines = [line(name, f"A [sandbox:{name}] {QUIET}") for name in faults + odd]
    lines += [line("size", size="7x7"), line("stream", stream=True), line("good")]
    ended = batches.at(batches.create(*lines), 2)
    failed = batches.lines(ended["error_file_id"])
    statuses = {name: failed[name]["response"]["status_code"] for name in failed}
    assert statuses == {
        "rate_limited*1": 429,
        "quota_exhausted": 429,
        "unavailable": 503,
        "server_error": 500,
        "blocked": 400,
        "partial": 400,
        "timeout": 500,
        "truncated": 500,
        "not_json": 500,
        "explode": 400,
        "size": 400,
        "stream": 400,
    }
    blocked = failed["blocked"]["response"]
    assert blocked["body"]["error"]["code"] == "moderation_blocked"
    assert blocked["request_id"] in blocked["body"]["error"]["message"]
    good = batches.lines(ended["output_file_id"])
    assert set(good) == {"good", "blocked@google"}
    assert good["good"]["response"]["body"]["data"] == []
    assert good["good"]["error"] is None
    assert ended["request_counts"] == {"total": 14, "completed": 2, "failed": 12}


@pytest.mark.pictures
def test_pictures_are_generated_and_differ(batches: Batches) -> None:
    made = batches.create(line("a", "A cat"), line("b", "A cat", n=2))
    results = batches.lines(batches.at(made, 2)["output_file_id"])
    bodies = [results[name]["response"]["body"] for name in "ab"]
    data = [base64.b64decode(item["b64_json"]) for body in bodies for item in body["data"]]
    assert [opened(one).size for one in data] == [(1024, 1024)] * 3
    assert len(set(data)) == 3
    assert bodies[0]["created"] == made["created_at"] + 2
    assert bodies[0]["usage"]["output_tokens"] > 0


@pytest.mark.pictures
def test_pictures_are_edited_from_urls_and_files(batches: Batches) -> None:
    file_id = batches.upload(photo(90, 160), "vision", "a.png")["id"]
    url = f"data:image/png;base64,{base64.b64encode(photo(160, 90)).decode()}"
    images: dict[str, Any] = {
        "url": [{"image_url": url}],
        "file": [{"file_id": file_id}],
        "none": [{"file_id": "file-none"}],
    }
    lines = [line(name, "Add a cat", EDIT, images=images[name]) for name in images]
    ended = batches.at(batches.create(*lines, endpoint=EDIT), 2)
    results = batches.lines(ended["output_file_id"])
    sizes = {name: results[name]["response"]["body"]["size"] for name in results}
    assert sizes["url"].startswith("1536")
    assert sizes["file"].endswith("1536")
    none = batches.lines(ended["error_file_id"])["none"]["response"]["body"]["error"]
    assert (none["code"], none["param"]) == ("invalid_value", "images[0]")
    body = {"model": SECOND, "prompt": QUIET, "images": images["file"]}
    assert batches.openai.send("POST", EDIT, body).status_code == 200


@pytest.mark.parametrize(
    ("bad", "code", "param"),
    [
        (b"{", "invalid_json_line", None),
        (b"[]", "invalid_json_line", None),
        (b"{}", "missing_required_parameter", "custom_id"),
        (line("a"), "duplicate_custom_id", "custom_id"),
        (line("b").replace(b"POST", b"GET"), "invalid_method", "method"),
        (line("b", url=EDIT), "invalid_url", "url"),
        (line("b", model=MINI), "mismatched_model", "body.model"),
        (line("b", model=None), "missing_required_parameter", "body.model"),
    ],
)
def test_a_bad_line_fails_the_whole_batch(
    batches: Batches, bad: bytes, code: str, param: str | None
) -> None:
    made = batches.create(line("a"), b"", bad)
    assert (made["status"], made["errors"]) == ("validating", None)
    failed = batches.at(made, 0.5)
    assert (failed["status"], failed["failed_at"]) == ("failed", made["created_at"])
    assert failed["errors"]["object"] == "list"
    (error,) = failed["errors"]["data"]
    assert (error["code"], error["param"], error["line"]) == (code, param, 3)
    assert error["message"]
    assert failed["request_counts"]["total"] == 0
    assert (failed["output_file_id"], failed["error_file_id"]) == (None, None)


def test_a_bad_file_fails_the_whole_batch(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert openai_batch_items.MOST_REQUESTS == 50_000
    monkeypatch.setattr(openai_batch_items, "MOST_REQUESTS", 2)
    made = {
        "invalid_file": batches.of("file-none"),
        "empty_file": batches.create(b"\n"),
        "too_many_tasks": batches.create(*[line(name) for name in "abc"]),
        "model_not_found": batches.create(line("a", model="gpt-image-2.6-sunburst")),
    }
    picture = batches.upload(b"x", "vision", "a.png")
    assert batches.at(batches.of(picture["id"]), 0.5)["status"] == "failed"
    for code, batch in made.items():
        assert batches.at(batch, 0)["errors"]["data"][0]["code"] == code


@pytest.mark.parametrize(
    "fields",
    [
        {"endpoint": "/v1/embeddings"},
        {"endpoint": None},
        {"completion_window": "1h"},
        {"metadata": {"a": 1}},
        {"metadata": {str(number): "" for number in range(17)}},
        {"metadata": {"a": "[sandbox:explode]"}},
        {"output_expires_after": {"anchor": "created_at", "seconds": 1}},
    ],
)
def test_what_is_no_batch_is_refused(batches: Batches, fields: dict[str, Any]) -> None:
    body = {"input_file_id": "file-x", "endpoint": GENERATE, "completion_window": "24h", **fields}
    refused(batches.openai.send("POST", "/v1/batches", body), 400)
    assert batches.get("/v1/batches")["data"] == []


def test_a_batch_may_fail_when_told_to(batches: Batches) -> None:
    made = batches.create(line("a"), line("b", "[sandbox:failed]"))
    (error,) = batches.at(made, 0.5)["errors"]["data"]
    assert error["line"] == 2


def test_an_expired_batch_has_what_was_done_in_time(batches: Batches) -> None:
    late = "A [sandbox:expired]"
    made = batches.create(line("a"), line("b", late), line("c", "[sandbox:unavailable]"))
    ended = batches.at(made, 2)
    assert (ended["status"], ended["expired_at"]) == ("expired", made["created_at"] + 2)
    assert ended["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
    assert set(batches.lines(ended["output_file_id"])) == {"a"}
    failed = batches.lines(ended["error_file_id"])
    assert failed["b"]["response"] is None
    assert failed["b"]["error"]["code"] == "batch_expired"
    assert failed["c"]["response"]["status_code"] == 503
    whole = batches.create(line("a"), metadata={"note": "[sandbox:expired]"})
    assert batches.at(whole, 2)["output_file_id"] is None


def test_a_cancelled_batch_has_what_was_done_before(batches: Batches) -> None:
    made = batches.create(*[line(f"r{n}") for n in range(4)])
    batches.at(made, 1.25)
    path = f"/v1/batches/{made['id']}/cancel"
    stopping = batches.openai.send("POST", path).json()
    assert stopping["status"] == "cancelling"
    assert stopping["cancelling_at"] == made["created_at"] + 1
    ended = batches.at(made, 1)
    assert (ended["status"], ended["cancelled_at"]) == ("cancelled", made["created_at"] + 2)
    assert set(batches.lines(ended["output_file_id"])) == {"r0", "r1"}
    assert ended["request_counts"] == {"total": 4, "completed": 2, "failed": 0}
    refused(batches.openai.send("POST", path), 409)


def test_results_may_hold_a_web_page_and_miss_a_line(batches: Batches) -> None:
    made = batches.create(line("a"), line("b", "[sandbox:html]"), line("c", "[sandbox:missing]"))
    ended = batches.at(made, 2)
    found = batches.content(ended["output_file_id"]).read()
    assert found.count(b"<!DOCTYPE html>") == found.count(b'"custom_id"') == 1
    assert ended["request_counts"]["completed"] == 3


def test_lines_are_made_one_by_one_and_from_any_byte_on(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = batches.at(batches.create(*[line(f"r{n}") for n in range(20)]), 2)
    drawn = drawings(monkeypatch, openai_images)
    answer = batches.content(ended["output_file_id"])
    name = f'attachment; filename="{ended["id"]}_output.jsonl"'
    assert answer.headers["content-disposition"] == name
    pieces = answer.iter_raw()
    first = next(pieces)
    assert len(drawn) == 1
    rest = batches.content(ended["output_file_id"], len(first))
    assert (rest.status_code, len(drawn)) == (206, 2)
    rest.read()
    whole = batches.content(ended["output_file_id"]).read()
    assert first + rest.content == whole
    assert batches.get(f"/v1/files/{ended['output_file_id']}")["bytes"] == len(whole)
    names = [json.loads(one)["custom_id"] for one in whole.splitlines()]
    assert sorted(names) != names != [f"r{n}" for n in range(20)]


def test_files_of_results_are_listed_expire_and_can_be_deleted(batches: Batches) -> None:
    life = {"anchor": "created_at", "seconds": 3600}
    lines = [line("a"), line("b", "[sandbox:blocked]")]
    ended = batches.at(batches.create(*lines, output_expires_after=life), 2)
    output, errors = ended["output_file_id"], ended["error_file_id"]
    listed = batches.get("/v1/files?purpose=batch_output")["data"]
    assert {file["id"] for file in listed} == {output, errors}
    assert {file["expires_at"] - file["created_at"] for file in listed} == {3600}
    assert batches.openai.send("DELETE", f"/v1/files/{output}").json()["deleted"] is True
    refused(batches.content(output), 404)
    assert batches.content(errors).status_code == 200
    batches.clock.now += timedelta(hours=1)
    refused(batches.content(errors), 404)


def test_batches_are_listed_newest_first(batches: Batches) -> None:
    ids = []
    for _ in range(3):
        ids.append(batches.create(line("a"))["id"])
        batches.clock.now += timedelta(seconds=1)
    page = batches.get("/v1/batches?limit=2")
    assert [batch["id"] for batch in page["data"]] == ids[:0:-1]
    assert (page["has_more"], page["last_id"]) == (True, ids[1])
    rest = batches.get(f"/v1/batches?limit=2&after={ids[1]}")
    assert [batch["id"] for batch in rest["data"]] == ids[:1]
    refused(batches.openai.send("GET", "/v1/batches/batch_none"), 404)
    refused(batches.openai.send("DELETE", f"/v1/batches/{ids[0]}"), 404)


def test_without_credit_or_a_key_there_is_no_batch(rows: Catalogue, clock: Clock) -> None:
    refused(OpenAI(Sandbox(rows, clock), key="poor").send("POST", "/v1/batches", {}), 429)
    refused(OpenAI(Sandbox(rows, clock), key="bad").send("GET", "/v1/files"), 401)


def test_everything_on_a_folder_survives_the_process(
    rows: Catalogue, clock: Clock, tmp_path: Path
) -> None:
    def started() -> Batches:
        return Batches(OpenAI(Sandbox(rows, clock, Folder(tmp_path))), clock)

    made = started().create(*[line(f"r{n}", model=FLARE) for n in range(3)])
    assert made["status"] == "validating"
    source = made["input_file_id"]
    assert len(started().content(source).content.splitlines()) == 3
    started().openai.send("DELETE", f"/v1/files/{source}")
    output = started().at(made, 2)["output_file_id"]
    whole = started().content(output).read()
    assert len(whole.splitlines()) == 3
    assert started().content(output, 100).read() == whole[100:]

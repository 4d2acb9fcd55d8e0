"""Every batch API against its fixtures: `tests/fixtures/<module>/<case>/`.

begin-*: order.json, and steps.json with what is asked, what is answered, and what that makes of it.
progress-*, found-*: response.json and result.json. results-*: results.jsonl as a provider writes
it, and results.json, what each of its lines means.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import errors
from shared.providers import Batches, Done, Order, Outcome, Progress
from shared.providers.registry import BATCHES
from tests.providers.test_fixtures import (
    AUTOMATIC_HEADERS,
    ENDPOINT,
    FIXTURES,
    KEY,
    assert_error,
    done,
    image_request,
    load,
    parts,
    response,
)

FOLDERS = {"gemini_batches": BATCHES["gemini"], "openai_batches": BATCHES["openai_images"]}


def cases(kind: str) -> list[Any]:
    return [
        pytest.param(module, path, id=f"{folder}/{path.name}")
        for folder, module in FOLDERS.items()
        for path in sorted((FIXTURES / folder).glob(f"{kind}-*"))
    ]


def order(module: Batches, fields: dict[str, Any]) -> Order:
    lines = tuple(
        module.line(item["key"], image_request(item["request"]), ENDPOINT)
        for item in fields["items"]
    )
    return Order(fields["name"], lines, fields.get("callback_url"), fields.get("about", {}))


def told(request: httpx.Request) -> dict[str, Any]:
    """A request as steps.json has it."""
    request.read()
    headers = {k: v for k, v in request.headers.items() if k not in AUTOMATIC_HEADERS}
    shown: dict[str, Any] = {"method": request.method, "url": str(request.url)}
    if headers.get("content-type", "").startswith("multipart/form-data; boundary="):
        headers["content-type"] = "multipart/form-data"
        shown["parts"] = parts(request)
    elif headers.get("content-type") == "application/json":
        shown["body"] = json.loads(request.content)
    elif request.content:
        shown["lines"] = [json.loads(line) for line in request.content.splitlines()]
    return {**shown, "headers": headers}


@pytest.mark.parametrize(("module", "case"), cases("begin"))
def test_a_batch_is_handed_over_in_exactly_these_steps(module: Batches, case: Path) -> None:
    given, steps = order(module, load(case / "order.json")), load(case / "steps.json")
    asked: httpx.Request | str = module.begin(given, ENDPOINT)
    for step in steps:
        assert isinstance(asked, httpx.Request)
        assert told(asked) == step["asked"]
        assert KEY not in str(asked.url)
        assert KEY.encode() not in asked.content
        answer = response(step["answered"])
        if "error" in step:
            with pytest.raises(errors.DarkroomError) as caught:
                module.read_begun(answer, given, ENDPOINT)
            assert type(caught.value).__name__ == step["error"]
            return
        asked = module.read_begun(answer, given, ENDPOINT)
    assert asked == steps[-1]["token"]


@pytest.mark.parametrize(("module", "case"), cases("progress"))
def test_progress_means_exactly_this(module: Batches, case: Path) -> None:
    answer, expected = response(load(case / "response.json")), load(case / "result.json")
    if "error" in expected:
        with pytest.raises(errors.DarkroomError) as caught:
            module.read_progress(answer)
        assert type(caught.value).__name__ == expected["error"]
        return
    progress = module.read_progress(answer)
    lines = [json.loads(line) for line in progress.lines]
    assert lines == expected.pop("lines", [])
    files = tuple(expected.pop("files", ()))
    assert {**asdict(progress), "lines": ()} == asdict(Progress(**expected, files=files))


@pytest.mark.parametrize(("module", "case"), cases("found"))
def test_a_page_of_batches_is_searched_for_our_name(module: Batches, case: Path) -> None:
    answer, expected = response(load(case / "response.json")), load(case / "result.json")
    if "error" in expected:
        with pytest.raises(errors.DarkroomError) as caught:
            module.read_found(answer, expected["name"])
        assert type(caught.value).__name__ == expected["error"]
        return
    assert module.read_found(answer, expected["name"]) == (expected["token"], expected["page"])


@pytest.mark.parametrize(("module", "case"), cases("results"))
def test_every_line_of_results_means_exactly_this(module: Batches, case: Path) -> None:
    lines = (case / "results.jsonl").read_bytes().split(b"\n")
    expected = load(case / "results.json")
    assert len(lines) == len(expected)
    for line, meant in zip(lines, expected, strict=True):
        if meant is None:
            assert module.read_line(line) is None
        elif "key" not in meant:
            with pytest.raises(errors.ProviderError):
                module.read_line(line)
        else:
            assert_outcome(module.read_line(line), meant)


def assert_outcome(outcome: Outcome | None, meant: dict[str, Any]) -> None:
    assert outcome is not None
    assert outcome.key == meant["key"]
    if "error" in meant:
        assert not isinstance(outcome.done, Done)
        assert type(outcome.done).__name__ == meant["error"]
        assert outcome.done.paid == meant.get("paid", False)
        assert_error(outcome.done, meant)
    else:
        assert outcome.done == done({k: v for k, v in meant.items() if k != "key"})


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_batch_api_has_fixtures_for_each_step(folder: str) -> None:
    names = {path.name.split("-")[0] for path in (FIXTURES / folder).iterdir()}
    assert names == {"begin", "progress", "found", "results"}

"""The lines we log, as Cloud Logging and Error Reporting read them."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from shared import log, trace
from shared.log import Source

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DEPLOYED = Source("shop", "run-request", "run-request-00007-abc")


Output = pytest.CaptureFixture[str]


@pytest.fixture
def output(capsys: Output) -> Iterator[Output]:
    """What is printed, with the logging of this process as it was afterwards."""
    root = logging.root
    handlers, level = root.handlers, root.level
    log.request_id.set(None)
    trace.follow(None)
    yield capsys
    root.handlers = handlers
    root.setLevel(level)
    logging.getLogger("darkroom").setLevel(logging.NOTSET)
    logging.captureWarnings(False)


def lines(output: Output) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.readouterr().out.splitlines()]


def broken() -> ValueError:
    """An error that was raised."""
    try:
        raise ValueError("no such thing")
    except ValueError as error:
        return error


def test_a_line_says_what_happened_to_which_request_in_which_trace(output: Output) -> None:
    log.start("INFO", DEPLOYED)
    log.request_id.set("req_1")
    trace.follow(PARENT)
    log.event("request.ended", model="m", provider=None)
    (line,) = lines(output)
    assert line.pop("time").startswith("20")
    assert line == {
        "severity": "INFO",
        "message": "request.ended",
        "event": "request.ended",
        "request_id": "req_1",
        "model": "m",
        "logging.googleapis.com/trace": "projects/shop/traces/0af7651916cd43dd8448eb211c80319c",
        "logging.googleapis.com/spanId": "b7ad6b7169203331",
        "logging.googleapis.com/trace_sampled": True,
    }


def test_an_error_is_reported_once_as_its_services(output: Output) -> None:
    log.start("INFO", DEPLOYED)
    error = broken()
    log.crash("request.not_ended", error)
    log.crash("function.crashed", error)
    log.crash("function.crashed", broken())
    logging.getLogger("asyncio").error("Task exception was never retrieved", exc_info=error)
    try:
        raise RuntimeError("of that") from error
    except RuntimeError as wrapped:
        log.crash("function.crashed", wrapped)
    first, again, other, late, caused = lines(output)
    assert first["severity"] == other["severity"] == "ERROR"
    assert "Traceback" in first["stack_trace"] and "no such thing" in first["stack_trace"]
    assert first["@type"].endswith(".ReportedErrorEvent")
    assert first["serviceContext"] == {
        "service": "run-request",
        "version": "run-request-00007-abc",
    }
    assert again["severity"] == "WARNING"
    for line in (again, late, caused):
        assert not {"stack_trace", "@type"} & line.keys()
    assert "no such thing" in again["cause"] and "of that" in caused["cause"]


def test_an_error_that_takes_no_mark_is_reported_all_the_same(output: Output) -> None:
    class Bare(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

    log.start("INFO", DEPLOYED)
    log.crash("function.crashed", Bare("x" * 50_000))
    (line,) = lines(output)
    assert len(line["stack_trace"]) == 30_000 and line["stack_trace"].endswith("x")


def test_no_secret_of_ours_is_printed_whoever_says_it(output: Output) -> None:
    log.start("INFO", DEPLOYED, ['sk-"live"-key', "short"])
    log.event("request.ended", private='the key sk-"live"-key is wrong', model="short")
    try:
        raise ValueError('https://api.example/?key=sk-"live"-key')
    except ValueError as error:
        log.crash("function.crashed", error)
    first, second = lines(output)
    assert first["private"] == "the key [secret] is wrong" and first["model"] == "short"
    assert second["stack_trace"].endswith("?key=[secret]")


def test_one_of_several_things_is_worked_on_and_then_the_next(output: Output) -> None:
    log.start("INFO", DEPLOYED)
    trace.follow(PARENT)
    other = PARENT.replace("0af", "fff")
    with log.about("req_1", other):
        log.event("a")
        with log.about("req_2", None):
            log.event("b")
    log.event("c")
    found = [
        (one.get("request_id"), one["logging.googleapis.com/trace"][-32:-29])
        for one in lines(output)
    ]
    assert found == [("req_1", "fff"), ("req_2", "fff"), (None, "0af")]


def test_a_laptop_reports_to_nobody(output: Output) -> None:
    log.start("INFO", Source())
    log.crash("function.crashed", broken())
    (line,) = lines(output)
    assert "stack_trace" in line and not {"@type", "serviceContext"} & line.keys()


def test_what_libraries_warn_of_is_a_line_too(output: Output) -> None:
    log.start("INFO", DEPLOYED)
    logging.getLogger("httpx").info("GET https://api.example/?key=secret")
    logging.getLogger("asyncio").error("Task was destroyed", exc_info=broken())
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    task, warned = lines(output)
    assert (task["severity"], task["message"]) == ("ERROR", "Task was destroyed")
    assert "no such thing" in task["stack_trace"]
    assert warned["severity"] == "WARNING" and "old" in warned["message"]


def test_the_operator_chooses_the_level(output: Output) -> None:
    log.start("WARNING", DEPLOYED)
    log.event("batch.progress")
    log.event("batch.rests", severity="WARNING", cause="x" * 5000)
    (line,) = lines(output)
    assert len(line["cause"]) == 2000

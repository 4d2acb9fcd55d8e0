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
    first, again, other = lines(output)
    assert first["severity"] == other["severity"] == "ERROR"
    assert "Traceback" in first["stack_trace"] and "no such thing" in first["stack_trace"]
    assert first["@type"].endswith(".ReportedErrorEvent")
    assert first["serviceContext"] == {
        "service": "run-request",
        "version": "run-request-00007-abc",
    }
    assert again["severity"] == "WARNING"
    assert not {"stack_trace", "@type"} & again.keys()


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

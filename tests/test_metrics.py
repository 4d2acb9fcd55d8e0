"""What is counted of a request that ended, and of a piece of a batch."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared import metrics
from shared.batch_items import ItemResult
from shared.domain import Attempt, Problem, Record, Status, Usage
from tests.test_webhooks import NOW, record


def ended(status: Status, code: str | None = None, **changed: Any) -> Record:
    problem = Problem(code, "no") if code else None
    return replace(record(), status=status, error=problem, **changed)


def told(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    (line,) = caplog.records
    fields: dict[str, Any] = vars(line)["fields"]
    return fields


@pytest.mark.parametrize(
    ("request_", "outcome"),
    [
        (ended("succeeded"), "succeeded"),
        # Fewer pictures than were asked for are some.
        (ended("succeeded", "partially_blocked"), "succeeded"),
        (ended("succeeded", basis="cache"), "cached"),
        (ended("cancelled"), "cancelled"),
        (ended("failed", "content_blocked"), "refused"),
        (ended("failed", "invalid_request"), "refused"),
        (ended("failed", "rate_limited"), "failed"),
        (ended("failed", "provider_unavailable"), "failed"),
        (ended("failed", "outcome_unknown"), "failed"),
        (ended("failed", "internal"), "failed"),
    ],
)
def test_an_outcome_says_whose_fault_it_was(request_: Record, outcome: str) -> None:
    assert metrics.outcome_of(request_) == outcome


def test_a_request_says_how_long_it_took_and_what_it_cost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "darkroom")
    calls = (Attempt("a", "rate_limited", 429, 10, 0), Attempt("b", "succeeded", 200, 900, 40_000))
    metrics.request_ended(
        ended(
            "succeeded",
            provider="b",
            attempts=calls,
            charged_micros=50_000,
            usage=Usage(input_tokens=5, output_tokens=1120, images=1),
            completed_at=NOW + timedelta(seconds=1.5),
        )
    )
    fields = told(caplog)
    assert fields["latency_ms"] == 1500
    assert (fields["charged_micros"], fields["cost_micros"]) == (50_000, 40_000)
    assert (fields["input_tokens"], fields["output_tokens"]) == (5, 1120)
    assert (fields["outcome"], fields["provider"], fields["operation"]) == (
        "succeeded",
        "b",
        "generate",
    )
    assert "a lighthouse" not in str(fields), "a prompt is nobody's to read here"


def test_a_piece_of_a_batch_says_what_its_items_came_to(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "darkroom")
    usage = Usage(input_tokens=2, output_tokens=10, images=1)
    good = [ItemResult(n, str(n), "succeeded", charged_micros=10, usage=usage) for n in range(3)]
    bad = [ItemResult(3, "3", "failed"), ItemResult(4, "4", "cancelled")]
    metrics.batch_charged(("m", "a"), [*good, *bad], 20, sandbox=True)
    assert told(caplog) == {
        "event": "batch.charged",
        "model": "m",
        "provider": "a",
        "succeeded": 3,
        "failed": 1,
        "images": 3,
        "input_tokens": 6,
        "output_tokens": 30,
        "charged_micros": 30,
        "cost_micros": 20,
        "sandbox": True,
    }

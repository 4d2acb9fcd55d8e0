"""When a provider is left alone, and when it is tried again."""

from __future__ import annotations

from shared.breaker import FAILURES, REST_S, Breaker


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        breaker.failed("a")
    return breaker


def test_failures_in_a_row_open_it_once() -> None:
    breaker = Breaker(Clock())
    assert [breaker.failed("a") for _ in range(FAILURES + 1)] == [False] * (FAILURES - 1) + [
        True,
        False,
    ]
    assert breaker.rest_s("a") == REST_S
    assert breaker.rest_s("b") == 0


def test_an_answer_between_starts_the_count_anew() -> None:
    breaker = Breaker(Clock())
    for _ in range(FAILURES):
        breaker.failed("a")
        assert breaker.succeeded("a") is False
    assert breaker.rest_s("a") == 0


def test_after_its_rest_one_request_probes_and_the_others_wait() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += REST_S
    assert breaker.rest_s("a") == 0
    assert breaker.rest_s("a") > 0
    assert breaker.succeeded("a") is True
    assert breaker.rest_s("a") == 0


def test_a_probe_that_fails_means_another_rest() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += REST_S
    assert breaker.rest_s("a") == 0
    assert breaker.failed("a") is False
    assert breaker.rest_s("a") == REST_S

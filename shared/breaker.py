"""A circuit breaker for each provider, in this process: one that keeps failing is left alone for a
while, then tried by a single request. Pure but for the clock it is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

FAILURES = 5
"""In a row, without a success between: more than one request can meet by bad luck alone."""
REST_S = 30.0


@dataclass
class _Circuit:
    failures: int = 0
    opened_at: float | None = None
    probing: bool = False


class Breaker:
    """The circuits of all providers. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._circuits: dict[str, _Circuit] = {}

    def rest_s(self, provider: str) -> float:
        """How long the provider is still to be left alone: 0 when it may be called. After a rest
        that is answered once, and whoever got that answer is the probe."""
        circuit = self._circuits.get(provider)
        if circuit is None or circuit.opened_at is None:
            return 0.0
        left_s = circuit.opened_at + REST_S - self._clock()
        if left_s > 0 or circuit.probing:
            return float(max(1, math.ceil(left_s)))
        circuit.probing = True
        return 0.0

    def abandoned(self, provider: str) -> None:
        """Note that a request never got as far as calling: if it was the probe, another may be."""
        if circuit := self._circuits.get(provider):
            circuit.probing = False

    def succeeded(self, provider: str) -> bool:
        """Note an answer, whatever it says; returns whether that closed the circuit."""
        circuit = self._circuits.pop(provider, None)
        return circuit is not None and circuit.opened_at is not None

    def failed(self, provider: str) -> bool:
        """Note a failure; returns whether it opened the circuit."""
        circuit = self._circuits.setdefault(provider, _Circuit())
        circuit.failures += 1
        if circuit.failures < FAILURES and not circuit.probing:
            return False
        fresh = circuit.opened_at is None
        circuit.opened_at, circuit.probing = self._clock(), False
        return fresh

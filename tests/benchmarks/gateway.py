"""Darkroom beside its rivals and a floor, on the same work in one session:
`python -m tests.benchmarks.gateway --rounds 3`.

Every target is one process on loopback, started once; all have the same upstream behind them, which
answers with a picture of 1.3 MB after 0 ms (throughput), 200 ms (added latency) or 2 s (500 and
1,000 waits at once), or 15 s (what a wait takes in memory). Rounds are interleaved and every second
one runs backwards; shown are medians, and how much of the machine others used meanwhile. Prints
JSON and a table. Rivals that are not installed (`make peers`) are left out, and that is said.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks import targets
from tests.benchmarks.load import Ask, run
from tests.benchmarks.targets import NotStarted, Process, Target

QUIET = 0.15
"""How much of the machine others may use in a phase that counts."""
KEPT_S = 1.0
"""How long a stored picture is kept: the host of a virtual machine takes milliseconds to find the
memory for every new one, which says nothing of who wrote it."""


@dataclass(frozen=True)
class Phase:
    """What is asked at once: so many requests over so many connections, with the upstream's delay.
    `held` looks at the memory while all of them wait."""

    name: str
    delay_ms: int
    connections: int
    requests: int
    held: bool = False


THROUGHPUT = (
    Phase("throughput c1", 0, 1, 100),
    Phase("throughput c16", 0, 16, 240),
    Phase("throughput c64", 0, 64, 320),
)
LATENCY = (Phase("200 ms c1", 200, 1, 30), Phase("200 ms c32", 200, 32, 320))
WAITS = (
    Phase("500 waits of 2 s", 2000, 500, 500),
    Phase("1000 waits of 2 s", 2000, 1000, 1000),
    Phase("500 held waits", 15_000, 500, 500, held=True),
)
PHASES = (*THROUGHPUT, *LATENCY, *WAITS)


@dataclass(frozen=True)
class Figures:
    """One phase of one target in one round; memory in bytes, times in milliseconds. `waiting` is
    what one wait took, `others` the part of the machine that nobody here used."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    failures: int
    idle_bytes: int
    peak_bytes: int
    after_bytes: int
    waiting_bytes: float
    others: float
    wall_s: float


class Watch:
    """The processor time that the machine, the target, the upstream and this process used."""

    def __init__(self, target: Target, upstream: Process) -> None:
        self._known = [upstream, *([target.process] if target.process else [])]
        self._target = target.process
        self._begun, self._busy_s = time.monotonic(), _busy_s()
        self._ours_s, self._target_s = self._ours(), self._target_now()

    def _ours(self) -> float:
        times = os.times()
        return times.user + times.system + sum(process.cpu_s() for process in self._known)

    def _target_now(self) -> float:
        return self._target.cpu_s() if self._target else 0.0

    def target_s(self) -> float:
        """Of the target, so far."""
        return self._target_now() - self._target_s

    def others(self) -> float:
        """Of all others, as a part of the machine."""
        there_s = (time.monotonic() - self._begun) * (os.cpu_count() or 1)
        foreign_s = (_busy_s() - self._busy_s) - (self._ours() - self._ours_s)
        return max(0.0, foreign_s / there_s)


def _busy_s() -> float:
    fields = [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:8]]
    user, nice, system, _idle, _waiting, irq, softirq = fields
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


@contextmanager
def tidied(target: Target) -> Iterator[None]:
    """Delete what a target stores, soon after it did."""
    stop = threading.Event()

    def tidy() -> None:
        while not stop.wait(0.1):
            before = time.time() - KEPT_S
            for entry in target.pictures.iterdir() if target.pictures else ():
                if entry.stat().st_mtime < before:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    thread = threading.Thread(target=tidy)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def measured(target: Target, upstream: Process, address: str, phase: Phase) -> Figures:
    """One phase of one target."""
    run(Ask(f"{address}/delay/{phase.delay_ms}", b""), 1, 1)
    process = target.process
    seen: list[int] = []
    idle = process.memory_bytes() if process else 0
    if process:
        process.forget_peak()
    timer = threading.Timer(phase.delay_ms / 1000 - 1.0, lambda: seen.append(_memory(process)))
    watch = Watch(target, upstream)
    if phase.held:
        timer.start()
    with tidied(target):
        outcome = run(target.ask, phase.requests, phase.connections, timeout_s=180.0)
    timer.cancel()
    cpu_s, others = watch.target_s(), watch.others()
    if outcome.failures:
        sys.stderr.write(f"{target.name}, {phase.name}: {outcome.failures[0][:300]}\n")
    peak = process.peak_bytes() if process else 0
    if phase.connections >= 64:
        # A burst's memory is given back a moment after the last answer.
        time.sleep(2.0)
    return Figures(
        rate=outcome.rate,
        p50_ms=outcome.percentile_ms(50),
        p99_ms=outcome.percentile_ms(99),
        cpu_ms=cpu_s * 1000 / phase.requests,
        failures=len(outcome.failures),
        idle_bytes=idle,
        peak_bytes=peak,
        after_bytes=_memory(process),
        waiting_bytes=(seen[0] - idle) / phase.connections if seen else 0.0,
        others=others,
        wall_s=outcome.wall_s,
    )


def _memory(process: Process | None) -> int:
    return process.memory_bytes() if process else 0


def rounds(
    found: Sequence[Target], upstream: Process, address: str, phases: Sequence[Phase], times: int
) -> dict[str, dict[str, list[Figures]]]:
    """Target → phase → its figures, a round each."""
    told: dict[str, dict[str, list[Figures]]] = {}
    for number in range(times):
        for phase in phases:
            for target in reversed(found) if number % 2 else found:
                if not _asked(target, phase):
                    continue
                # As it will be: memory and connections of a first time are not measured.
                warm = Phase("", 0, min(phase.connections, 64), 2 * min(phase.connections, 64))
                measured(target, upstream, address, warm)
                figures = measured(target, upstream, address, phase)
                told.setdefault(target.name, {}).setdefault(phase.name, []).append(figures)
                sys.stderr.write(f"round {number + 1}: {phase.name}: {target.name}: {figures}\n")
    return told


def _asked(target: Target, phase: Phase) -> bool:
    """Whether a target is asked in a phase: one of our ways in is enough for the waits."""
    return phase not in WAITS or target.waits


@dataclass(frozen=True)
class Medians:
    """What several rounds of a phase came to, by quiet rounds where there were any."""

    figures: dict[str, float]
    quiet: int
    rounds: int


def medians(of: Sequence[Figures]) -> Medians:
    """Every figure's median, the worst for failures, and least and most of the rate."""
    quiet = [one for one in of if one.others <= QUIET]
    counted = [asdict(one) for one in quiet or of]
    found = {name: statistics.median(one[name] for one in counted) for name in counted[0]}
    found["failures"] = max(one.failures for one in of)
    found["rate_least"] = min(one["rate"] for one in counted)
    found["rate_most"] = max(one["rate"] for one in counted)
    return Medians(found, len(quiet), len(of))


def _megabytes(figures: dict[str, float]) -> str:
    names = ("idle_bytes", "peak_bytes", "after_bytes")
    return "/".join(f"{figures[name] / 1e6:.0f}" for name in names)


COLUMNS: dict[str, Callable[[dict[str, float]], str]] = {
    "rate/s": lambda f: f"{f['rate']:.0f} ({f['rate_least']:.0f}-{f['rate_most']:.0f})",
    "p50 ms": lambda f: f"{f['p50_ms']:.0f}",
    "p99 ms": lambda f: f"{f['p99_ms']:.0f}",
    "CPU ms": lambda f: f"{f['cpu_ms']:.1f}",
    "failed": lambda f: f"{f['failures']:.0f}",
    "wall s": lambda f: f"{f['wall_s']:.1f}",
    "MB idle/peak/after": _megabytes,
    "kB a wait": lambda f: f"{f['waiting_bytes'] / 1e3:.0f}",
    "others": lambda f: f"{f['others']:.0%}",
}


def table(told: dict[str, dict[str, Medians]], phases: Sequence[Phase]) -> str:
    """Markdown, a table a phase."""
    lines: list[str] = []
    for phase in phases:
        lines += [f"**{phase.name}**", "", "| | " + " | ".join(COLUMNS) + " |"]
        lines.append("|---" * (len(COLUMNS) + 1) + "|")
        for name, by_phase in told.items():
            if phase.name in by_phase:
                figures = by_phase[phase.name].figures
                cells = [show(figures) for show in COLUMNS.values()]
                lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def machine() -> dict[str, str]:
    """Where and when this was measured."""
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{os.cpu_count()} x {processor}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "node": node.stdout.strip(),
    }


Gateway = Callable[[str, Path], AbstractContextManager[list[Target]]]
GATEWAYS: dict[str, Gateway] = {
    "darkroom": targets.darkroom,
    "litellm": targets.litellm,
    "portkey": targets.portkey,
    "floor": targets.floor,
}


def main() -> None:
    """Measure what the command line names, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(GATEWAYS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--phases", default="", help="only those whose name contains this")
    given = parser.parse_args()
    names = given.targets or list(GATEWAYS)
    if unknown := set(names) - set(GATEWAYS):
        parser.error(f"there is no target {unknown.pop()!r}")
    phases = [phase for phase in PHASES if given.phases in phase.name]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        address, upstream = stack.enter_context(targets.upstream_process(Path(folder)))
        found = targets.direct(address)
        for name in names:
            own = Path(folder) / name
            own.mkdir()
            try:
                found += stack.enter_context(GATEWAYS[name](address, own))
            except (NotStarted, OSError) as error:
                sys.stderr.write(f"{name} is left out: {error}\n")
        told = rounds(found, upstream, address, phases, given.rounds)
    summed = {
        name: {phase: medians(figures) for phase, figures in by_phase.items()}
        for name, by_phase in told.items()
    }
    whole = {
        "machine": machine(),
        "targets": {
            name: {phase: asdict(one) for phase, one in by_phase.items()}
            for name, by_phase in summed.items()
        },
    }
    sys.stdout.write(f"{json.dumps(whole, indent=1)}\n\n{table(summed, phases)}\n")


if __name__ == "__main__":
    main()

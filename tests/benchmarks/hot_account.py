"""Many requests of one account at once, measured: `python -m tests.benchmarks.hot_account
[--concurrent 200] [--rounds 3] [--shards 1 2 4 8] [--instances 1 4] [--writes-a-second 1]`.

So many clients send one request after the other, so many rounds. Each is admitted and ended as the
pipeline does it, with no provider in between, on the Firestore emulator behind a channel that
allows one write per document per second (`channel` has the model), by one instance or several, each
with a client and an Admission of its own; and on SQLite, which has one shard and no such limit.
Checked each time: with credit for all every one succeeds, with credit
for three quarters exactly those do and the others are refused for it alone, and the ledger adds up.
Printed as JSON, then as a table. Of Firestore the emulator shows neither its latency nor what it
does beyond the limit; it needs Java and the Cloud SDK, without which SQLite is measured alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from shared.admission import Admission
from shared.errors import InsufficientCredit
from shared.records import Records
from shared.records.firestore import Firestore
from shared.records.sqlite import Sqlite
from tests.benchmarks.channel import Calls, watched
from tests.emulators.firestore import emulating
from tests.records.scene import account, balance, draft, grant, in_lots, settle

PRICE = 100


class Unexpected(Exception):
    """Too much or too little was let in, or the ledger does not add up."""


@dataclass(frozen=True)
class Case:
    """So many clients at once, over so many instances, on a wallet of so many shards."""

    records: str
    shards: int
    instances: int
    concurrent: int
    rounds: int

    @property
    def requests(self) -> int:
        """All of them."""
        return self.concurrent * self.rounds


@dataclass
class Told:
    """How it went: seconds, from the first request to the last answer and of each request; calls
    to Firestore a request, and commits that were refused as stale."""

    case: Case
    wall_s: float = 0.0
    took_s: list[float] = field(default_factory=list)
    cpu_ms: float = 0.0
    calls: float | None = None
    stale: int | None = None

    def figures(self) -> dict[str, object]:
        """Flat, rounded."""
        most = max(self.took_s)
        return {
            **asdict(self.case),
            "requests_a_second": round(self.case.requests / self.wall_s, 1),
            "wall_s": round(self.wall_s, 2),
            "p50_s": round(statistics.median(self.took_s), 3),
            "p99_s": round(statistics.quantiles(self.took_s, n=100)[98], 3),
            "longest_s": round(most, 3),
            "cpu_ms": round(self.cpu_ms, 2),
            "rpcs": None if self.calls is None else round(self.calls, 2),
            "stale_commits": self.stale,
        }


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)


class Instance:
    """What one instance of a function has."""

    def __init__(self, records: Records, seed: int) -> None:
        self.records = records
        random = Random(seed)  # the same shape every time
        self.admission = Admission(records, now, random, asyncio.sleep)

    async def serve(self, name: str) -> float:
        """Admit and end one request; the seconds it took. Raises InsufficientCredit."""
        begun = time.perf_counter()
        standing = await self.records.look("acc", name)
        record = await self.admission.reserve(standing, draft(name, PRICE, at=now()))
        await settle(self.records, record, PRICE)
        return time.perf_counter() - begun


async def measured(case: Case, every: Sequence[Records], calls: Calls | None) -> Told:
    """Run a case and check it. Raises Unexpected."""
    records = every[0]
    instances = [Instance(one, seed) for seed, one in enumerate(every)]
    await records.create_account(account(shards=case.shards))
    for one in every:
        await one.look("acc", None)

    async def client(n: int, prefix: str, rounds: int) -> list[float | Exception]:
        ends: list[float | Exception] = []
        for m in range(rounds):
            try:
                ends.append(await instances[n % case.instances].serve(f"req_{prefix}_{n}_{m}"))
            except Exception as error:
                ends.append(error)
        return ends

    async def whole(prefix: str, rounds: int, credit: int) -> Told:
        await records.grant(grant(credit * PRICE, prefix))
        if calls:
            calls.begin()
        told, began, cpu = Told(case), time.perf_counter(), time.process_time()
        clients = (client(n, prefix, rounds) for n in range(case.concurrent))
        ends = [end for some in await asyncio.gather(*clients) for end in some]
        told.wall_s = time.perf_counter() - began
        told.cpu_ms = (time.process_time() - cpu) * 1000 / len(ends)
        told.took_s = [end for end in ends if isinstance(end, float)]
        if calls:
            told.calls, told.stale = calls.made.total() / len(ends), calls.refused
        left = max(0, credit - len(ends)) * PRICE
        _check(ends, min(credit, len(ends)))
        if not await balance(records) == await in_lots(records) == left:
            raise Unexpected(f"{await balance(records)} are left of the credit, not {left}")
        return told

    await whole("some", 1, case.concurrent * 3 // 4)
    told = await whole("all", case.rounds, 2 * case.requests)
    shards = (await records.look("acc", None)).shards
    if any(shard.running or shard.held for shard in shards):
        raise Unexpected("something is still held")
    return told


def _check(ends: Sequence[float | Exception], credit: int) -> None:
    succeeded = sum(isinstance(end, float) for end in ends)
    refused = sum(isinstance(end, InsufficientCredit) for end in ends)
    if (succeeded, refused) != (credit, len(ends) - credit):
        others = [e for e in ends if not isinstance(e, float | InsufficientCredit)]
        raise Unexpected(f"{credit} could be paid, {succeeded} were, {refused} refused: {others}")


async def on_firestore(case: Case, calls: Calls) -> Told:
    """The case on a database of its own."""
    project = f"demo-{uuid.uuid4().hex[:20]}"
    every = [
        Firestore(project, "darkroom", Random(n), asyncio.sleep)  # the same shape every time
        for n in range(case.instances)
    ]
    try:
        return await measured(case, every, calls)
    finally:
        for one in every:
            await one.close()


async def on_sqlite(case: Case, folder: Path) -> Told:
    """The case on a file of its own."""
    path = folder / f"{uuid.uuid4().hex}.db"
    every = [Sqlite(path) for _ in range(case.instances)]
    try:
        return await measured(case, every, None)
    finally:
        for one in every:
            await one.close()


def table(rows: Sequence[dict[str, object]]) -> str:
    """One line for each case."""
    lines = ["".join(f"{name:>18}" for name in rows[0])]
    for row in rows:
        lines.append("".join(f"{'-' if value is None else value!s:>18}" for value in row.values()))
    return "\n".join(lines)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--concurrent", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shards", type=int, nargs="*", default=[1, 2, 4, 8])
    parser.add_argument("--instances", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--writes-a-second", type=float, default=1.0)
    given = parser.parse_args()
    told: list[Told] = []
    with tempfile.TemporaryDirectory() as folder:
        for instances in given.instances:
            case = Case("sqlite", 1, instances, given.concurrent, given.rounds)
            told.append(asyncio.run(on_sqlite(case, Path(folder))))
    with ExitStack() as stack:
        try:
            stack.enter_context(emulating())
        except pytest.skip.Exception as missing:
            sys.stderr.write(f"{missing}\n")
            given.shards = []
        calls = stack.enter_context(watched(given.writes_a_second))
        for instances in given.instances:
            for shards in given.shards:
                case = Case("firestore", shards, instances, given.concurrent, given.rounds)
                told.append(asyncio.run(on_firestore(case, calls)))
    rows = [one.figures() for one in told]
    sys.stdout.write(f"{json.dumps({'hot_account': rows}, indent=2)}\n\n{table(rows)}\n")


if __name__ == "__main__":
    main()

"""A batch from upload to results, measured: `python -m tests.benchmarks.batches --items 10000
--bytes 3000000 --records sqlite`; with `--scale`, batches of 1,000 to 100,000 items against each
other; without options those, one of large pictures, and one whose writes to Firestore are counted.

A local server whose only provider is the sandbox, in a process of its own, takes a JSONL file in,
has it made by the provider's batches or one call an item, and gives the results out. Checked: every
item has exactly one result with a picture, and what was charged is its price. Measured: the
server's memory (Linux only), times, and what is written to Firestore. The sandbox paints one
picture of each kind and gives it out from then on (see `painted`), for it is not what is measured.
All of it lies in a temporary folder, which needs as much room as the pictures and is deleted in any
case.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import httpx
import pytest

from tests.benchmarks.writes import Writes, counted
from tests.functions.test_processes import Server, server
from tests.sandbox.process import running
from tests.wire.targets import cli

PAINTED = "tests.benchmarks.painted"
Figures = dict[str, tuple[float, str]]
"""A figure and its unit, by what was measured."""

PROVIDER, MODEL, RESOLUTION = "google", "nano-banana-2-lite", "512"
MOST_MEMORY_BYTES = 400_000_000
MOST_WRITES_AN_ITEM = 0.05
MOST_SLOWER = 1.3
"""An item of the largest batch against one of the next."""
MOST_MORE_MB, MOST_KEPT_MB = 24.0, 8.0
"""The peak of the largest batch over that of the smallest, and what a server has after some batches
over what it had after the first."""
RATE, PEAK, AFTER = "items a second, upload to end", "largest memory", "memory after batch {}"
MANY = 10_000
"""Items from which on the writes an item have to be few: some are the same for any batch."""
SILENCE_S = 600.0
"""How long no item may end before the batch is given up."""
SMALL_BYTES = 100_000
"""What a small picture takes on the disk, and all that is written of its item."""
SPARE_BYTES = 2_000_000_000
LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class Plan:
    """What is measured: so many items, each with a picture of at least so many bytes (0: as the
    sandbox paints it), with the records in that database, made in that mode, and that so many times
    by the same server."""

    items: int
    picture_bytes: int = 0
    records: Literal["firestore", "sqlite"] = "sqlite"
    mode: Literal["provider", "fanout"] = "provider"
    times: int = 1

    def lines(self) -> bytes:
        """The file that is uploaded."""
        size = f" [sandbox:bytes={self.picture_bytes}]" if self.picture_bytes else ""
        items = ({"custom_id": f"i{n}", "prompt": f"cup {n}{size}"} for n in range(self.items))
        return b"".join(json.dumps(item).encode() + b"\n" for item in items)


SCALE = (
    *(Plan(items) for items in (1_000, 10_000, 100_000)),
    *(Plan(items, mode="fanout") for items in (1_000, 10_000)),
    Plan(2_000, times=3),
)
LARGE = Plan(1_000, 3_000_000)
COUNTED = Plan(10_000, 0, "firestore")


class Unexpected(Exception):
    """The batch is not what it has to be; the message says how."""


@dataclass
class Bench:
    """A server and a client with a live key, and what has been measured so far."""

    plan: Plan
    data: Path
    started: Server
    client: httpx.Client
    unit_usd: Decimal
    writes: Writes | None
    measured: Figures = field(default_factory=dict)

    def note(self, name: str, figure: float, unit: str) -> None:
        """Take a measurement."""
        self.measured[name] = (figure, unit)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measure how long a block takes."""
        begun = time.monotonic()
        yield
        self.note(name, time.monotonic() - begun, "s")

    def run(self) -> None:
        """As often as is planned. Raises Unexpected."""
        pid = self.started.process.pid
        self.note("memory at the start", memory_bytes(pid) / 1e6, "MB")
        if self.writes is not None:
            self.writes.begin()
        for turn in range(1, self.plan.times + 1):
            self._once()
            if self.plan.times > 1:
                self.note(AFTER.format(turn), memory_bytes(pid, "VmRSS") / 1e6, "MB")
        self.note("processor time", processor_s(pid), "s")
        self.note("memory in the end", memory_bytes(pid, "VmRSS") / 1e6, "MB")
        peak = memory_bytes(pid)
        self.note(PEAK, peak / 1e6, "MB")
        expect(peak <= MOST_MEMORY_BYTES, f"the server took {peak / 1e6:.0f} MB")
        if self.writes is not None:
            self._check_writes(self.writes)

    def _once(self) -> None:
        """One batch. Raises Unexpected."""
        begun = time.monotonic()
        with self.timed("upload"):
            upload_id = self._upload(self.plan.lines())
        with self.timed("POST /batch"):
            batch_id = self._create(upload_id)
        with self.timed("until it ended"):
            batch = self._ended(batch_id)
        made_s = time.monotonic() - begun
        with self.timed("reading the results"):
            self._check_results(batch)
        self._check_money(batch)
        self.note(RATE, self.plan.items / made_s, "/s")

    def _upload(self, data: bytes) -> str:
        wanted = {"filename": "b.jsonl", "content_type": "application/jsonl", "bytes": len(data)}
        leave = answered(self.client.post("/account/uploads", json=wanted), 201)
        sent = httpx.put(
            leave["url"], content=data, headers=leave["headers"], timeout=600, trust_env=False
        )
        expect(sent.status_code == 204, sent.text)
        return str(leave["upload_id"])

    def _create(self, upload_id: str) -> str:
        body = {
            "upload_id": upload_id,
            "model": MODEL,
            "defaults": {"resolution": RESOLUTION},
            "mode": self.plan.mode,
        }
        return str(answered(self.client.post("/batch", json=body), 202)["id"])

    def _ended(self, batch_id: str) -> dict[str, Any]:
        """The batch once it has ended, with its progress told meanwhile."""
        ended, since = 0, time.monotonic()
        while True:
            batch: dict[str, Any] = answered(self.client.get(f"/batch/{batch_id}"), 200)
            counts = batch["counts"]
            now = counts["succeeded"] + counts["failed"] + counts["cancelled"]
            if batch["completed_at"] is not None:
                break
            if now > ended:
                ended, since = now, time.monotonic()
                memory_mb = memory_bytes(self.started.process.pid) / 1e6
                say(f"  {ended} of {counts['total']}, {memory_mb:.0f} MB at most\r", sys.stderr)
            expect(time.monotonic() - since < SILENCE_S, f"nothing ends any more: {batch}")
            time.sleep(LOOK_EVERY_S)
        expect(batch["status"] == "succeeded", f"{batch}")
        expect(counts["succeeded"] == counts["total"] == self.plan.items, f"{counts}")
        return batch

    def _check_results(self, batch: dict[str, Any]) -> None:
        names: Counter[str] = Counter()
        pictures: set[str] = set()
        charged = Decimal()
        line: dict[str, Any] = {}
        with self.client.stream("GET", f"/batch/{batch['id']}/results") as answer:
            expect(answer.status_code == 200, "no results")
            for text in answer.iter_lines():
                line = json.loads(text)
                names[line["custom_id"]] += 1
                pictures |= {image["id"] for image in line["images"]}
                charged += Decimal(line["cost"]["usd"])
                large = all(image["bytes"] >= self.plan.picture_bytes for image in line["images"])
                expect(line["status"] == "succeeded" and large, text)
        once = Counter(f"i{n}" for n in range(self.plan.items))
        expect(names == once, f"not once each: {(names - once) + (once - names)}")
        expect(len(pictures) == self.plan.items, f"{len(pictures)} pictures")
        expect(charged == Decimal(batch["cost"]["usd"]), f"the items came to {charged}")
        last = line["images"][0]
        picture = httpx.get(last["url"], timeout=60, trust_env=False)
        expect(len(picture.content) == last["bytes"], "its picture is not there")

    def _check_money(self, batch: dict[str, Any]) -> None:
        price = self.unit_usd * self.plan.items
        expect(Decimal(batch["cost"]["usd"]) == price, f"{batch['cost']} for {price}")
        account = answered(self.client.get("/account"), 200)
        expect(Decimal(account["held_usd"]) == 0, "money is still held")
        expect(cli(self.data, "ledger", "check")["findings"] == [], "the ledger does not add up")

    def _check_writes(self, writes: Writes) -> None:
        each = writes.documents / self.plan.items
        self.note("Firestore documents written", writes.documents, "")
        self.note("Firestore commits", writes.commits, "")
        self.note("Firestore largest commit", writes.largest_bytes / 1e3, "kB")
        self.note("Firestore writes an item", each, "")
        few = each <= MOST_WRITES_AN_ITEM or self.plan.items < MANY
        expect(few, f"{each:.3f} documents are written an item")


def measure(plan: Plan) -> Figures:
    """Run one. Raises Unexpected."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="darkroom-bench-")))
        free = shutil.disk_usage(folder).free
        needed = plan.items * plan.times * (plan.picture_bytes + SMALL_BYTES) + SPARE_BYTES
        expect(free > needed, f"{needed / 1e9:.0f} GB of disk are needed, {free / 1e9:.0f} free")
        writes = None
        if plan.records == "firestore":
            writes = stack.enter_context(counted())
            stack.enter_context(patch.dict(os.environ, FIRESTORE))
        painted = ("--data", str(folder / "sandbox"))
        sandbox = stack.enter_context(running(*painted, kill=True, module=PAINTED))
        data = folder / "data"
        unit_usd = unit_price(data, plan)
        credit = str(unit_usd * plan.items * plan.times * 10 + 1)
        account = cli(data, "accounts", "create", "bench", "--credit-usd", credit)["id"]
        key = cli(data, "keys", "create", account)["key"]
        google = {"GEMINI_API_KEY": "any", "GEMINI_BASE_URL": f"{sandbox}/google"}
        started = stack.enter_context(server(["functions"], data, **google))
        auth = {"authorization": f"Bearer {key}"}
        client = stack.enter_context(
            httpx.Client(base_url=started.url, headers=auth, timeout=600, trust_env=False)
        )
        bench = Bench(plan, data, started, client, unit_usd, writes)
        try:
            bench.run()
        except BaseException:
            say(f"{table(plan, bench.measured)}\n{started.said()[-4000:]}\n", sys.stderr)
            raise
        return bench.measured


FIRESTORE = {
    "DARKROOM_FIRESTORE_DATABASE": "(default)",
    "GOOGLE_CLOUD_PROJECT": "demo-bench",
    "DARKROOM_SIGNING_SECRET": "of the benchmark",
}


def unit_price(data: Path, plan: Plan) -> Decimal:
    """Of a picture, in dollars, as the catalogue has it."""
    routes = cli(data, "models", "show", MODEL)["routes"]
    kind = "batch_price" if plan.mode == "provider" else "price"
    [price] = [r[kind] for r in routes if r["provider"] == PROVIDER]
    return Decimal(price["by"][RESOLUTION])


def memory_bytes(pid: int, which: Literal["VmHWM", "VmRSS"] = "VmHWM") -> int:
    """The most that a process has had in memory so far, or what it has now. Raises OSError where
    there is no /proc."""
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith(f"{which}:")]
    return int(line.split()[1]) * 1024


def processor_s(pid: int) -> float:
    """The processor time that a process has used. Raises OSError where there is no /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answered(response: httpx.Response, status: int) -> Any:
    """The JSON of an answer that has to have that status. Raises Unexpected."""
    expect(response.status_code == status, f"{response.status_code}: {response.text}")
    return response.json()


def expect(true: bool, otherwise: str) -> None:
    """Raises Unexpected if it is not."""
    if not true:
        raise Unexpected(otherwise)


def told(plan: Plan, measured: Figures) -> str:
    """The same as JSON, in seconds, MB and so on, on one line."""
    figures = {name: round(figure, 3) for name, (figure, _) in measured.items()}
    return json.dumps({**asdict(plan), **figures})


def table(plan: Plan, measured: Figures) -> str:
    """What was measured, a line each."""
    rows = [f"{name:<32}{fig:>12,.3f} {unit}".rstrip() for name, (fig, unit) in measured.items()]
    title = (
        f"{plan.items} items of {plan.picture_bytes or 'few'} bytes, {plan.mode}, {plan.records}"
    )
    return "\n".join([title, *rows])


def scale() -> None:
    """Run SCALE and compare. Raises Unexpected where a figure grows that must not."""
    found = [(plan, show(plan)) for plan in SCALE]
    for mode in ("provider", "fanout"):
        once = [(p, figures) for p, figures in found if p.mode == mode and p.times == 1]
        rates = [1 / figures[RATE][0] for _, figures in once[-2:]]
        peaks = [figures[PEAK][0] for _, figures in once]
        say(f"{mode}: {1e3 * rates[0]:.2f} → {1e3 * rates[1]:.2f} ms an item, ")
        say(f"{' → '.join(f'{peak:.0f}' for peak in peaks)} MB\n")
        expect(rates[1] <= MOST_SLOWER * rates[0], "time grows faster than the items")
        expect(peaks[-1] <= peaks[0] + MOST_MORE_MB, "memory grows with the items")
    [(plan, figures)] = [(p, figures) for p, figures in found if p.times > 1]
    first, last = (figures[AFTER.format(turn)][0] for turn in (1, plan.times))
    say(f"{plan.times} batches in a row: {first:.0f} → {last:.0f} MB\n")
    expect(last <= first + MOST_KEPT_MB, "memory is kept from batch to batch")


def show(plan: Plan) -> Figures:
    """Run one and print what was measured. Raises Unexpected."""
    measured = measure(plan)
    say(f"{told(plan, measured)}\n{table(plan, measured)}\n\n")
    return measured


def say(text: str, to: Any = sys.stdout) -> None:
    """Print at once."""
    to.write(text)
    to.flush()


def main() -> None:
    """Run what the command line asks for; exit 1 if anything is not as it has to be."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.batches",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument(
        "--bytes", dest="picture_bytes", type=int, default=3_000_000, help="0: small pictures"
    )
    parser.add_argument("--records", choices=["firestore", "sqlite"], default="sqlite")
    parser.add_argument("--mode", choices=["provider", "fanout"], default="provider")
    parser.add_argument("--times", type=int, default=1, help="batches, by the same server")
    parser.add_argument("--scale", action="store_true", help="SCALE alone")
    asked = vars(parser.parse_args())
    # So that the folder is deleted then too.
    stop: Callable[..., None] = lambda *_: sys.exit("stopped")  # noqa: E731
    signal.signal(signal.SIGTERM, stop)
    try:
        if asked.pop("scale"):
            scale()
        elif sys.argv[1:]:
            show(Plan(**asked))
        else:
            scale()
            show(LARGE)
            show(COUNTED)
    except (Unexpected, pytest.skip.Exception, pytest.fail.Exception) as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()

"""A batch from upload to results, measured: `python -m tests.benchmarks.batches --items 10000
--bytes 3000000 --records sqlite`; without options, a batch of large pictures for the memory and one
of many items for the writes.

A local server whose only provider is the sandbox, in a process of its own, takes a JSONL file in,
has it made by the provider's batches, and gives the results out. Checked: every item has exactly
one result with a picture, and what was charged is its batch price. Measured: the server's largest
memory (Linux only), times, and what is written to Firestore. All of it lies in a temporary folder,
which needs as much room as the pictures and is deleted in any case.
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
from dataclasses import dataclass, field
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

PROVIDER, MODEL, RESOLUTION = "google", "nano-banana-2-lite", "512"
MOST_MEMORY_BYTES = 400_000_000
MOST_WRITES_AN_ITEM = 0.05
MANY = 10_000
"""Items from which on the writes an item have to be few: some are the same for any batch."""
SILENCE_S = 600.0
"""How long no item may end before the batch is given up."""
SPARE_BYTES = 4_000_000_000
LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class Plan:
    """What is measured: so many items, each with a picture of at least so many bytes (0: as the
    sandbox paints it), with the records in that database."""

    items: int
    picture_bytes: int
    records: Literal["firestore", "sqlite"]

    def lines(self) -> bytes:
        """The file that is uploaded."""
        size = f" [sandbox:bytes={self.picture_bytes}]" if self.picture_bytes else ""
        items = ({"custom_id": f"i{n}", "prompt": f"cup {n}{size}"} for n in range(self.items))
        return b"".join(json.dumps(item).encode() + b"\n" for item in items)


USUAL = (Plan(1_000, 3_000_000, "sqlite"), Plan(10_000, 0, "firestore"))
"""Both together take some minutes; 10,000 large pictures take twenty and 34 GB."""


class Unexpected(Exception):
    """The batch is not what it has to be; the message says how."""


@dataclass
class Bench:
    """A server and a client with a live key, and what has been measured so far: a name, a figure
    and a unit each."""

    plan: Plan
    data: Path
    started: Server
    client: httpx.Client
    unit_usd: Decimal
    writes: Writes | None
    measured: list[tuple[str, float, str]] = field(default_factory=list)

    def note(self, name: str, figure: float, unit: str) -> None:
        """Take a measurement."""
        self.measured.append((name, figure, unit))

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measure how long a block takes."""
        begun = time.monotonic()
        yield
        self.note(name, time.monotonic() - begun, "s")

    def run(self) -> None:
        """The whole batch. Raises Unexpected."""
        self.note("memory at the start", memory_bytes(self.started.process.pid) / 1e6, "MB")
        if self.writes is not None:
            self.writes.begin()
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
        self.note("items a second, upload to end", self.plan.items / made_s, "/s")
        self.note("processor time", processor_s(self.started.process.pid), "s")
        peak = memory_bytes(self.started.process.pid)
        self.note("largest memory", peak / 1e6, "MB")
        expect(peak <= MOST_MEMORY_BYTES, f"the server took {peak / 1e6:.0f} MB")
        if self.writes is not None:
            self._check_writes(self.writes)

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
            "mode": "provider",
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


def measure(plan: Plan) -> list[tuple[str, float, str]]:
    """Run one. Raises Unexpected."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="darkroom-bench-")))
        free = shutil.disk_usage(folder).free
        needed = plan.items * plan.picture_bytes + SPARE_BYTES
        expect(free > needed, f"{needed / 1e9:.0f} GB of disk are needed, {free / 1e9:.0f} free")
        writes = None
        if plan.records == "firestore":
            writes = stack.enter_context(counted())
            stack.enter_context(patch.dict(os.environ, FIRESTORE))
        sandbox = stack.enter_context(running("--data", str(folder / "sandbox"), kill=True))
        data = folder / "data"
        unit_usd = batch_price(data)
        credit = str(unit_usd * plan.items * 10 + 1)
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


def batch_price(data: Path) -> Decimal:
    """Of a picture, in dollars, as the catalogue has it."""
    routes = cli(data, "models", "show", MODEL)["routes"]
    [price] = [r["batch_price"] for r in routes if r["provider"] == PROVIDER]
    return Decimal(price["by"][RESOLUTION])


def memory_bytes(pid: int) -> int:
    """The most that a process has had in memory so far. Raises OSError where there is no /proc."""
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
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


def table(plan: Plan, measured: list[tuple[str, float, str]]) -> str:
    """What was measured, a line each."""
    rows = [f"{name:<32}{figure:>12,.3f} {unit}".rstrip() for name, figure, unit in measured]
    title = f"{plan.items} items of {plan.picture_bytes or 'few'} bytes, {plan.records}"
    return "\n".join([title, *rows])


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
    asked = Plan(**vars(parser.parse_args()))
    # So that the folder is deleted then too.
    stop: Callable[..., None] = lambda *_: sys.exit("stopped")  # noqa: E731
    signal.signal(signal.SIGTERM, stop)
    try:
        for plan in (asked,) if sys.argv[1:] else USUAL:
            say(table(plan, measure(plan)) + "\n")
    except (Unexpected, pytest.skip.Exception, pytest.fail.Exception) as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()

"""What Darkroom costs a month at Google beyond the providers' bills: the table in infra/README.md,
printed by `python -m tests.infra.costs`. Prices are the list's in us-central1 (cloud.google.com/
run/pricing, /firestore/pricing, /storage/pricing, /stackdriver/pricing, /artifact-registry/pricing,
2026-11); operations are counted by tests/test_round_trips.py and on the emulators; what is assumed
says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MONTHS = (0, 1_000, 1_000_000)
"""Pictures a month."""
SWEEPS = 60 * 24 * 365 // 12
WAIT_S, VIEW_S, SWEEP_S = 15, 0.3, 0.3
"""Assumed: how long a model takes, a picture's download, a sweep with nothing to do."""
PICTURE_GB = 0.0015
"""Assumed: 1.5 MB, looked at once."""
KEPT_DAYS, UNDELETED_DAYS, MONTH_DAYS = 30, 7, 30
"""Assumed: image_retention_days = 30; for 7 more the bucket can bring them back."""
RECORD_GIB = 3_700 / 2**30
IMAGES_GB = 5
"""Assumed: what the last three builds of 14 functions take."""
CONDITIONS = 8


@dataclass(frozen=True)
class Line:
    """An item of the bill: how it comes about, and its dollars for so many pictures."""

    item: str
    sum: str
    usd: Callable[[int], float]


def together(pictures: int) -> int:
    """Assumed: how many requests wait in one instance at a time, on average."""
    return 5 if pictures >= 100_000 else 1


def busy_s(pictures: int) -> float:
    """Seconds that instances work or wait, each with one vCPU."""
    return pictures * (WAIT_S / together(pictures) + VIEW_S) + SWEEPS * SWEEP_S


def memory_gib_s(pictures: int) -> float:
    """The same by their memory: 2 GiB where pictures are made, else 1."""
    return busy_s(pictures) + pictures * WAIT_S / together(pictures)


def beyond(amount: float, free: float) -> float:
    """What is left of an amount of which some is free."""
    return max(0.0, amount - free)


def egress_usd(pictures: int) -> float:
    """1 GB is free, the first TB dearer than the next nine."""
    gb = beyond(pictures * PICTURE_GB, 1)
    return min(gb, 1024) * 0.12 + beyond(gb, 1024) * 0.11


LINES = (
    Line(
        "Cloud Run: CPU",
        "a picture waits 15 s with 1 vCPU, alone at 1,000 a month, with four others at 1,000,000;"
        " 0.3 s for its download and for each of 43,800 sweeps; $0.000024 a second beyond 180,000",
        lambda n: beyond(busy_s(n), 180_000) * 0.000024,
    ),
    Line(
        "Cloud Run: memory",
        "the same with 2 GiB where pictures are made, else 1; $0.0000025 a GiB-second beyond"
        " 360,000",
        lambda n: beyond(memory_gib_s(n), 360_000) * 0.0000025,
    ),
    Line(
        "Cloud Run: requests",
        "two a picture and the sweeps; $0.40 a million beyond 2 million",
        lambda n: beyond(2 * n + SWEEPS, 2_000_000) * 0.4e-6,
    ),
    Line(
        "Firestore: reads",
        "10 a picture, 3 a sweep; $0.03 per 100,000",
        lambda n: (10 * n + 3 * SWEEPS) * 0.03e-5,
    ),
    Line("Firestore: writes", "6 a picture; $0.09 per 100,000", lambda n: 6 * n * 0.09e-5),
    Line(
        "Firestore: storage",
        "3.7 kB a picture, for ever: here a year's; $0.15 a GiB, as much again for the last week's"
        " versions, and 11 backups at $0.03",
        lambda n: 12 * n * RECORD_GIB * (0.15 + 0.15 + 11 * 0.03),
    ),
    Line(
        "Cloud Storage: operations",
        "2 writes a picture at $5, a read at $0.40 a million",
        lambda n: 2 * n * 5e-6 + n * 0.4e-6,
    ),
    Line(
        "Cloud Storage: pictures",
        "1.5 MB each, for 30 days and 7 more; $0.02 a GB and month",
        lambda n: n * PICTURE_GB * (KEPT_DAYS + UNDELETED_DAYS) / MONTH_DAYS * 0.02,
    ),
    Line(
        "Traffic to callers", "each once; $0.12 a GB beyond the first, $0.11 after 1 TB", egress_usd
    ),
    Line(
        "Alerts",
        "8 conditions at $0.10, each looked at 43,800 times at $0.35 a million",
        lambda _: CONDITIONS * (0.10 + SWEEPS * 0.35e-6),
    ),
    Line(
        "Builds' images",
        "some 5 GB; $0.10 a GB beyond 0.5",
        lambda _: beyond(IMAGES_GB, 0.5) * 0.1,
    ),
)


def table() -> str:
    """The lines and their sums, in Markdown."""
    rows = ["| | how it comes about | 0 | 1,000 | 1,000,000 |", "|---|---|---:|---:|---:|"]
    for line in LINES:
        shown = " | ".join(f"{line.usd(pictures):,.2f}" for pictures in MONTHS)
        rows.append(f"| {line.item} | {line.sum} | {shown} |")
    sums = (sum(line.usd(pictures) for line in LINES) for pictures in MONTHS)
    rows.append("| **Dollars a month** | | " + " | ".join(f"**{s:,.2f}**" for s in sums) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())  # noqa: T201 # what it is run for

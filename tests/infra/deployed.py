"""What the module would deploy, and what may be promised of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.infra.provider_schema import Block
from tests.infra.terraform import prepare

PRIVATE = {"batch_callback", "on_upload", "run_request", "sweep"}
"""Functions that only events call."""


class Deployed:
    """What the module leaves behind: by type, the values of every resource by its address; and what
    it puts out, by name."""

    def __init__(self, state: Block) -> None:
        self.resources: list[Block] = state["root_module"]["resources"]
        self.outputs = {name: output["value"] for name, output in state["outputs"].items()}

    def of(self, type_: str) -> dict[str, dict[str, Any]]:
        return {r["address"]: r["values"] for r in self.resources if r["type"] == type_}

    def each(self, type_: str, name: str) -> dict[str, dict[str, Any]]:
        """One resource block's instances, by their key in for_each."""
        found = (r for r in self.resources if (r["type"], r["name"]) == (type_, name))
        return {r["index"]: r["values"] for r in found}

    def functions(self) -> dict[str, dict[str, Any]]:
        """Every function's service_config, by its entry point."""
        return {
            f["build_config"][0]["entry_point"]: f["service_config"][0]
            for f in self.of("google_cloudfunctions2_function").values()
        }


Promise = Callable[[Deployed], Iterator[str]]
"""Yields a line for every place where it is not kept."""


def applied(run: str, scratch: Path) -> Deployed:
    """What one run of the module's tests leaves."""
    terraform = prepare(scratch)
    terraform.keep(run)
    return Deployed(terraform.test(run))

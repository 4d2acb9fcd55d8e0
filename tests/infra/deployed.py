"""What the module would deploy, and what may be promised of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.infra.provider_schema import Block

PRIVATE = {"batch_callback", "on_upload", "run_request", "sweep"}
"""Functions that only events call."""


class Deployed:
    """What the module leaves behind: by type, the values of every resource by its address."""

    def __init__(self, resources: list[Block]) -> None:
        self.resources = resources

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

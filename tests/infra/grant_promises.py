"""Who may do what: the module's grants are those that tests/infra/grants.txt lists, and no others.
`python -m tests.infra.grant_promises` prints the list anew, for whoever means to change it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.infra.deployed import Deployed, Promise, applied

LISTED = Path(__file__).parent / "grants.txt"
_ON = ("bucket", "secret_id", "topic", "subscription", "repository", "service_account_id", "name")


def grants(deployed: Deployed) -> list[str]:
    """A line each: who, which role, on what, under which condition."""
    names = _names(deployed)
    return sorted(
        " | ".join(
            [
                names.get(values["member"], values["member"]),
                values["role"],
                _on(values, names),
                *(f"if {one['expression']}" for one in values.get("condition") or []),
            ]
        ).replace(_number(deployed), "NUMBER")
        for type_ in sorted({r["type"] for r in deployed.resources if r["mode"] == "managed"})
        if type_.endswith("_iam_member")
        for values in deployed.of(type_).values()
    )


def grants_are_those_listed(deployed: Deployed) -> Iterator[str]:
    found, listed = set(grants(deployed)), set(LISTED.read_text().splitlines())
    yield from (f"nobody asked for: {grant}" for grant in sorted(found - listed))
    yield from (f"missing: {grant}" for grant in sorted(listed - found))


GRANT_PROMISES: tuple[Promise, ...] = (grants_are_those_listed,)


def _on(values: Mapping[str, Any], names: Mapping[str, str]) -> str:
    named = (values[key] for key in _ON if values.get(key))
    on = next(named, values.get("project") or "nothing")
    return names.get(on, on)


def _names(deployed: Deployed) -> dict[str, str]:
    """What is made up for a resource, as its address."""
    return {
        value: resource["address"].replace('"', "")
        for resource in deployed.resources
        if not resource["type"].endswith("_iam_member")
        for key in ("member", "id", "name")
        if isinstance(value := resource["values"].get(key), str)
    }


def _number(deployed: Deployed) -> str:
    (project,) = deployed.of("google_project").values()
    return str(project["number"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        sys.stdout.write("\n".join(grants(applied("everything", Path(scratch) / "it"))) + "\n")

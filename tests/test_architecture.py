"""The house rules of ARCHITECTURE.md, kept."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import main
from shared.catalogue import load
from shared.providers.registry import ADAPTERS
from tests import tree

pytestmark = pytest.mark.thorough

CODE = sorted([*Path("functions").rglob("*.py"), *Path("shared").rglob("*.py"), Path("main.py")])
PURE = [
    *sorted(Path("shared/providers").glob("*.py")),
    *(Path("shared") / f"{n}.py" for n in ("pricing", "routing", "ledger", "domain")),
    *sorted(Path("shared/surfaces").glob("*.py")),
    *(Path("shared") / f"{n}.py" for n in ("pacing", "breaker", "sizes", "sse")),
    *(Path("shared") / f"{n}.py" for n in ("batch_domain", "batch_lines", "event_message", "glb")),
    *(Path("shared") / f"{n}.py" for n in ("capabilities", "estimate", "choice", "body", "view")),
    *(Path("shared") / f"{n}.py" for n in ("rendering", "catalogue_view", "template_view")),
    *(
        Path("shared") / f"{n}.py"
        for n in ("errors", *(f"catalogue/{m}" for m in ("rows", "templates", "values")))
    ),
]
IO = {
    "asyncio",
    "io",
    "os",
    "pathlib",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib.request",
    "requests",
    "sqlite3",
    "google",
}
LONGEST_FILE = 400
LONGEST_FUNCTION = 50
LONGEST_ENTRY_POINT = 60
MOST_PARAMETERS = 6


@functools.cache
def parsed(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text())


@functools.cache
def imported(path: Path) -> frozenset[str]:
    """The modules a file imports, whole names."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def within(module: str, packages: set[str]) -> bool:
    """Whether a module is one of the packages or in one."""
    return any(module == p or module.startswith(f"{p}.") for p in packages)


def defined(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def strings(path: Path) -> Iterator[str]:
    """Every string constant of a file but the docstrings."""
    tree = parsed(path)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    # A string that stands alone documents the name above it.
    docs |= {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def test_pure_modules_do_no_io() -> None:
    for path in PURE:
        # mask.py turns bytes into bytes with Pillow, through a buffer in memory, once a mask.
        allowed = {"io", "threading"} if path.name == "mask.py" else set()
        assert not {m for m in imported(path) if within(m, IO - allowed)}, path
        calls = {n.func.id for n in ast.walk(parsed(path))
                 if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}  # fmt: skip
        assert not calls & {"open", "print", "input"}, path
        assert "datetime.now" not in path.read_text(), path


def test_adapters_use_httpx_for_its_nouns_only() -> None:
    for path in Path("shared/providers").glob("*.py"):
        used = set(re.findall(r"httpx\.(\w+)", path.read_text()))
        assert used <= {"Request", "Response", "URL", "InvalidURL"}, path


def test_shared_knows_neither_the_functions_nor_a_web_framework() -> None:
    banned = {"functions", "starlette", "flask", "functions_framework"}
    for path in Path("shared").rglob("*.py"):
        assert not {m for m in imported(path) if within(m, banned)}, path


def test_only_the_composition_root_knows_concrete_backends() -> None:
    concrete = {
        "shared.records.firestore",
        "shared.records.sqlite",
        "shared.storage.gcs",
        "shared.storage.disk",
        "shared.events.local",
        "shared.events.pubsub",
    }
    for path in CODE:
        if path != Path("shared/app.py"):
            assert not {m for m in imported(path) if within(m, concrete)}, path


def test_the_environment_is_read_in_one_file() -> None:
    for path in CODE:
        if path != Path("shared/settings.py"):
            assert not re.search(r"os\.environ|getenv|environ\[", path.read_text()), path


def test_no_provider_is_named_outside_its_place() -> None:
    catalogue = load()
    names = set(catalogue.providers) | {p.env for p in catalogue.providers.values()}
    names |= set(catalogue.models) | set(catalogue.aliases)
    places = [Path("shared") / p for p in ("catalogue", "providers", "sandbox", "surfaces")]
    fronts = [Path("functions") / f"{vendor}.py" for vendor in ("gemini", "openai")]
    for path in CODE:
        if path not in fronts and not any(place in path.parents for place in places):
            # Two functions are called as the vendors whose APIs they speak.
            functions = set(main.FUNCTIONS) if path == Path("main.py") else set()
            assert not names & (set(strings(path)) - functions), path


def test_one_module_talks_to_providers() -> None:
    # A laptop's server pushes its events to its own functions.
    may_open_clients = {"shared/app.py", "shared/fetch.py", "shared/exchange.py",
                        "functions/__main__.py"}  # fmt: skip
    for path in CODE:
        if str(path) not in may_open_clients:
            assert "httpx.AsyncClient" not in path.read_text(), path


def test_names_in_main_are_files_in_functions_are_functions_in_infra() -> None:
    names = set(main.FUNCTIONS)
    shared = {
        "__init__",
        "__main__",
        "gemini_http",
        "http",
        "push",
        "query",
        "streaming",
        "surface",
    }
    assert names == {p.stem for p in Path("functions").glob("*.py")} - shared
    block = re.search(
        r"\n  functions = \{\n(.*?)\n  \}\n", Path("infra/functions.tf").read_text(), re.S
    )
    assert block is not None
    assert set(re.findall(r"^    (\w+)\s*=", block[1], re.M)) == names


def test_every_adapter_has_fixtures_and_a_row() -> None:
    used = {route.wire for model in load().models.values() for route in model.routes}
    for wire in ADAPTERS:
        assert any(Path(f"tests/fixtures/{wire}").iterdir())
        assert wire in used


def test_files_and_functions_stay_small() -> None:
    shared = ("gemini_http", "http", "push", "query", "streaming", "surface")
    for path in CODE:
        assert len(path.read_text().splitlines()) <= LONGEST_FILE, path
        entry_point = path.parent == Path("functions") and path.stem not in shared
        for function in defined(path):
            length = (function.end_lineno or 0) - function.lineno + 1
            longest = LONGEST_ENTRY_POINT if entry_point else LONGEST_FUNCTION
            assert length <= longest, f"{path}: {function.name}"
            parameters = len(function.args.args) + len(function.args.kwonlyargs)
            if function.name != "__init__":
                assert parameters <= MOST_PARAMETERS, f"{path}: {function.name}"


def test_every_module_and_public_type_says_what_it_is() -> None:
    for path in CODE:
        tree = parsed(path)
        assert ast.get_docstring(tree), path
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path}: {node.name}"


@pytest.mark.parametrize("word", ["utils", "helpers", "common", "manager", "service"])
def test_no_file_is_named_for_nothing(word: str) -> None:
    assert not [p for p in CODE if word in p.stem]


def test_no_dependency_shadows_our_packages() -> None:
    assert not {"shared", "functions"} & set(importlib.metadata.packages_distributions())


def test_the_deployed_requirements_are_what_the_code_imports() -> None:
    wanted = {
        line.partition(";")[0].strip()
        for line in Path("requirements.in").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    }
    owners = importlib.metadata.packages_distributions()
    everything = {m for path in CODE for m in imported(path)}
    used = {
        distribution.lower()
        for module in everything
        for distribution in _owners(module, owners)
        if distribution.lower() in wanted
    }
    # The time zones are read by the standard library, where the system has none, and the other two
    # are taken by uvicorn where they are there.
    assert wanted - {"tzdata", "httptools", "uvloop"} == used
    pinned = {line.split("==")[0] for line in Path("requirements.txt").read_text().splitlines()}
    assert wanted <= pinned


def _owners(module: str, owners: dict[str, list[str]] | object) -> list[str]:
    if module.startswith("google.cloud."):
        return ["google-cloud-" + module.split(".")[2]]
    if module.startswith("google.auth"):
        return ["google-auth"]
    top = module.split(".")[0]
    return list(owners.get(top, [])) if isinstance(owners, dict) else []


def test_a_test_that_leaves_this_machine_fails() -> None:
    with socket.socket() as probe, pytest.raises(AssertionError, match=r"192\.0\.2\.1"):
        probe.connect(("192.0.2.1", 80))


def test_nothing_of_one_machine_is_written_down() -> None:
    for path in map(Path, tree.files()):
        if path == Path("tests/test_architecture.py") or not path.exists():
            continue
        found = re.search(rb"/(root|home|work)/\w|\b(TODO|FIXME|XXX)\b", path.read_bytes())
        assert not found, f"{path}: {found}"

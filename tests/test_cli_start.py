"""How the command line starts, what it needs, how it ends, and how a shell completes it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click
import grpc
import pytest
from google.api_core import exceptions as api
from google.auth.exceptions import DefaultCredentialsError

from shared import cli_errors, errors
from shared.cli import GROUPS, cli
from shared.records.sqlite import Sqlite
from tests import command_line
from tests.command_line import on_terminal, ran, shown

ROOT = Path(__file__).parent.parent
STORY = """
import sys
sys.modules["rich"] = None
import main
from functions import account, batch, generate, models
assert not [name for name in sys.modules if name.startswith("rich.")]
"""
"""httpx imports it, for a command line of its own, where it is installed; so it is made missing."""


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return command_line.fresh(tmp_path, monkeypatch)


def test_only_the_command_line_imports_rich_and_no_function_the_command_line() -> None:
    files = [Path("main.py"), *Path("functions").rglob("*.py"), *Path("shared").rglob("*.py")]
    program = {path for path in files if path.name.startswith("cli")}
    assert program

    def import_of(what: str) -> set[Path]:
        pattern = re.compile(rf"^ *(from|import) {what}", re.M)
        return {path for path in files if pattern.search(path.read_text())}

    assert import_of(r"rich\b") == {Path("shared/cli_output.py")}
    assert import_of(r"shared(\.| import )cli") <= program


def test_rich_is_an_operators_requirement_and_nobody_elses() -> None:
    def pinned(name: str) -> set[str]:
        return {line.partition("==")[0] for line in Path(name).read_text().splitlines()}

    assert "rich" in pinned("requirements-operator.txt")
    assert "rich" not in pinned("requirements.txt")


@pytest.mark.process
def test_the_functions_start_without_rich() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STORY], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_without_rich_nothing_is_begun_and_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    for options in ((), ("--json",)):
        refused = ran("accounts", "create", "Acme", *options, code=1)
        assert refused.stdout == ""
        assert refused.stderr == (
            "Error: This prints with rich: .venv/bin/python -m pip install"
            " -r requirements-operator.txt\n"
        )
    assert not data.exists()
    assert "Usage" in ran("accounts", "create", "--help").stdout


def test_the_list_of_commands_says_of_each_what_it_says_itself() -> None:
    printed = ran("--help").stdout
    for name, (_, said) in GROUPS.items():
        command = cli.commands[name]
        assert said == command.get_short_help_str(200)
        assert f"  {name}" in printed
    assert list(GROUPS) == sorted(GROUPS)


@pytest.mark.process
def test_help_comes_before_anything_is_loaded() -> None:
    story = "import sys; from shared.cli import cli; cli(['--help'], standalone_mode=False);"
    story += "print([name for name in ('rich', 'pydantic', 'asyncio') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", story], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


ERRORS: list[tuple[Exception, str]] = [
    (DefaultCredentialsError("none found"), cli_errors.LOG_IN),
    (api.Unauthenticated("who?"), cli_errors.LOG_IN),
    (api.PermissionDenied("Missing or insufficient permissions."), "does not allow"),
    (api.NotFound("The database (x)\ndoes not exist."), "The database (x) does not exist."),
    (api.ServiceUnavailable("no route"), "try again"),
    (api.RetryError("Timeout of 20.0s", api.ServiceUnavailable("no route")), "no route"),
    (api.InvalidArgument("a bad one"), "a bad one"),
    (grpc.aio.UsageError("closed"), ""),
    (errors.NotFound("There is no \x1b[2Jaccount."), "no \N{REPLACEMENT CHARACTER}[2Jaccount"),
    (TimeoutError(), "TimeoutError"),
    (OSError(28, "No space left on device"), "No space left on device"),
    (ValueError("a fault of ours"), ""),
]


@pytest.mark.parametrize(("error", "said"), ERRORS, ids=lambda one: str(one)[:20])
def test_what_a_backend_raises_is_one_line_and_a_fault_of_ours_is_none(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(Sqlite, "accounts", fails)
    if not said:
        assert cli_errors.line(error) is None
        with pytest.raises(type(error)):
            cli(["accounts", "list"], standalone_mode=False)
        return
    refused = ran("accounts", "list", code=1)
    assert refused.stdout == ""
    assert len(refused.stderr.splitlines()) == 1
    assert said in refused.stderr


def test_firestore_without_credentials_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("DARKROOM_FIRESTORE_DATABASE", "darkroom")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "demo")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    refused = ran("accounts", "list", code=1)
    assert (len(refused.stderr.splitlines()), cli_errors.LOG_IN in refused.stderr) == (1, True)


def test_a_broken_database_is_one_line_that_names_its_folder(data: Path) -> None:
    data.mkdir()
    (data / "darkroom.db").write_bytes(b"not a database" * 100)
    (said,) = ran("accounts", "list", code=1).stderr.splitlines()
    assert said == f"Error: {data}: file is not a database"


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Sqlite, "accounts", interrupted)
    stopped = ran("accounts", "list", code=130)
    assert (stopped.stdout, "Traceback" in stopped.output) == ("", False)


def test_ctrl_c_at_a_question_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    account_id = shown("accounts", "create", "Acme")["id"]
    key_id = shown("keys", "create", account_id)["id"]

    def pressed(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(click, "confirm", pressed)
    before = signal.getsignal(signal.SIGINT)
    on_terminal(monkeypatch, "keys", "revoke", key_id, code=130)
    assert signal.getsignal(signal.SIGINT) == before
    assert shown("keys", "list", account_id)["data"][0]["revoked_at"] is None


TYPED = [
    ("ke", {"keys"}),
    ("accounts s", {"show"}),
    ("requests list --st", {"--status"}),
    ("completion ", {"bash", "zsh", "fish"}),
]


@pytest.mark.process
def test_bash_completes_it_from_any_folder(tmp_path: Path) -> None:
    script = ran("completion", "bash").stdout
    story = [script, "set -eu", f"cd {tmp_path}", "darkroom keys --help >help"]
    for line, _ in TYPED:
        words = [*line.split(), *([""] if line.endswith(" ") else [])]
        array = " ".join(f"'{word}'" for word in ("darkroom", *words))
        story += [
            f"COMP_WORDS=({array}); COMP_CWORD={len(words)}; COMPREPLY=()",
            "_darkroom_completion darkroom",
            'echo "${COMPREPLY[*]}"',
        ]
    bash = ["bash", "--norc", "-c", "\n".join(story)]
    done = subprocess.run(bash, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert [set(line.split()) for line in done.stdout.splitlines()] == [want for _, want in TYPED]
    assert "revoke" in (tmp_path / "help").read_text()


INTERACTIVE = {
    "zsh": "autoload -U compinit && compinit -u\n{script}\ndarkroom keys --help",
    "fish": "{script}\ncomplete -C 'darkroom ke'\ndarkroom keys --help",
}


@pytest.mark.process
@pytest.mark.parametrize("shell", INTERACTIVE)
def test_other_shells_take_their_script(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing(f"there is no {shell} on the PATH")
    story = INTERACTIVE[shell].format(script=ran("completion", shell).stdout)
    done = subprocess.run(
        [program, "-c", story], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "revoke" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_calls_the_program_and_nothing_on_the_path(shell: str) -> None:
    script = ran("completion", shell).stdout
    call = f"exec {sys.executable} -m shared.cli"
    assert script.count(call) == 2
    assert f"{shell}_complete" in script
    assert "$+commands" not in script
    assert f"cd {ROOT}" in script

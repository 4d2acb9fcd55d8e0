"""What the repository consists of is known without git, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tree

pytestmark = pytest.mark.thorough


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """A folder as it comes out of an archive, in which somebody has worked since."""
    for path in ("main.py", "a/b.py", "a/b.pyc", "a/.build/c", "a/out/d", "out/e", ".venv/f.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / ".gitignore").write_text("# Made by tools\n.venv/\n\n*.pyc\na/out/\nmain.py/\n")
    (tmp_path / "a" / ".gitignore").write_text(".build/\n")
    return tmp_path


def test_without_git_it_is_what_no_gitignore_names(unpacked: Path) -> None:
    assert tree.files(unpacked) == [".gitignore", "a/.gitignore", "a/b.py", "main.py", "out/e"]


def test_nothing_that_git_knows_is_missed_without_it() -> None:
    known = {path for path in tree.files() if (tree.ROOT / path).exists()}
    walked = {path.relative_to(tree.ROOT).as_posix() for path in tree._kept(tree.ROOT, {})}
    assert known <= walked
    assert not [path for path in walked if path.startswith((".venv/", "tests/wire/js/node_m"))]


@pytest.mark.parametrize("odd", ["!kept.py", "a/**/b"])
def test_what_it_does_not_understand_is_refused(unpacked: Path, odd: str) -> None:
    (unpacked / ".gitignore").write_text(f"{odd}\n")
    with pytest.raises(ValueError, match="gitignore"):
        tree.files(unpacked)

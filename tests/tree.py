"""What the repository consists of, also where it lies without its history: from an archive, or in
Cloud Build."""

from __future__ import annotations

import fnmatch
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def files(root: Path = ROOT) -> list[str]:
    """The paths of its files, from its root: those git knows, else those no .gitignore names."""
    if (root / ".git").exists():
        return subprocess.check_output(["git", "ls-files"], cwd=root, text=True).splitlines()
    return sorted(path.relative_to(root).as_posix() for path in _kept(root, {}))


def patterns(file: Path) -> list[str]:
    """What an ignore file names. Raises ValueError for what `named` does not understand."""
    lines = [line.rstrip() for line in file.read_text().splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if odd := [p for p in found if p.startswith("!") or ("*" in p and "/" in p.rstrip("/"))]:
        raise ValueError(f"{file}: {odd}")
    return found


def named(path: str, ignored: list[str]) -> bool:
    """Whether patterns name a path from their own folder; a folder's path ends with a slash."""
    for pattern in ignored:
        plain, whole = pattern.rstrip("/"), path.rstrip("/")
        if pattern.endswith("/") and not path.endswith("/"):
            continue
        # Without a slash inside, a pattern is of a name, in whatever folder.
        if fnmatch.fnmatchcase(whole if "/" in plain else Path(whole).name, plain.lstrip("/")):
            return True
    return False


def _kept(folder: Path, above: dict[Path, list[str]]) -> Iterator[Path]:
    own = folder / ".gitignore"
    ignored = {**above, folder: patterns(own)} if own.exists() else above
    for path in folder.iterdir():
        slash = "/" if path.is_dir() else ""
        if not any(
            named(f"{path.relative_to(f).as_posix()}{slash}", p) for f, p in ignored.items()
        ):
            if slash:
                yield from _kept(path, ignored)
            else:
                yield path

"""The targets of the tours, started once for each worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import node as npm
from tests.wire import targets
from tests.wire.targets import Darkroom, Target


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Target]:
    with targets.sandbox() as target:
        yield target


@pytest.fixture(scope="session")
def darkroom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Darkroom]:
    with targets.darkroom(tmp_path_factory.mktemp("wire") / "data") as target:
        yield target


@pytest.fixture(params=["sandbox", "darkroom"], scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    """Each target in turn."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Target)
    return found


@pytest.fixture(scope="session")
def node() -> str:
    """A Node that can run the scripts, their packages installed."""
    found = npm.node()
    npm.installed(Path(__file__).parent / "js")
    return found

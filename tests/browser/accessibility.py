"""What axe-core finds on a page: the rules of WCAG 2 that a machine can check."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any, Literal

from playwright.sync_api import Page

GRAVE = ("serious", "critical")
SETTLED = """() => Promise.all(
  document.getAnimations()
    .filter((animation) => animation.effect.getComputedTiming().endTime !== Infinity)
    .map((animation) => animation.finished.catch(() => null)))"""
RUN = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map(
  ({ id, impact, help, nodes }) => ({
    id, impact, help, nodes: nodes.map((node) => [node.target.join(" "), node.failureSummary]),
  }))"""


@functools.cache
def _axe() -> str:
    """Its source. Only this file of the package is used."""
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text()


@contextmanager
def shown(page: Page, scheme: Literal["light", "dark"]) -> Iterator[None]:
    """The page in a colour scheme, standing still."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.evaluate(SETTLED)
    yield
    page.emulate_media(color_scheme="null", reduced_motion="null")


def check(page: Page) -> None:
    """Fail if there is something serious in what is shown, in light or in dark."""
    page.evaluate(_axe())
    said: list[str] = []
    for scheme in ("light", "dark"):
        with shown(page, scheme):
            found: list[dict[str, Any]] = page.evaluate(RUN)
        for violation in found:
            if violation["impact"] in GRAVE:
                said.append(
                    f"{scheme}: {violation['id']} ({violation['impact']}), {violation['help']}"
                )
                said += [f"    {where}: {why}" for where, why in violation["nodes"]]
    assert not said, "\n".join(["axe finds:", *said])

"""`make run` with a fault: its messages reach nobody, and nobody sweeps."""

from __future__ import annotations

from functions import __main__ as local_server
from shared.app import App
from shared.events import Event


async def _lose(event: Event) -> None:
    """Deliver nothing."""


async def _rest(app: App) -> None:
    """Sweep nothing."""


if __name__ == "__main__":
    local_server.push = _lose
    local_server._keep_sweeping = _rest
    local_server.serve()

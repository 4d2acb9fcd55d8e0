"""Every adapter by the name that catalogue rows use for it (`wire`)."""

from __future__ import annotations

from shared.providers import Provider, gemini, imagen

ADAPTERS: dict[str, Provider] = {"gemini": gemini, "imagen": imagen}

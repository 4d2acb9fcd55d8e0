"""Every adapter by the name that catalogue rows use for it (`wire`)."""

from __future__ import annotations

from collections.abc import Mapping

from shared.providers import (
    Batches,
    Provider,
    Wallet,
    ark,
    gemini,
    gemini_batches,
    imagen,
    openai_batches,
    openai_chat,
    openai_images,
    openrouter_images,
    threed_ai_studio,
)

ADAPTERS: dict[str, Provider] = {
    "ark": ark,
    "gemini": gemini,
    "imagen": imagen,
    "openai_chat": openai_chat,
    "openai_images": openai_images,
    "openrouter_images": openrouter_images,
    "threed_ai_studio": threed_ai_studio,
}

WALLETS: dict[str, Wallet] = {"threed_ai_studio": threed_ai_studio}
"""Those whose providers say what is left of the account's credits."""

BATCHES: Mapping[str, Batches] = {"gemini": gemini_batches, "openai_images": openai_batches}
"""Those with a batch API; which hosts have it is said by the `batch_price` of a row."""

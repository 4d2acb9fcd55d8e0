"""Every adapter by the name that catalogue rows use for it (`wire`)."""

from __future__ import annotations

from shared.providers import (
    Provider,
    Wallet,
    ark,
    gemini,
    imagen,
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

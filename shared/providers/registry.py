"""Every adapter by the name that catalogue rows use for it (`wire`), which is its module's name.

An adapter is imported when it is first looked up: a process calls few providers. What rows may say
of each is known without it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from shared.providers import Batches, Provider, Wallet

if TYPE_CHECKING:
    from shared.providers import (
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

    # For the type checker, which cannot follow a name to its module.
    _PROVIDERS: tuple[Provider, ...] = (
        ark,
        gemini,
        imagen,
        openai_chat,
        openai_images,
        openrouter_images,
        threed_ai_studio,
    )
    _WALLETS: tuple[Wallet, ...] = (threed_ai_studio,)
    _BATCHES: tuple[Batches, ...] = (gemini_batches, openai_batches)

P = TypeVar("P", Provider, Batches, Wallet)


@dataclass(frozen=True)
class Wire:
    """What rows may say of a wire format: `dialects` are its variants beside the plain one, which
    is "", and `masked` those that carry a mask. A route's row says which its host speaks."""

    dialects: frozenset[str] = frozenset()
    masked: frozenset[str] = frozenset()


WIRES: Mapping[str, Wire] = {
    "ark": Wire(),
    "gemini": Wire(frozenset({"inline"}), masked=frozenset({"", "inline"})),
    "imagen": Wire(),
    "openai_chat": Wire(
        frozenset({"google", "openrouter"}), masked=frozenset({"", "google", "openrouter"})
    ),
    "openai_images": Wire(frozenset({"json", "relay"}), masked=frozenset({"", "json"})),
    "openrouter_images": Wire(),
    "threed_ai_studio": Wire(masked=frozenset({""})),
}


class Adapters(Mapping[str, P]):
    """Modules of this package by wire. Whether one is there is known without importing it."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = modules

    def __getitem__(self, wire: str) -> P:
        return cast("P", importlib.import_module(f"shared.providers.{self._modules[wire]}"))

    def __contains__(self, wire: object) -> bool:
        return wire in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


ADAPTERS = Adapters[Provider]({wire: wire for wire in WIRES})

WALLETS = Adapters[Wallet]({"threed_ai_studio": "threed_ai_studio"})
"""Those whose providers say what is left of the account's credits."""

BATCHES = Adapters[Batches]({"gemini": "gemini_batches", "openai_images": "openai_batches"})
"""Those with a batch API; which hosts have it is said by the `batch_price` of a row."""

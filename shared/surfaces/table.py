"""What becomes of every field of the vendors' APIs, in Markdown, from the tables that the surfaces
themselves go by. It stands in functions/README.md; `python -m shared.surfaces` prints it anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.surfaces import (
    Support,
    Treatment,
    gemini_batches,
    gemini_files,
    gemini_generate,
    gemini_models,
    gemini_predict,
    openai_batches,
    openai_chat,
    openai_files,
    openai_images,
    openai_models,
)

SURFACES: Mapping[str, tuple[str, tuple[Support, ...]]] = {
    "OpenAI": (
        "/openai",
        (
            openai_images.SUPPORT,
            openai_chat.SUPPORT,
            openai_models.SUPPORT,
            openai_files.SUPPORT,
            openai_batches.SUPPORT,
        ),
    ),
    "Gemini": (
        "/gemini",
        (
            gemini_generate.SUPPORT,
            gemini_predict.SUPPORT,
            gemini_models.SUPPORT,
            gemini_files.SUPPORT,
            gemini_batches.SUPPORT,
        ),
    ),
}
"""Surface → where it is mounted, and its tables."""


def table() -> str:
    """Every endpoint of every surface with its fields."""
    return "\n".join(line for name in SURFACES for line in _surface(name)) + "\n"


def endpoints(name: str) -> Iterator[tuple[str, str, Mapping[str, tuple[Treatment, str]]]]:
    """A surface's endpoints: method, path as mounted, fields."""
    mounted, supports = SURFACES[name]
    for support in supports:
        for endpoint, fields in support.items():
            method, _, path = endpoint.partition(" ")
            yield method, mounted + path, fields


def _surface(name: str) -> Iterator[str]:
    yield from (f"## {name}", "")
    for method, path, fields in endpoints(name):
        yield from (f"### `{method} {path}`", "")
        if not fields:
            yield from ("No fields.", "")
            continue
        yield from ("| field | here | |", "|---|---|---|")
        yield from (f"| `{name}` | {here} | {words} |" for name, (here, words) in fields.items())
        yield ""

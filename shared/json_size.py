"""How many values a JSON text has, seen before it is read: small ones take many times their bytes
in memory."""

from __future__ import annotations

from shared.errors import PayloadTooLarge

MOST = 100_000


def check_values(text: bytes, most: int = MOST, *, param: str | None = None) -> None:
    """Raise PayloadTooLarge for more than about `most` values. Base64 has none of the marks that
    are counted; a comma within a text counts too."""
    if sum(text.count(mark) for mark in b",[{") > most:
        raise PayloadTooLarge(f"JSON has at most {most} values.", param=param)

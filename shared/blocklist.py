"""An operator's list of words and phrases that no prompt may contain. One a line; # begins a
comment. Case, width, accents' spelling, spaces and invisible characters make no difference, and
words are whole ones, except in scripts that put no spaces between them (Chinese, Japanese, Thai,
Lao, Khmer, Burmese)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from shared.domain import ImageRequest
from shared.errors import ContentBlocked
from shared.settings import BadSettings

_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
)


class Blocklist:
    """The terms, ready to be looked for."""

    def __init__(self, terms: Iterable[str] = ()) -> None:
        self._phrases: dict[tuple[str, ...], str] = {}
        self._pieces: dict[str, str] = {}
        for term in terms:
            words = _words(term)
            if words and _SPACELESS.search(term):
                self._pieces["".join(words)] = term
            elif words:
                self._phrases[words] = term
        self._lengths = sorted({len(words) for words in self._phrases})

    @property
    def empty(self) -> bool:
        """Whether everything is allowed."""
        return not (self._phrases or self._pieces)

    def check(self, request: ImageRequest) -> None:
        """Raise ContentBlocked for a request whose prompt, or a text among its options, contains a
        term; the message names it."""
        for param, text in () if self.empty else _texts(request):
            term = self.find(text)
            if term is not None:
                raise ContentBlocked(
                    f"This installation makes no pictures of {term!r}. Leave it out.",
                    param=param,
                    details={"blocklist": True},
                )

    def find(self, text: str) -> str | None:
        """The first term found in a text, as the list writes it."""
        words = _words(text)
        for length in self._lengths:
            for start in range(len(words) - length + 1):
                term = self._phrases.get(words[start : start + length])
                if term is not None:
                    return term
        joined = "".join(words) if self._pieces else ""
        return next((term for piece, term in self._pieces.items() if piece in joined), None)


def load(path: Path | None) -> Blocklist:
    """The list in a file; an empty one without a file. Raises BadSettings."""
    if path is None:
        return Blocklist()
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"DARKROOM_BLOCKLIST cannot be read: {error}") from error
    terms = (line.partition("#")[0].strip() for line in lines)
    return Blocklist(term for term in terms if term)


def _texts(request: ImageRequest) -> Iterator[tuple[str, str]]:
    yield "prompt", request.prompt
    for name, value in request.options.items():
        if isinstance(value, str):
            yield f"options.{name}", value


def _words(text: str) -> tuple[str, ...]:
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = (_seen(letter) for letter in folded)
    return tuple("".join(kept).split())


def _seen(letter: str) -> str:
    """A letter or a mark on one as it is, nothing for what nobody sees, a space for the rest."""
    if letter.isalnum():
        return letter
    category = unicodedata.category(letter)
    return letter if category[0] == "M" else "" if category == "Cf" else " "

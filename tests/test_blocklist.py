"""What an operator's blocklist stops, and what it lets pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared import blocklist
from shared.blocklist import Blocklist
from shared.domain import ImageRequest, Json
from shared.errors import ContentBlocked
from shared.settings import BadSettings

LIST = Blocklist(["Acme", "red  square", "naïve", "天安", "ass", "बम"])


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("the acme logo", "Acme"),
        ("ACME!", "Acme"),
        ("\uff41\uff43\uff4d\uff45", "Acme"),
        ("a Red\n square, wide", "red  square"),
        ("a red-square", "red  square"),
        ("nai\u0308ve art", "naïve"),
        ("夜の天安門", "天安"),
        ("ac\u200bme and ac\u00adme", "Acme"),
        ("_acme_van", "Acme"),
        ("एक बम", "बम"),
    ],
)
def test_a_term_is_found_however_it_is_written(text: str, term: str) -> None:
    assert LIST.find(text) == term


@pytest.mark.parametrize(
    "text", ["", "acmeist poetry", "red squares", "a classy glass", "square red"]
)
def test_other_words_pass(text: str) -> None:
    assert LIST.find(text) is None


def test_the_field_and_the_term_are_named() -> None:
    with pytest.raises(ContentBlocked, match="'Acme'") as caught:
        LIST.check(ImageRequest("generate", "auto", "an acme van"))
    assert caught.value.param == "prompt"
    options: dict[str, Json] = {"system_instruction": "draw like Acme", "top_k": 3}
    with pytest.raises(ContentBlocked) as caught:
        LIST.check(ImageRequest("generate", "auto", "a van", options=options))
    assert caught.value.param == "options.system_instruction"
    LIST.check(ImageRequest("generate", "auto", "a van"))


def test_a_file_has_a_term_a_line(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("# not these\nAcme  # a rival\n\nred square\n")
    found = blocklist.load(file)
    assert found.find("acme") == "Acme"
    assert found.find("these rival") is None
    assert blocklist.load(None).find("acme") is None


def test_a_list_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="DARKROOM_BLOCKLIST"):
        blocklist.load(tmp_path / "nowhere.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadSettings):
        blocklist.load(tmp_path / "binary")

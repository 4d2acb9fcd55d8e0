"""Settings that a model has are taken, and those that it has not are named."""

from __future__ import annotations

from shared.catalogue import load
from shared.domain import Json
from shared.surfaces import Options, listed, options

WANTED: dict[str, tuple[str, Json]] = {
    "generationConfig.topP": ("top_p", 0.5),
    "generationConfig.topK": ("top_k", None),
    "moderation": ("moderation", "low"),
}


def test_they_are_sorted_by_what_the_model_has() -> None:
    catalogue = load()
    google, openai = (catalogue.find(name) for name in ("nano-banana-pro", "gpt-image"))
    assert options(google, WANTED) == Options({"top_p": 0.5}, ("moderation",))
    assert options(openai, WANTED) == Options({"moderation": "low"}, ("generationConfig.topP",))


def test_without_a_model_there_is_nobody_to_have_them() -> None:
    assert options(None, WANTED) == Options({}, ("generationConfig.topP", "moderation"))


def test_names_of_fields_stand_in_a_header_whatever_they_are() -> None:
    names = listed(("user", "svg[model]", "user", "a\r\nb: ü", "x" * 200)).split(", ")
    assert names == ["user", "svg[model]", "a%0D%0Ab%3A%20%C3%BC", "x" * 50]
    assert listed(tuple(map(str, range(100)))).endswith("39, ...")

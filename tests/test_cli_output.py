"""What the command line prints: text that cannot steer a terminal, and what a check found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from shared.catalogue import Catalogue, load
from shared.cli_output import SAID_EVERY, Progress, of_catalogue, show, show_found, show_list
from shared.view import ListView, View

TODAY = date(2026, 11, 21)


class Thing(View):
    """Something to show, of every kind of value."""

    name: str
    inner: Mapping[str, Any] = {}
    many: Sequence[Any] = ()
    good: bool = True


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_a_thing_is_a_line_for_each_value_however_deep(capsys: pytest.CaptureFixture[str]) -> None:
    show(Thing(name="x", inner={"a": None, "b": {"c": 1}}, many=[{"d": 2}, 3]), as_json=False)
    assert lines(capsys) == [
        "name       x",
        "inner.a    -",
        "inner.b.c  1",
        "many.0.d   2",
        "many.1     3",
        "good       yes",
    ]


def test_a_list_is_a_table_and_says_where_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    things = [Thing(name="longer", many=["a", "b"]), Thing(name="x", good=False)]
    listed = ListView[Thing](data=things, has_more=True, next_cursor="here")
    show_list(listed, ("name", "many", "good", "inner.missing"), as_json=False)
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "NAME    MANY  GOOD  INNER.MISSING",
        "longer  a, b  yes   -",
        "x       -     no    -",
    ]
    assert printed.err == "There is more: --cursor here\n"
    show_list(ListView[Thing](data=things, has_more=True), ("name",), as_json=False)
    assert capsys.readouterr().err == "There is more: --limit says how much\n"


def test_a_callers_text_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\x1b]0;owned\x07 two\nlines \ud800 \u202e"
    for as_json in (False, True):
        show(Thing(name=text), as_json)
        printed = capsys.readouterr().out
        assert "owned" in printed
        assert not {"\x1b", "\x07", "\ud800", "\u202e"} & set(printed)
    assert json.loads(printed)["name"] == text


def test_a_check_prints_what_it_found_or_else_the_whole(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = Thing(name="broken")
    show_found(Thing(name="all"), [found], as_json=False)
    assert lines(capsys) == ["broken  -  -  yes"]
    show_found(Thing(name="all"), [], as_json=False)
    assert lines(capsys)[0] == "name   all"


def test_progress_is_one_line_on_a_terminal_however_narrow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "11")
    now = datetime(2026, 11, 21, tzinfo=UTC)
    with Progress(redraws=True) as progress:
        progress.show("running", "a long line of text", now)
        progress.show("running", "short", now)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "\ra long lin\rshort     \n")


def test_progress_elsewhere_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    with Progress(redraws=False) as progress:
        progress.show("running", "first", now)
        progress.show("running", "too soon", now + SAID_EVERY / 2)
        progress.show("running", "later", now + SAID_EVERY)
        progress.show("running", "too soon", now + SAID_EVERY * 1.5)
        progress.show("succeeded", "the end", now + SAID_EVERY * 1.5)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "first\nlater\nthe end\n")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


def notes(catalogue: Catalogue, **changes: Any) -> list[tuple[str, date]]:
    """The notes on a catalogue of one route, changed like that."""
    model = catalogue.models["gemini-3-pro-image"]
    route = model.routes[0].model_copy(update={"checked": TODAY, "shutdown": None, **changes})
    alone = Catalogue({model.id: model.model_copy(update={"routes": (route,)})}, {}, {})
    return [(note.note, note.day) for note in of_catalogue(alone, TODAY).notes]


def test_a_price_is_old_after_ninety_days(catalogue: Catalogue) -> None:
    checked = TODAY - timedelta(days=90)
    assert notes(catalogue, checked=checked) == []
    older = checked - timedelta(days=1)
    assert notes(catalogue, checked=older) == [("price_is_old", older)]


def test_a_routes_end_is_told_sixty_days_ahead(catalogue: Catalogue) -> None:
    shutdown = TODAY + timedelta(days=60)
    assert notes(catalogue, shutdown=shutdown) == [("shuts_down", shutdown)]
    assert notes(catalogue, shutdown=shutdown + timedelta(days=1)) == []


def test_nothing_is_said_of_a_route_that_has_ended(catalogue: Catalogue) -> None:
    assert notes(catalogue, shutdown=TODAY, checked=date(2020, 1, 1)) == []

"""What the command line prints, on a terminal and elsewhere: text that cannot steer either, and how
far something is."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from shared.catalogue import Catalogue, load
from shared.cli_output import SAID_EVERY, Progress, counting, show, show_found, show_list
from shared.cli_views import of_catalogue
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
    assert lines(capsys) == ["NAME    INNER  MANY  GOOD", "broken  -      -     yes"]
    show_found(Thing(name="all"), [], as_json=False)
    assert lines(capsys)[0] == "name   all"


def test_markup_and_smileys_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    text = "[red]not red[/red] [link=https://example.com]here[/] :smile:"
    for many in (show, lambda thing, _: show_list(ListView(data=[thing]), ("name",), False)):
        many(Thing(name=text), False)
        assert text in capsys.readouterr().out


def test_numbers_stand_on_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    things = [Thing(name="x", inner={"n": n, "day": "2026-11-21"}) for n in ("0.500000", 12, None)]
    show_list(ListView[Thing](data=things), ("inner.n", "name", "inner.day"), as_json=False)
    assert lines(capsys) == [
        " INNER.N  NAME  INNER.DAY",
        "0.500000  x     2026-11-21",
        "      12  x     2026-11-21",
        "       -  x     2026-11-21",
    ]


def test_nothing_is_cut_off_or_folded_where_no_terminal_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("FORCE_COLOR", "1")
    long = "a long text " * 200 + "x" * 3000
    show_list(ListView[Thing](data=[Thing(name=long)] * 2), ("name", "good"), as_json=False)
    assert lines(capsys)[1:] == [f"{long}  yes"] * 2
    show(Thing(name=long), as_json=False)
    assert lines(capsys)[0] == f"name   {long}"


class Terminal(io.StringIO):
    """What somebody looks at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Terminal]:
    """Puts standard output and error on one of so many columns."""

    def opened(columns: int) -> Terminal:
        seen = Terminal()
        for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr("sys.stdout", seen)
        monkeypatch.setattr("sys.stderr", seen)
        return seen

    return opened


ID = "acc_" + "x" * 26
RED, GREEN = "\x1b[31m", "\x1b[32m"


def unstyled(seen: Terminal) -> list[str]:
    """The lines on it, without their colours."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", seen.getvalue())
    return [line.rstrip() for line in plain.splitlines()]


def test_words_for_how_it_went_are_coloured_on_a_terminal(
    terminal: Callable[[int], Terminal],
) -> None:
    seen = terminal(80)
    things = [Thing(name=word, inner={"status": word}) for word in ("failed", "succeeded", "new")]
    show_list(ListView[Thing](data=things), ("name", "inner.status"), as_json=False)
    text = seen.getvalue()
    assert (text.count(f"{RED}failed"), text.count(f"{GREEN}succeeded")) == (1, 1)
    assert unstyled(seen)[-1] == "new        new"


def test_a_text_is_folded_on_a_terminal_and_an_id_is_not(
    terminal: Callable[[int], Terminal],
) -> None:
    seen = terminal(50)
    text = "a name of many words that do not fit"
    show_list(ListView[Thing](data=[Thing(name=text, many=[ID])]), ("many", "name"), as_json=False)
    assert unstyled(seen)[2:] == [
        f"{ID}  a name of many",
        f"{'':30}  words that do not",
        f"{'':30}  fit",
    ]


def test_a_long_link_stays_whole_on_a_terminal(terminal: Callable[[int], Terminal]) -> None:
    seen = terminal(40)
    link = "https://example.com/" + "x" * 200
    show(Thing(name=link, inner={"a": "some words that are more than fit"}), as_json=False)
    assert unstyled(seen)[:3] == [
        f"name     {link}",
        "inner.a  some words that are more than",
        "         fit",
    ]


def test_what_is_too_wide_for_a_table_becomes_blocks(
    terminal: Callable[[int], Terminal],
) -> None:
    seen = terminal(40)
    things = [Thing(name=ID, many=[ID]), Thing(name="y", many=[ID])]
    show_list(ListView[Thing](data=things), ("name", "many"), as_json=False)
    assert unstyled(seen) == [f"name  {ID}", f"many  {ID}", "", "name  y", f"many  {ID}"]


def test_a_callers_text_steers_no_real_terminal(terminal: Callable[[int], Terminal]) -> None:
    seen = terminal(200)
    show(Thing(name="\x1b]0;owned\x07 [blink]x[/blink] \u202e"), as_json=False)
    assert not {"\x07", "\u202e"} & set(seen.getvalue())
    assert unstyled(seen)[0] == "name   \ufffd]0;owned\ufffd [blink]x[/blink] \ufffd"


NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_progress_is_a_bar_on_a_terminal(terminal: Callable[[int], Terminal]) -> None:
    seen = terminal(80)
    with Progress() as progress:
        progress.show("running", (1, 4), "1 failed", NOW)
        progress.show("succeeded", (4, 4), "2 failed", NOW)
    text = seen.getvalue()
    assert [word in text for word in ("running", "1/4", "1 failed", "━")] == [True] * 4
    assert re.search(r"succeeded.*4/4.*2 failed", unstyled(seen)[-2])


def test_a_bar_that_only_counts_is_gone_at_the_end(terminal: Callable[[int], Terminal]) -> None:
    seen = terminal(80)
    with counting("Accounts", 2, lambda: NOW) as one_more:
        one_more()
        one_more()
    assert "2/2" in seen.getvalue()
    assert seen.getvalue().endswith("\x1b[1A\x1b[2K")


def test_progress_elsewhere_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress.show("running", (0, 4), "first", NOW)
        progress.show("running", (1, 4), "too soon", NOW + SAID_EVERY / 2)
        progress.show("running", (2, 4), "later", NOW + SAID_EVERY)
        progress.show("running", (3, 4), "too soon", NOW + SAID_EVERY * 1.5)
        progress.show("succeeded", (4, 4), "", NOW + SAID_EVERY * 1.5)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "running    0/4  first",
        "running    2/4  later",
        "succeeded  4/4",
    ]


def test_what_only_counts_says_nothing_unless_it_takes_long(
    capsys: pytest.CaptureFixture[str],
) -> None:
    times = iter([NOW, NOW, NOW + SAID_EVERY / 2, NOW + SAID_EVERY])
    with counting("Accounts", 2, lambda: next(times)) as one_more:
        one_more()
        assert capsys.readouterr().err == ""
        one_more()
    assert capsys.readouterr().err == "Accounts   2/2\n"


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

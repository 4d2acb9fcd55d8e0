"""What the command line prints: views of what only operators see, and any view as JSON or as plain
aligned text."""

from __future__ import annotations

import functools
import json
import shutil
import sys
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal, Self

import click
from pydantic import Field

from shared import view
from shared.audit import Audit
from shared.catalogue import Catalogue
from shared.domain import ApiKey, Record
from shared.ledger import Standing
from shared.links import Links
from shared.pricing import usd

PRICE_LIFE = timedelta(days=90)
"""How long a price counts as checked."""
SHUTDOWN_NOTICE = timedelta(days=60)
"""How early a route's end is told."""
SAID_EVERY = timedelta(seconds=30)
"""How often a line says how far something is, where lines stay."""


class KeyView(view.View):
    """A key as it is kept: nobody can read the key itself."""

    id: str
    account: str
    test: bool
    created_at: view.Time
    revoked_at: view.Time | None


class NewKeyView(view.View):
    """A key on the one occasion that it is shown."""

    id: str
    key: str
    account: str
    test: bool


class RevokedView(view.View):
    """A key that opens nothing any more."""

    id: str
    revoked: bool = True


class OperatorsAccountView(view.AccountView):
    """An account, but for its webhook secret: what is deployed alone knows what it signs with."""

    webhook_secret: str = Field(exclude=True)


class OperatorsRequestView(view.RequestView):
    """A request with what all its calls cost the operator, the failed ones too."""

    provider_cost_usd: str


class FindingView(view.View):
    """Something that does not add up."""

    account: str
    subject: str
    message: str


class AuditView(view.View):
    """What the ledger check looked at and found."""

    accounts: int
    requests: int
    entries: int
    balance_usd: str
    findings: list[FindingView]


class RouteNote(view.View):
    """A route to look at: `day` is when its price was last checked, or when it shuts down."""

    model: str
    provider: str
    note: Literal["price_is_old", "shuts_down"]
    day: date


class CatalogueView(view.View):
    """A sound catalogue, and what in it is old or about to end."""

    models: int
    routes: int
    notes: list[RouteNote]


def of_key(key: ApiKey) -> KeyView:
    """A key without what is stored of it."""
    return KeyView(
        id=key.id,
        account=key.account_id,
        test=key.test,
        created_at=key.created_at,
        revoked_at=key.revoked_at,
    )


def of_account(standing: Standing, now: datetime) -> OperatorsAccountView:
    """An account as an operator sees it."""
    return OperatorsAccountView(**dict(view.of_account(standing, "", now)))


def of_request(record: Record, links: Links, now: datetime) -> OperatorsRequestView:
    """A record as an operator sees it."""
    shown = view.of_request(record, links, now)
    cost = usd(record.cost_micros)
    return OperatorsRequestView(**dict(shown), provider_cost_usd=cost)


def of_audit(audit: Audit) -> AuditView:
    """The ledger check."""
    return AuditView(
        accounts=audit.accounts,
        requests=audit.requests,
        entries=audit.entries,
        balance_usd=usd(audit.balance_micros),
        findings=[
            FindingView(account=f.account_id, subject=f.subject, message=f.message)
            for f in audit.findings
        ],
    )


def of_catalogue(catalogue: Catalogue, today: date) -> CatalogueView:
    """The catalogue on that day, with notes on its live routes."""
    routes = [route for model in catalogue.models.values() for route in model.routes]
    notes: list[RouteNote] = []
    for route in routes:
        if not route.live(today):
            continue
        note = functools.partial(RouteNote, model=route.model, provider=route.provider)
        if route.checked < today - PRICE_LIFE:
            notes.append(note(note="price_is_old", day=route.checked))
        if route.shutdown and route.shutdown <= today + SHUTDOWN_NOTICE:
            notes.append(note(note="shuts_down", day=route.shutdown))
    return CatalogueView(models=len(catalogue.models), routes=len(routes), notes=notes)


def show(shown: view.View, as_json: bool) -> None:
    """One thing: JSON, or a line a field."""
    data = shown.model_dump(mode="json")
    click.echo(_json(data) if as_json else _table([list(row) for row in _flat(data).items()]))


def show_list(listed: view.ListView[Any], columns: Sequence[str], as_json: bool) -> None:
    """A list: JSON, or a table of some columns."""
    data = listed.model_dump(mode="json")
    if as_json:
        click.echo(_json(data))
        return
    found = [_flat(one) for one in data["data"]]
    rows = [[row.get(column, "-") for column in columns] for row in found]
    click.echo(_table([[column.upper() for column in columns], *rows]))
    if listed.has_more:
        on = f"--cursor {listed.next_cursor}" if listed.next_cursor else "--limit says how much"
        click.echo(f"There is more: {on}", err=True)


def show_found(shown: view.View, found: Sequence[view.View], as_json: bool) -> None:
    """What a check found, a line each; the whole of it where that is nothing, or as JSON."""
    if as_json or not found:
        show(shown, as_json)
    else:
        click.echo(_table([list(_flat(one.model_dump(mode="json")).values()) for one in found]))


class Progress:
    """How far something is, on stderr, for whoever waits: a line that is drawn again and again
    where `redraws`, as on a terminal; else one for each new state, and now and then."""

    def __init__(self, *, redraws: bool) -> None:
        self._redraws = redraws
        self._said: tuple[str, datetime] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._redraws:
            click.echo(err=True)

    def show(self, state: str, text: str, now: datetime) -> None:
        """Say it, if it is time to."""
        if self._redraws:
            # A line that does not fit is not drawn over, but under.
            width = shutil.get_terminal_size().columns - 1
            click.echo(f"\r{text[:width]:<{width}}", nl=False, err=True)
        elif self._said is None or state != self._said[0] or now - self._said[1] >= SAID_EVERY:
            self._said = state, now
            click.echo(text, err=True)


def _json(data: object) -> str:
    return json.dumps(data, indent=2)


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _flat(data: Any, name: str = "") -> dict[str, str]:
    """Nested data as a text for each dotted name."""
    if isinstance(data, list) and any(isinstance(one, dict) for one in data):
        data = {str(index): one for index, one in enumerate(data)}
    if not isinstance(data, dict) or not data:
        return {name: _cell(data)}
    inner = (_flat(one, f"{name}.{key}" if name else key) for key, one in data.items())
    return {key: text for flat in inner for key, text in flat.items()}


def _cell(value: object) -> str:
    """A plain value. Callers' texts may hold what would steer a terminal: it is not printed."""
    if value is None or value in ([], {}, ""):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def somebody_there() -> bool:
    """Whether a question can be answered: a script cannot."""
    return sys.stdin.isatty()

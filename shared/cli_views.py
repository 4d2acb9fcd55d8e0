"""What only operators see, as pydantic models, and the translation of records into them."""

from __future__ import annotations

import functools
from datetime import date, datetime, timedelta
from typing import Literal

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
    """A request with whose it is, the id of its key, and what all its calls cost the operator, the
    failed ones too."""

    account: str
    key: str
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
    return OperatorsRequestView(
        **dict(shown),
        account=record.account_id,
        key=record.key_id,
        provider_cost_usd=usd(record.cost_micros),
    )


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

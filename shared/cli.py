"""`python -m shared.cli`: accounts, keys, credit, requests, the ledger and the catalogue, for
operators. It works on the backends that the environment names, through the same App as the
functions, also while they serve. Data goes to stdout, talk to stderr."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, TypeVar, get_args

import click

from shared import accounts, audit, catalogue_view, local, view
from shared.app import App, build, utc_now
from shared.catalogue import BadCatalogue, Catalogue, load
from shared.cli_output import show, show_list, table
from shared.domain import Account, ApiKey, Entry, Limits, Status
from shared.errors import DarkroomError, NotFound
from shared.ledger import CREDIT_LIFE
from shared.pricing import usd
from shared.records import Page, RequestFilter
from shared.settings import BadSettings, Settings

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., None])

PRICE_LIFE = timedelta(days=90)
"""How long a price counts as checked."""
SHUTDOWN_NOTICE = timedelta(days=60)
"""How early a route's end is told."""
_UNLIMITED = "none"


class Usd(click.ParamType[int]):
    """US dollars as an operator writes them, "10" or "0.25", as integer micro-dollars."""

    name = "usd"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if not isinstance(value, str):
            return int(value)
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", value) or not Decimal(value):
            self.fail(f"{value!r} is not an amount above 0 with at most six decimals", param, ctx)
        return int(Decimal(value) * 1_000_000)

"""`python -m shared.cli batches`: how batches stand, and a push for one that is stuck."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal, TypeVar

import click

from shared import batch_steps, batch_view, view
from shared import batches as engine
from shared.app import App
from shared.batch_domain import Batch, Group, Job, Mode
from shared.cli_app import with_app
from shared.cli_options import confirm, json_option, page_options, yes_option
from shared.cli_output import Progress, show, show_list
from shared.domain import Account
from shared.errors import NotFound
from shared.events import Event
from shared.pricing import usd
from shared.records import Page, Stale

Command = TypeVar("Command", bound=Callable[..., None])

AGES = timedelta(days=3650)
"""Until then everything that is open is due."""
_TRIES = 10


class GroupView(view.View):
    """Items that go the same way: of their chunks `sent` are handed over; `rests` are the pauses
    taken in a row."""

    mode: Mode
    route: str
    items: int
    chunks: int
    sent: int
    rests: int
    rest_until: view.Time | None


class JobView(view.View):
    """A batch at a provider, which calls it `token`."""

    name: str
    state: Literal["sending", "running", "ended", "closed"]
    token: str
    outcome: str
    look_at: view.Time | None


class OperatorsBatchView(batch_view.BatchView):
    """A batch with whose it is, and what it waits for: while it is open, `due_at` is when somebody
    looks at it, or until when its `worker` may take."""

    account: str
    held_usd: str
    worker: str | None
    due_at: view.Time | None
    groups: list[GroupView]
    jobs: list[JobView]


def of_batch(batch: Batch) -> OperatorsBatchView:
    """A batch as an operator sees it."""
    return OperatorsBatchView(
        **dict(batch_view.of_batch(batch)),
        account=batch.account_id,
        held_usd=usd(batch.hold.micros),
        worker=batch.worker,
        due_at=batch.due_at if batch.open else None,
        groups=[_group(group) for group in batch.groups],
        jobs=[_job(job) for job in batch.jobs],
    )


def _account_option(command: Command) -> Command:
    return click.option("--account", "account_id", help="Whose it is: saves a search.")(command)


@click.group()
def batches() -> None:
    """Many requests as one job."""


@batches.command("list")
@click.option("--account", "account_id", help="Of this account only; --cursor wants it.")
@click.option("--open", "only_open", is_flag=True, help="Not ended yet: the longest due first.")
@page_options
@json_option
@with_app
async def list_batches(
    app: App, account_id: str | None, only_open: bool, limit: int, cursor: str | None, as_json: bool
) -> None:
    """Batches, newest first."""
    if cursor and (only_open or not account_id):
        raise click.UsageError("--cursor goes on with the list of one --account.")
    accounts, pages = await _accounts(app, account_id), list[Page[Batch]]()
    if only_open:
        found = await _longest_due(app, accounts, limit)
    else:
        pages = [await app.records.batches(one.id, None, limit, cursor) for one in accounts]
        found = sorted((b for p in pages for b in p.items), key=_created_at, reverse=True)
    listed = view.ListView[OperatorsBatchView](
        data=[of_batch(batch) for batch in found[:limit]],
        has_more=len(found) > limit or any(page.cursor for page in pages),
        next_cursor=pages[0].cursor if account_id and pages else None,
    )
    counts = ("counts.total", "counts.succeeded", "counts.failed")
    columns = ("created_at", "id", "account", "status", *counts, "cost.usd", "due_at")
    show_list(listed, columns, as_json)


@batches.command("show")
@click.argument("batch_id", metavar="BATCH")
@_account_option
@json_option
@with_app
async def show_batch(app: App, batch_id: str, account_id: str | None, as_json: bool) -> None:
    """One batch: how far it is, and what it waits for."""
    show(of_batch(await _found(app, batch_id, account_id)), as_json)


@batches.command("failures")
@click.argument("batch_id", metavar="BATCH")
@_account_option
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True)
@json_option
@with_app
async def list_failures(
    app: App, batch_id: str, account_id: str | None, limit: int, as_json: bool
) -> None:
    """The items that have failed so far, and why."""
    failed = list[batch_view.ItemView]()
    async for result in engine.results(app, await _found(app, batch_id, account_id)):
        if result.status == "failed":
            failed.append(batch_view.of_item(result, app.links, app.clock()))
        if len(failed) > limit:
            break
    listed = view.ListView[batch_view.ItemView](data=failed[:limit], has_more=len(failed) > limit)
    columns = ("custom_id", "error.code", "error.provider", "error.message")
    show_list(listed, columns, as_json)


@batches.command("watch")
@click.argument("batch_id", metavar="BATCH")
@_account_option
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.2, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to look.",
)
@json_option
@with_app
async def watch_batch(
    app: App, batch_id: str, account_id: str | None, every_s: float, as_json: bool
) -> None:
    """Wait until a batch has ended: exit 0 if it has succeeded, with failed items too."""
    try:
        batch = await watched(app, await _found(app, batch_id, account_id), every_s)
    except asyncio.CancelledError:
        click.echo(f"The batch goes on. To watch it again: {_command('watch', batch_id)}", err=True)
        raise
    show(of_batch(batch), as_json)
    if batch.status != "succeeded":
        raise click.exceptions.Exit(1)


@batches.command("retry")
@click.argument("batch_id", metavar="BATCH")
@_account_option
@click.option(
    "--force",
    is_flag=True,
    help="Even while somebody is at it: what is being made then is lost, and not charged.",
)
@yes_option
@json_option
@with_app
async def retry_batch(
    app: App, batch_id: str, account_id: str | None, force: bool, yes: bool, as_json: bool
) -> None:
    """Have a batch that is stuck looked at now: its rests end, and a dead worker's lease.

    One that has ended stays as it is. To try its failed items again is its caller's to decide, who
    pays for them: a new batch.
    """
    batch = await _found(app, batch_id, account_id)
    if force and batch.open and _taken(batch, app.clock()):
        confirm(f"Somebody is at {batch_id}: what is being made now is lost. Go on?", yes)
    for _ in range(_TRIES):
        try:
            batch = await app.records.advance_batch(_pushed(batch, app.clock(), force=force))
            break
        except Stale:
            batch = await _found(app, batch_id, batch.account_id)
    else:
        raise click.ClickException(f"{batch_id} changes all the time: somebody is at it.")
    await app.announce(Event("batch-callbacks", batch.account_id, batch.id))
    show(of_batch(batch), as_json)
    click.echo(f"It is looked at now. To watch it: {_command('watch', batch_id)}", err=True)


@batches.command("cancel")
@click.argument("batch_id", metavar="BATCH")
@_account_option
@yes_option
@json_option
@with_app
async def cancel_batch(
    app: App, batch_id: str, account_id: str | None, yes: bool, as_json: bool
) -> None:
    """Begin none of its items any more: what is made by then is delivered and charged."""
    batch = await _found(app, batch_id, account_id)
    if batch.open:
        left = batch.counts.total - batch.counts.ended
        confirm(f"{left} items of {batch_id} have not ended. Cancel it?", yes)
    show(of_batch(await engine.cancel(app, batch)), as_json)
    click.echo(f"No more is begun. To watch it: {_command('watch', batch_id)}", err=True)


async def watched(app: App, batch: Batch, every_s: float) -> Batch:
    """The batch once it has ended. Raises NotFound if it goes away."""
    with Progress() as progress:
        while True:
            now, counts = app.clock(), batch.counts
            progress.show(_state(batch), (counts.ended, counts.total), _how_far(batch, now), now)
            if not batch.open:
                return batch
            await app.sleep(every_s)
            batch = await _found(app, batch.id, batch.account_id)


async def _accounts(app: App, account_id: str | None) -> Sequence[Account]:
    """The one, or all. Raises NotFound."""
    if account_id is None:
        return await app.records.accounts()
    return [(await app.records.look(account_id, None)).account]


async def _found(app: App, batch_id: str, account_id: str | None) -> Batch:
    for account in await _accounts(app, account_id):
        if batch := await app.records.batch(account.id, batch_id):
            return batch
    whose = f" of {account_id}" if account_id else ""
    raise NotFound(f"There is no batch {batch_id}{whose}.")


async def _longest_due(app: App, accounts: Sequence[Account], limit: int) -> list[Batch]:
    """Open batches of these accounts, some more than `limit` if there are."""
    ids, most = {account.id for account in accounts}, limit + 1
    while True:
        due = await app.records.due_batches(app.clock() + AGES, most)
        found = [batch for batch in due if batch.account_id in ids]
        if len(found) > limit or len(due) < most:
            return found
        most *= 4


def _pushed(batch: Batch, now: datetime, *, force: bool) -> Batch:
    """The batch with all that can be done now due now. Raises ClickException for one that has
    ended, and for one that somebody may be at."""
    if not batch.open:
        raise click.ClickException(
            f"{batch.id} has ended: {batch.status}. Failed items go into a new batch."
        )
    taken = _taken(batch, now)
    if taken and not force:
        raise click.ClickException(
            f"Somebody is at {batch.id}, or died at it: its lease ends at {batch.due_at:%H:%M:%S}"
            " UTC. --force does not wait for that; what is being made then is lost."
        )
    groups = [replace(group, rests=0, rest_until=None) for group in batch.groups]
    jobs = [_looked_at(job, now, batch.due_at if taken else now) for job in batch.jobs]
    pushed = replace(batch, worker=None, groups=tuple(groups), jobs=tuple(jobs))
    if batch_steps.due(pushed, now) is not None:
        return replace(pushed, due_at=now)
    return replace(pushed, due_at=max(now, batch_steps.wakes_at(pushed, now)))


def _taken(batch: Batch, now: datetime) -> bool:
    """Whether somebody may be at it."""
    return batch.worker is not None and batch.due_at > now


def _looked_at(job: Job, now: datetime, alone_at: datetime) -> Job:
    """A job that is due. Whether one has arrived at its provider cannot be seen any sooner than it
    was going to be; and not before whoever is sending it has gone, or it would be sent twice."""
    if job.state == "sending":
        return replace(job, look_at=max(job.look_at or now, alone_at))
    return job if job.state == "closed" else replace(job, look_at=now)


def _state(batch: Batch) -> str:
    return "cancelling" if batch.cancelling and batch.open else batch.status


def _how_far(batch: Batch, now: datetime) -> str:
    """What became of its items, and the time since it was created."""
    counts = batch.counts
    took_s = ((batch.completed_at or now) - batch.created_at).total_seconds()
    parts = [
        f"{counts.succeeded} succeeded",
        f"{counts.failed} failed",
        *([f"{counts.cancelled} cancelled"] if counts.cancelled else []),
        str(timedelta(seconds=max(0, int(took_s)))),
    ]
    return "  ".join(parts)


def _created_at(batch: Batch) -> datetime:
    return batch.created_at


def _command(name: str, batch_id: str) -> str:
    return f"python -m shared.cli batches {name} {batch_id}"


def _group(group: Group) -> GroupView:
    return GroupView(
        mode=group.mode,
        route=group.route,
        items=group.items,
        chunks=group.chunks,
        sent=group.sent,
        rests=group.rests,
        rest_until=group.rest_until,
    )


def _job(job: Job) -> JobView:
    return JobView(
        name=job.name,
        state=job.state,
        token=job.token,
        outcome=job.outcome,
        look_at=job.look_at,
    )

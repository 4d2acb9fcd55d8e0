"""`python -m shared.cli events` and `webhooks`: what did not arrive, and having it sent again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from shared import view
from shared import webhooks as notices
from shared.app import App
from shared.cli_app import with_app
from shared.cli_options import confirm, json_option, yes_option
from shared.cli_output import counting, show, show_list
from shared.domain import Notice, NoticeState
from shared.errors import NotFound
from shared.events import Dead, Topic
from shared.records import Stale

Command = TypeVar("Command", bound=Callable[..., None])

MOST_AT_ONCE = 1000


class DeadView(view.View):
    """An event that failed too often: it told to look at `subject`."""

    id: str
    topic: Topic
    account: str
    subject: str
    tries: int
    died_at: view.Time
    error: str | None


class ReplayedView(view.View):
    """What is sent again."""

    id: str
    replayed: bool = True


class WebhookView(view.View):
    """A webhook: `due_at` is when it is tried next, `failure` how the last try failed."""

    id: str
    account: str
    subject: str
    type: str
    state: NoticeState
    tries: int
    created_at: view.Time
    due_at: view.Time | None
    failure: str | None
    url: str


def of_dead(dead: Dead) -> DeadView:
    """A dead event."""
    return DeadView(
        id=dead.id,
        topic=dead.event.topic,
        account=dead.event.account_id,
        subject=dead.event.subject,
        tries=dead.tries,
        died_at=dead.died_at,
        error=dead.error,
    )


def of_notice(notice: Notice) -> WebhookView:
    """A webhook as an operator sees it."""
    return WebhookView(
        id=notice.id,
        account=notice.account_id,
        subject=notice.subject,
        type=notice.type,
        state=notice.state,
        tries=notice.tries,
        created_at=notice.created_at,
        due_at=notice.due_at if notice.state == "due" else None,
        failure=notice.failure,
        url=notice.url,
    )


def _limit_option(command: Command) -> Command:
    most = click.IntRange(1, MOST_AT_ONCE)
    return click.option("--limit", type=most, default=20, show_default=True)(command)


def _which(command: Command) -> Command:
    """One that is named, or all."""
    every = click.option("--all", "every", is_flag=True, help="All that are dead.")
    return click.argument("name", metavar="ID", required=False)(every(command))


def _check_which(name: str | None, every: bool) -> None:
    if (name is None) != every:
        raise click.UsageError("Give one ID, or --all.")


@click.group()
def events() -> None:
    """What makes requests and batches go on."""


@events.group("dead")
def dead_events() -> None:
    """Events that failed too often: nobody tries them any more."""


@dead_events.command("list")
@_limit_option
@json_option
@with_app
async def list_dead(app: App, limit: int, as_json: bool) -> None:
    """Dead events, oldest first."""
    found = await app.events.dead(limit + 1)
    views = [of_dead(one) for one in found[:limit]]
    columns = ("died_at", "id", "topic", "account", "subject", "tries", "error")
    show_list(view.ListView(data=views, has_more=len(found) > limit), columns, as_json)


@dead_events.command("replay")
@_which
@json_option
@with_app
async def replay_event(app: App, name: str | None, every: bool, as_json: bool) -> None:
    """Deliver a dead event again, with all its tries."""
    _check_which(name, every)
    if name is not None:
        if not await app.events.replay(name):
            raise NotFound(f"There is no dead event {name}.")
        show(ReplayedView(id=name), as_json)
        return
    # Those of this moment: what dies again meanwhile is not replayed without end.
    found = await app.events.dead(MOST_AT_ONCE)
    replayed: list[ReplayedView] = []
    with counting("Events", len(found), app.clock) as one_more:
        for one in found:
            if await app.events.replay(one.id):
                replayed.append(ReplayedView(id=one.id))
            one_more()
    show_list(view.ListView(data=replayed, has_more=len(found) == MOST_AT_ONCE), ("id",), as_json)


events.add_command(replay_event, "replay")


@click.group()
def webhooks() -> None:
    """What tells callers' servers of the end of requests and batches."""


@webhooks.command("list")
@click.option("--dead", "only_dead", is_flag=True, help="Only those that are not tried any more.")
@_limit_option
@json_option
@with_app
async def list_webhooks(app: App, only_dead: bool, limit: int, as_json: bool) -> None:
    """Webhooks that have not arrived: those given up, then those that are tried again."""
    found = list(await app.records.notices("dead", limit + 1, app.clock()))
    if not only_dead:
        found += await app.records.notices("due", limit + 1)
    views = [of_notice(one) for one in found[:limit]]
    columns = ("created_at", "id", "subject", "type", "state", "tries", "due_at", "failure", "url")
    show_list(view.ListView(data=views, has_more=len(found) > limit), columns, as_json)


@webhooks.command("replay")
@_which
@yes_option
@json_option
@with_app
async def replay_webhook(app: App, name: str | None, every: bool, yes: bool, as_json: bool) -> None:
    """Send a webhook again, whatever became of it: with the next sweep, and with all its tries."""
    _check_which(name, every)
    if name is not None:
        try:
            notice = await notices.replay(app, name)
        except Stale as error:
            raise click.ClickException(f"{name} is being sent right now: look again.") from error
        if notice is None:
            raise NotFound(f"There is no webhook {name}.")
        show(of_notice(notice), as_json)
        return
    found = await app.records.notices("dead", MOST_AT_ONCE, app.clock())
    if found:
        confirm(f"Send {len(found)} webhooks to callers' servers again?", yes)
    replayed: list[WebhookView] = []
    with counting("Webhooks", len(found), app.clock) as one_more:
        for one in found:
            if again := await _replayed(app, one):
                replayed.append(again)
            one_more()
    show_list(
        view.ListView(data=replayed, has_more=len(found) == MOST_AT_ONCE),
        ("id", "subject", "url"),
        as_json,
    )


async def _replayed(app: App, notice: Notice) -> WebhookView | None:
    """None where somebody else has replayed it meanwhile."""
    try:
        again = await notices.replay(app, notice.id)
    except Stale:
        return None
    return of_notice(again) if again else None

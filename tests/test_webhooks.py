"""Webhooks out: what a receiver is sent, when it is sent again, and what holds up nobody."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from shared import batch_view, signatures, webhooks
from shared.app import App
from shared.batch_domain import Batch, Counts
from shared.domain import Hold, Notice, Quote, Record
from shared.errors import InvalidRequest
from shared.fetch import Fetcher
from shared.links import Links
from shared.records import Stale, documents
from shared.settings import Settings

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
HELD = Hold(0, (), 0, "2026-11")
URL = "https://shop.example/darkroom?for=shop"
Answer = int | Exception | Callable[[httpx.Request], Awaitable[httpx.Response]]


def record(**changed: Any) -> Record:
    """A request that has ended."""
    ended = Record(
        id="req_a",
        account_id="acc",
        key_id="key",
        operation="generate",
        status="succeeded",
        model="m",
        prompt="a lighthouse",
        parameters={},
        fingerprint="f",
        sandbox=False,
        quote=Quote({}, 0, 0),
        hold=HELD,
        created_at=NOW,
        lease_until=NOW,
        webhook_url=URL,
        completed_at=NOW,
    )
    return replace(ended, **changed)


def batch(**changed: Any) -> Batch:
    """A batch that has ended."""
    ended = Batch(
        id="bat_a",
        account_id="acc",
        key_id="key",
        status="expired",
        mode="auto",
        fingerprint="f",
        sandbox=False,
        hold=HELD,
        held_micros=0,
        listed_micros=0,
        counts=Counts(3, 2, 1),
        created_at=NOW,
        expires_at=NOW,
        due_at=NOW,
        webhook_url=URL,
        completed_at=NOW,
    )
    return replace(ended, **changed)


@dataclass
class Shelf:
    """The part of Records that webhooks need, in memory."""

    requests: dict[str, Record] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    kept: dict[str, Notice] = field(default_factory=dict)

    async def request(self, account_id: str, request_id: str) -> Record | None:
        found = self.requests.get(request_id)
        return found if found and found.account_id == account_id else None

    async def batch(self, account_id: str, batch_id: str) -> Batch | None:
        found = self.batches.get(batch_id)
        return found if found and found.account_id == account_id else None

    async def notice(self, notice_id: str, at: datetime | None = None) -> Notice | None:
        found = self.kept.get(notice_id)
        return found if found and not documents.expired(found, at) else None

    async def update_notice(self, notice: Notice) -> Notice:
        if self.kept[notice.id].version != notice.version:
            raise Stale
        self.kept[notice.id] = replace(notice, version=f"{notice.version}+")
        return self.kept[notice.id]

    async def due_notices(self, before: datetime, limit: int) -> Sequence[Notice]:
        due = [n for n in self.kept.values() if n.state == "due" and n.due_at <= before]
        return sorted(due, key=lambda n: n.due_at)[:limit]


class Receivers(httpx.AsyncBaseTransport):
    """Servers that answer, by host: each from its list in order, its last answer for ever."""

    def __init__(self, **answers: Answer | list[Answer]) -> None:
        self.answers = {k: v if isinstance(v, list) else [v] for k, v in answers.items()}
        self.got: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.got.append(request)
        left = self.answers[request.headers["host"].split(".")[0]]
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer) if isinstance(answer, int) else await answer(request)


async def anywhere(_host: str, _port: int) -> Sequence[str]:
    return ["93.184.216.34"]


async def inside(_host: str, _port: int) -> Sequence[str]:
    return ["10.0.0.1"]


class Desk:
    """As much of an App as webhooks need, and a clock that is turned by hand."""

    def __init__(self, receivers: Receivers, **changed: Any) -> None:
        self.now, self.records, self.receivers = NOW, Shelf(), receivers
        self.links = Links("https://darkroom.example", b"secret")
        self.settings = Settings(**changed)
        self.fetcher = Fetcher(transport=receivers, resolve=anywhere, timeout_s=0.05)

    def clock(self) -> datetime:
        return self.now

    @property
    def app(self) -> App:
        return cast(App, self)

    def ended(self, subject: Record | Batch) -> Notice:
        """Write down the end of something, and the notice of it."""
        if isinstance(subject, Record):
            self.records.requests[subject.id] = subject
        else:
            self.records.batches[subject.id] = subject
        notice = webhooks.notice_of(subject, self.now)
        assert notice is not None
        self.records.kept[notice.id] = notice
        return notice

    def deliver(self, notice: Notice) -> Notice:
        return asyncio.run(webhooks.deliver(self.app, notice))

    def sweep(self, limit: int = 100) -> int:
        return asyncio.run(webhooks.deliver_due(self.app, limit))

    @property
    def kept(self) -> dict[str, Notice]:
        """The notices, by what they are about."""
        return {notice.subject: notice for notice in self.records.kept.values()}


def is_ours(secret: str, headers: Mapping[str, str], body: bytes, at: datetime) -> bool:
    """What the snippet in docs/webhooks.md says at that time."""
    (snippet,) = re.findall(r"```python\n(.*?)```", Path("docs/webhooks.md").read_text(), re.S)
    names: dict[str, Any] = {}
    exec(snippet, names)  # noqa: S102 # what a reader pastes
    names["time"] = type("Clock", (), {"time": staticmethod(at.timestamp)})
    return bool(names["is_ours"](secret, headers, body))


def test_a_receiver_gets_the_object_signed_with_its_accounts_secret() -> None:
    desk = Desk(Receivers(shop=204))
    notice = desk.ended(record())
    desk.now += timedelta(seconds=3)
    told = desk.deliver(notice)
    assert (told.state, told.tries, told.failure) == ("delivered", 1, None)
    (request,) = desk.receivers.got
    assert request.method == "POST"
    assert str(request.url) == "https://93.184.216.34/darkroom?for=shop"
    assert request.headers["host"] == "shop.example"
    assert request.headers["user-agent"] == "darkroom"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == notice.id
    assert request.headers["webhook-timestamp"] == str(int(desk.now.timestamp()))
    said = json.loads(request.content)
    assert list(said) == ["type", "timestamp", "data"]
    assert said["type"] == "request.succeeded"
    assert said["timestamp"] == "2026-11-21T10:00:00.000Z"
    assert said["data"]["id"] == "req_a" and said["data"]["prompt"] == "a lighthouse"
    secret = desk.links.webhook_secret("acc")
    signatures.verify(secret, request.headers, request.content, desk.now)
    assert is_ours(secret, request.headers, request.content, desk.now)
    assert not is_ours(secret, request.headers, request.content + b" ", desk.now)
    assert not is_ours(desk.links.webhook_secret("b"), request.headers, request.content, desk.now)
    late = desk.now + timedelta(minutes=6)
    assert not is_ours(secret, request.headers, request.content, late)


def test_of_a_batch_it_gets_the_batch() -> None:
    desk = Desk(Receivers(shop=200))
    desk.deliver(desk.ended(batch()))
    said = json.loads(desk.receivers.got[0].content)
    assert said["type"] == "batch.expired"
    assert said["data"]["id"] == "bat_a" and said["data"]["object"] == "batch"
    assert said["data"]["counts"]["failed"] == 1


def test_an_accounts_secret_is_its_own_and_stays() -> None:
    links = Links("", b"secret")
    assert links.webhook_secret("a") == Links("https://x.example", b"secret").webhook_secret("a")
    others = {links.webhook_secret("b"), Links("", b"other").webhook_secret("a")}
    assert links.webhook_secret("a") not in others
    assert len(signatures.key_of(links.webhook_secret("a"))) == 32


def test_a_notices_id_follows_from_what_ended_how() -> None:
    first = webhooks.notice_of(record(), NOW)
    assert first == webhooks.notice_of(record(prompt="other"), NOW)
    assert first is not None and re.fullmatch("msg_[a-z2-7]{26}", first.id)
    others: list[Record | Batch] = [record(id="req_b"), record(status="failed")]
    others += [batch(), batch(id="req_a")]
    found = {notice.id for one in others if (notice := webhooks.notice_of(one, NOW))}
    assert len(found) == 4 and first.id not in found
    assert webhooks.notice_of(record(webhook_url=None), NOW) is None


def test_what_is_not_answered_with_a_2xx_is_sent_again_for_a_day() -> None:
    desk = Desk(Receivers(shop=500))
    notice = desk.ended(record())
    began, waits = desk.now, []
    while desk.kept["req_a"].state == "due":
        before = desk.now = desk.kept["req_a"].due_at
        desk.sweep()
        waits.append((desk.kept["req_a"].due_at - before).total_seconds())
    assert tuple(waits[:-1]) == webhooks.DELAYS_S
    assert timedelta(hours=23) < desk.now - began < timedelta(hours=24)
    dead = desk.kept["req_a"]
    assert (dead.state, dead.tries, dead.failure) == ("dead", 11, "The receiver answered 500.")
    got = desk.receivers.got
    assert {request.headers["webhook-id"] for request in got} == {notice.id}
    assert len({request.headers["webhook-timestamp"] for request in got}) == len(got) == 11
    desk.now += timedelta(days=1)
    assert desk.sweep() == 0 and len(got) == 11


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (302, "answered 302"),
        (404, "answered 404"),
        (429, "answered 429"),
        (httpx.ConnectError("refused"), "connection failed"),
        (httpx.ReadTimeout("slow"), "did not answer within"),
    ],
)
def test_a_failure_is_kept_and_the_next_try_may_do(answer: Answer, failure: str) -> None:
    desk = Desk(Receivers(shop=[answer, 200]))
    failed = desk.deliver(desk.ended(record()))
    assert (failed.state, failed.tries) == ("due", 1)
    assert failure in str(failed.failure)
    assert failed.due_at == NOW + timedelta(seconds=5)
    assert desk.deliver(failed) == failed and len(desk.receivers.got) == 1
    desk.now = failed.due_at
    told = desk.deliver(failed)
    assert (told.state, told.tries, told.failure) == ("delivered", 2, None)
    assert desk.deliver(told) == told and len(desk.receivers.got) == 2


def test_410_ends_it() -> None:
    desk = Desk(Receivers(shop=410))
    assert desk.deliver(desk.ended(record())).state == "dead"


def test_what_has_been_deleted_is_not_told() -> None:
    desk = Desk(Receivers())
    for subject in (record(), batch()):
        notice = desk.ended(subject)
        desk.records.requests.clear()
        desk.records.batches.clear()
        assert desk.deliver(notice).state == "dead"
    assert desk.receivers.got == []


def test_a_name_that_leads_inside_is_not_reached() -> None:
    desk = Desk(Receivers())
    desk.fetcher = Fetcher(transport=desk.receivers, resolve=inside)
    failed = desk.deliver(desk.ended(record()))
    assert failed.state == "due" and "public internet" in str(failed.failure)
    assert desk.receivers.got == []


def test_of_two_who_would_deliver_one_does() -> None:
    desk = Desk(Receivers(shop=200))
    notice = desk.ended(record())

    async def both() -> None:
        await asyncio.gather(*(webhooks.deliver(desk.app, notice) for _ in range(2)))

    asyncio.run(both())
    assert len(desk.receivers.got) == 1


def test_while_one_is_at_it_a_sweep_leaves_it_alone() -> None:
    async def scenario(desk: Desk, notice: Notice) -> None:
        async def meanwhile(_: httpx.Request) -> httpx.Response:
            desk.now += timedelta(seconds=59)
            assert await webhooks.deliver_due(desk.app, 10) == 0
            return httpx.Response(200)

        desk.receivers.answers["shop"] = [meanwhile, 500]
        assert (await webhooks.deliver(desk.app, notice)).state == "delivered"

    desk = Desk(Receivers())
    asyncio.run(scenario(desk, desk.ended(record())))
    assert len(desk.receivers.got) == 1


def test_what_was_written_meanwhile_is_not_overwritten() -> None:
    async def scenario(desk: Desk, notice: Notice) -> None:
        async def meanwhile(_: httpx.Request) -> httpx.Response:
            await webhooks.replay(desk.app, notice.id)
            return httpx.Response(500)

        desk.receivers.answers["shop"] = [meanwhile]
        await webhooks.deliver(desk.app, notice)

    desk = Desk(Receivers())
    asyncio.run(scenario(desk, desk.ended(record())))
    assert (desk.kept["req_a"].tries, desk.kept["req_a"].due_at) == (0, NOW)


def test_telling_delivers_the_notice_that_was_written() -> None:
    desk = Desk(Receivers(shop=200))
    asyncio.run(webhooks.tell(desk.app, record()))
    assert desk.receivers.got == []
    desk.ended(record())
    for subject in (record(), record(webhook_url=None)):
        asyncio.run(webhooks.tell(desk.app, subject))
    assert desk.kept["req_a"].state == "delivered" and len(desk.receivers.got) == 1


def test_a_receiver_that_hangs_holds_up_nobody_and_is_asked_once_a_sweep() -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    desk = Desk(Receivers(hanging=never, shop=200, broken=ValueError("ours")))
    for n in range(20):
        desk.ended(record(id=f"req_h{n}", webhook_url="https://hanging.example/"))
    desk.ended(record(id="req_x", webhook_url="https://broken.example/"))
    for n in range(20):
        desk.ended(record(id=f"req_s{n}"))
    assert desk.sweep() == 20
    hosts = [request.headers["host"] for request in desk.receivers.got]
    assert hosts.count("hanging.example") == 1
    assert hosts.count("shop.example") == 20
    hung = [desk.kept[f"req_h{n}"] for n in range(20)]
    assert {(n.state, n.tries, n.due_at) for n in hung} == {("due", 1, NOW + timedelta(seconds=5))}
    assert desk.kept["req_x"].tries == 1


def test_a_receiver_is_a_host_that_an_account_named() -> None:
    desk = Desk(Receivers(shop=httpx.ConnectError("refused")))
    for n in range(20):
        desk.ended(record(id=f"req_{n}", webhook_url=f"https://shop.example/{n}?{n}"))
    for url in ("https://SHOP.example:8443/", "https://shop.example./"):
        desk.ended(record(id=f"req_{url}", webhook_url=url))
    desk.ended(record(id="req_other", account_id="other"))
    assert desk.sweep() == 0
    assert len(desk.receivers.got) == 2
    assert {notice.tries for notice in desk.kept.values()} == {1}


def test_a_sweep_begins_nothing_after_its_time() -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        desk.now += timedelta(seconds=25)
        return httpx.Response(200)

    desk = Desk(Receivers(shop=slow))
    for n in range(5):
        desk.ended(record(id=f"req_{n}"))
    assert desk.sweep() == 3
    left = [notice for notice in desk.kept.values() if notice.state == "due"]
    assert [(notice.tries, notice.due_at) for notice in left] == [(0, NOW)] * 2
    assert desk.sweep() == 2


def test_what_breaks_every_try_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError

    desk = Desk(Receivers(shop=ValueError("ours"), fine=200))
    desk.ended(record())
    desk.ended(record(id="req_n", webhook_url="https://xn--a/"))
    desk.ended(batch(webhook_url="https://fine.example/"))
    monkeypatch.setattr(batch_view, "of_batch", broken)
    desk.ended(record(id="req_b", webhook_url="https://fine.example/"))
    for _ in range(len(webhooks.DELAYS_S) + 1):
        desk.sweep()
        desk.now += timedelta(days=1)
    ended = {subject: (n.state, n.tries) for subject, n in desk.kept.items()}
    assert ended == {
        "req_a": ("dead", 11),
        "req_n": ("dead", 11),
        "bat_a": ("dead", 11),
        "req_b": ("delivered", 1),
    }
    assert desk.kept["req_a"].failure


def test_one_that_breaks_outside_a_sweep_is_tried_again() -> None:
    desk = Desk(Receivers(shop=[ValueError("ours"), 200]))
    failed = desk.deliver(desk.ended(record()))
    assert (failed.state, failed.tries, bool(failed.failure)) == ("due", 1, True)
    desk.now = failed.due_at
    assert desk.deliver(failed).state == "delivered"


def test_a_bad_answer_to_one_says_nothing_of_the_next() -> None:
    desk = Desk(Receivers(shop=[500, 200]))
    for n in range(3):
        desk.ended(record(id=f"req_{n}"))
    assert desk.sweep() == 2


def test_a_sweep_takes_no_more_than_it_is_told_to() -> None:
    desk = Desk(Receivers(shop=200))
    for n in range(3):
        desk.ended(record(id=f"req_{n}"))
    assert [desk.sweep(2), desk.sweep(2), desk.sweep(2)] == [2, 1, 0]


def test_a_dead_one_is_replayed_with_all_its_tries() -> None:
    desk = Desk(Receivers(shop=[410, 500, 200]))
    dead = desk.deliver(desk.ended(record()))
    desk.now = dead.due_at + documents.NOTICE_LIFE
    assert asyncio.run(webhooks.replay(desk.app, dead.id)) is None
    desk.now -= timedelta(seconds=1)
    again = asyncio.run(webhooks.replay(desk.app, dead.id))
    assert again is not None
    assert (again.state, again.tries, again.due_at, again.id) == ("due", 0, desk.now, dead.id)
    assert desk.sweep() == 0
    desk.now += timedelta(seconds=5)
    assert desk.sweep() == 1
    assert asyncio.run(webhooks.replay(desk.app, "msg_unknown")) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/",
        "https://user@shop.example/",
        "https://shop.example:22/",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://169.254.169.254/",
        "https://[::1]/",
        "https://[fd00::1]/",
        "https://shop.example/" + "x" * 2000,
        "shop",
        "https://xn--a/",
    ],
)
def test_a_url_nothing_can_be_sent_to_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        webhooks.check_url(Desk(Receivers()).app, url, "webhook_url")
    assert caught.value.param == "webhook_url"


def test_other_urls_are_taken_and_in_development_private_ones_too() -> None:
    for url in (URL, "https://93.184.216.34/", "https://[2606:4700::1111]:8443/"):
        webhooks.check_url(Desk(Receivers()).app, url, "webhook_url")
    laptop = Desk(Receivers(), allow_private_urls=True).app
    webhooks.check_url(laptop, "http://127.0.0.1:9999/", "webhook_url")

"""Calling providers: what is tried again, what elsewhere, and what never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import httpx
import pytest

from shared.breaker import FAILURES, REST_S, Breaker
from shared.catalogue import Catalogue, load
from shared.domain import ImageRequest, Source
from shared.endpoints import Endpoints
from shared.errors import (
    ContentBlocked,
    Internal,
    Misconfigured,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    QuotaExceeded,
    RateLimited,
)
from shared.exchange import Errand, Exchange
from shared.fetch import Fetcher
from shared.pacer import Pacer
from shared.receiving import MAX_ANSWER_BYTES
from shared.results import Result
from shared.settings import Credential, Settings
from shared.transport import TRIES, TRIES_BEFORE_ANOTHER, Transport
from tests.meters import Meters
from tests.test_routing import two_doors
from tests.upstream import Answer, Upstream, picture, png, refusal, withheld

CATALOGUE = load()
MODEL = "gemini-3-pro-image"


def asked(**fields: object) -> ImageRequest:
    return ImageRequest(operation="generate", model=MODEL, prompt="x", **fields)  # type: ignore[arg-type] # a test's shorthand


class Run:
    """Requests through a transport whose provider follows a script and whose time stands still,
    but for `seconds`, the breaker's clock, and `now`, the meters'."""

    def __init__(self, *script: Answer, catalogue: Catalogue = CATALOGUE) -> None:
        self.upstream = Upstream(list(script))
        self.slept: list[float] = []
        self.catalogue = catalogue
        self.seconds = 0.0
        self.now = datetime(2026, 11, 21, 10, tzinfo=UTC)
        self.meters = Meters()
        self.kept_open = False
        self.breaker = Breaker(lambda: self.seconds)

    def __call__(
        self, request: ImageRequest | None = None, in_s: float = 300.0, test: bool = False
    ) -> Result:
        return asyncio.run(self.through(self.transport(), request or asked(), in_s, test))

    def transport(self) -> Transport:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        async def no_token() -> str:
            raise AssertionError

        keys = {"GEMINI": Credential("a-key"), "MIRROR": Credential("b-key")}
        return Transport(
            catalogue=self.catalogue,
            endpoints=Endpoints(self.catalogue, Settings(credentials=keys), no_token),
            exchange=Exchange(
                live=self.upstream,
                sandbox=self.upstream,
                pictures=Fetcher(transport=self.upstream),
                sleep=sleep,
            ),
            pacer=Pacer(self.meters, lambda: self.now, Random(1), sleep),
            breaker=self.breaker,
            sleep=sleep,
            random=Random(1),
        )

    async def through(
        self, transport: Transport, request: ImageRequest, in_s: float, test: bool = False
    ) -> Result:
        routes = self.catalogue.models[MODEL].routes
        mine = tuple(route for route in routes if route.provider in ("google", "mirror"))
        deadline = asyncio.get_running_loop().time() + in_s
        try:
            return await transport.run(request, mine, Errand("req_a", test, deadline))
        finally:
            if not self.kept_open:
                await transport.close()

    @property
    def spent(self) -> int:
        """What the first provider's meter has counted today."""
        meter = asyncio.run(self.meters.meter("google"))
        return meter.spent_micros

    @property
    def hosts(self) -> list[str]:
        return [call.url.host for call in self.upstream.calls]


def test_a_picture_comes_back_with_its_usage() -> None:
    run = Run(picture(png("red", 16)))
    result = run()
    assert [(p.content_type, p.width, p.height) for p in result.pictures] == [("image/png", 16, 16)]
    assert result.pictures[0].data == png("red", 16)
    assert (result.usage.input_tokens, result.usage.output_tokens) == (5, 1120)
    assert [a.outcome for a in result.attempts] == ["succeeded"]
    assert result.error is None
    call = run.upstream.calls[0]
    assert call.headers["x-goog-api-key"] == "a-key"
    assert call.headers["x-request-id"] == "req_a"


def test_several_pictures_are_several_calls_at_once() -> None:
    arrived = 0
    everybody = asyncio.Event()

    async def together(_: httpx.Request) -> httpx.Response:
        nonlocal arrived
        arrived += 1
        if arrived == 3:
            everybody.set()
        await everybody.wait()
        return picture()

    run = Run(together)
    assert len(run(asked(n=3, seed=5)).pictures) == 3
    seeds = {body["generationConfig"]["seed"] for body in run.upstream.bodies}  # type: ignore[index]
    assert seeds == {5, 6, 7}


def test_a_passing_refusal_is_tried_again_after_the_providers_delay() -> None:
    run = Run(
        refusal(429, "RESOURCE_EXHAUSTED", retry="7s"), refusal(503, "UNAVAILABLE"), picture()
    )
    result = run()
    assert len(result.pictures) == 1
    assert [a.outcome for a in result.attempts] == [
        "rate_limited",
        "provider_unavailable",
        "succeeded",
    ]
    assert 7.0 <= run.slept[0] <= 8.0
    assert 0.0 <= run.slept[1] <= 2.0


def test_trying_again_has_an_end() -> None:
    run = Run(refusal(503, "UNAVAILABLE"))
    result = run()
    assert isinstance(result.error, ProviderUnavailable)
    assert len(run.upstream.calls) == TRIES


def test_no_try_begins_after_the_callers_time() -> None:
    run = Run(refusal(429, "RESOURCE_EXHAUSTED", retry="37s"))
    result = run(in_s=30)
    assert isinstance(result.error, RateLimited)
    assert result.error.retry_after_s == 37.0
    assert len(run.upstream.calls) == 1


def test_an_internal_error_of_the_provider_is_tried_again() -> None:
    run = Run(refusal(500, "INTERNAL"), picture())
    assert len(run().pictures) == 1


@pytest.mark.parametrize(
    "lost",
    [
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("cut"),
        httpx.ReadError("reset"),
        httpx.WriteError("reset"),
        TimeoutError(),
    ],
)
def test_nothing_is_sent_again_once_the_outcome_is_unknown(lost: Exception, tmp_path: Path) -> None:
    run = Run(lost, picture(), catalogue=two_doors(tmp_path))
    result = run()
    assert isinstance(result.error, OutcomeUnknown)
    assert len(run.upstream.calls) == 1


def test_an_answer_cut_in_the_middle_is_unknown_too() -> None:
    async def cut(_: httpx.Request) -> httpx.Response:
        async def body() -> AsyncIterator[bytes]:
            yield b'{"candidates"'
            raise httpx.RemoteProtocolError("peer closed connection")

        return httpx.Response(200, content=body())

    run = Run(cut)
    assert isinstance(run().error, OutcomeUnknown)
    assert len(run.upstream.calls) == 1


@pytest.mark.parametrize("nothing_sent", [httpx.ConnectError("refused"), httpx.PoolTimeout("full")])
def test_what_was_never_sent_may_go_elsewhere(nothing_sent: Exception, tmp_path: Path) -> None:
    run = Run(*[nothing_sent] * TRIES_BEFORE_ANOTHER, picture(), catalogue=two_doors(tmp_path))
    result = run()
    assert len(result.pictures) == 1
    assert result.route.provider == "mirror"
    assert [a.provider for a in result.attempts] == ["google"] * TRIES_BEFORE_ANOTHER + ["mirror"]
    assert run.hosts[-1] == "mirror.example"
    assert run.upstream.calls[-1].headers["x-goog-api-key"] == "b-key"


def test_a_bad_key_goes_elsewhere_at_once(tmp_path: Path) -> None:
    run = Run(refusal(403, "PERMISSION_DENIED"), picture(), catalogue=two_doors(tmp_path))
    assert len(run().pictures) == 1
    assert len(run.upstream.calls) == 2


def test_refused_content_is_never_taken_elsewhere(tmp_path: Path) -> None:
    run = Run(withheld(), picture(), catalogue=two_doors(tmp_path))
    result = run()
    assert isinstance(result.error, ContentBlocked)
    assert len(run.upstream.calls) == 1


def test_some_pictures_of_several_are_kept() -> None:
    result = Run(withheld(), picture())(asked(n=3))
    assert len(result.pictures) == 2
    assert isinstance(result.error, ContentBlocked)


def test_the_gravest_of_several_errors_speaks() -> None:
    run = Run(refusal(403, "PERMISSION_DENIED"), withheld(), httpx.ReadTimeout("slow"))
    assert isinstance(run(asked(n=3)).error, OutcomeUnknown)
    assert isinstance(Run(refusal(403, "PERMISSION_DENIED"))().error, Misconfigured)


def test_bytes_that_are_no_picture_are_not_delivered() -> None:
    assert isinstance(Run(picture(b"<html>"))().error, ProviderError)


def test_an_endless_answer_is_given_up() -> None:
    read = 0

    async def endless(_: httpx.Request) -> httpx.Response:
        async def body() -> AsyncIterator[bytes]:
            nonlocal read
            while True:
                read += 2**24
                yield bytes(2**24)

        return httpx.Response(200, content=body())

    assert isinstance(Run(endless)().error, ProviderError)
    assert read <= MAX_ANSWER_BYTES + 2**25


def test_sources_too_large_for_the_body_are_uploaded_first() -> None:
    async def google(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/upload"):
            if request.headers["x-goog-upload-command"] == "start":
                url = f"https://{request.url.host}/upload/v1beta/files?upload_id=1"
                return httpx.Response(200, headers={"x-goog-upload-url": url})
            file = {"name": "files/a", "uri": "https://files.example/a", "state": "PROCESSING"}
            return httpx.Response(200, json={"file": file})
        if request.url.path.endswith("/files/a"):
            file = {"name": "files/a", "uri": "https://files.example/a", "state": "ACTIVE"}
            return httpx.Response(200, json=file)
        return picture()

    big = Source(bytes(16_000_000), "image/png", 4000, 4000)
    run = Run(google)
    request = asked(sources=(big,))
    assert len(run(request).pictures) == 1
    parts = run.upstream.bodies_of("generateContent")[0]
    assert "https://files.example/a" in parts
    assert len(parts) < 1000


def test_a_provider_has_the_time_of_its_row_and_no_more(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text('[[provider]]\nid = "google"\ntimeout_s = 0.05\n')

    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    run = Run(never, catalogue=load(overlay))
    assert isinstance(run().error, OutcomeUnknown)
    assert len(run.upstream.calls) == 1


def test_no_other_route_is_begun_after_the_callers_time(tmp_path: Path) -> None:
    run = Run(refusal(403, "PERMISSION_DENIED"), picture(), catalogue=two_doors(tmp_path))
    assert isinstance(run(in_s=0).error, Misconfigured)
    assert len(run.upstream.calls) == 1


def test_a_call_that_breaks_here_leaves_the_others_their_pictures() -> None:
    result = Run(ZeroDivisionError(), picture())(asked(n=2))
    assert len(result.pictures) == 1
    assert isinstance(result.error, Internal)


def changed(tmp_path: Path, row: str) -> Catalogue:
    """The catalogue of two doors with the first one's account changed."""
    two_doors(tmp_path)
    overlay = tmp_path / "overlay.toml"
    overlay.write_text(f'{overlay.read_text()}\n[[provider]]\nid = "google"\n{row}\n')
    return load(overlay)


def test_who_can_go_elsewhere_does_not_wait_long_for_a_busy_provider(tmp_path: Path) -> None:
    busy = refusal(429, "RESOURCE_EXHAUSTED", retry="37s")
    run = Run(busy, picture(), catalogue=two_doors(tmp_path))
    assert [a.provider for a in run().attempts] == ["google", "mirror"]
    assert run.slept == []
    alone = Run(busy, picture())
    assert [a.provider for a in alone().attempts] == ["google", "google"]


def test_a_provider_that_keeps_failing_is_left_alone_then_probed_once(tmp_path: Path) -> None:
    down = True

    async def answers(request: httpx.Request) -> httpx.Response:
        of_google = request.url.host != "mirror.example"
        return refusal(503, "UNAVAILABLE") if down and of_google else picture()

    run = Run(answers, catalogue=two_doors(tmp_path))
    for _ in range(FAILURES):
        assert "google" in {a.provider for a in run().attempts}
    assert [a.provider for a in run().attempts] == ["mirror"]
    run.seconds += REST_S
    assert "google" in {a.provider for a in run().attempts}
    assert [a.provider for a in run().attempts] == ["mirror"]
    run.seconds += REST_S
    down = False
    assert [[a.provider for a in run().attempts] for _ in range(2)] == [["google"], ["google"]]


def test_a_provider_left_alone_says_so_where_there_is_no_other() -> None:
    run = Run(refusal(503, "UNAVAILABLE"))
    for _ in range(FAILURES):
        run(asked(n=2))
    before = len(run.upstream.calls)
    error = run().error
    assert isinstance(error, ProviderUnavailable)
    assert error.retry_after_s == REST_S
    assert len(run.upstream.calls) == before


def test_a_probe_that_never_called_leaves_the_next_one_to_probe(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text(f'[[provider]]\nid = "google"\nrpm = {FAILURES}\n')
    cut = [httpx.ReadError("cut")] * FAILURES
    run = Run(*cut, picture(), catalogue=load(overlay))
    for _ in range(FAILURES):
        assert isinstance(run().error, OutcomeUnknown)
    run.seconds += REST_S
    assert isinstance(run(in_s=1).error, RateLimited)
    run.now += timedelta(minutes=1)
    assert run(in_s=1).pictures


def test_a_callers_own_fault_says_nothing_of_the_provider() -> None:
    run = Run(withheld())
    for _ in range(FAILURES + 1):
        assert isinstance(run().error, ContentBlocked)
    assert len(run.upstream.calls) == FAILURES + 1


def test_calls_a_minute_are_kept_and_more_go_elsewhere(tmp_path: Path) -> None:
    run = Run(picture(), catalogue=changed(tmp_path, "rpm = 2"))
    results = [run(in_s=30) for _ in range(3)]
    assert [r.route.provider for r in results] == ["google", "google", "mirror"]


def test_a_call_waits_for_its_turn_while_there_is_time(tmp_path: Path) -> None:
    run = Run(picture(), catalogue=changed(tmp_path, "rpm = 1"))
    assert [run().route.provider for _ in range(2)] == ["google", "google"]
    assert max(run.slept) == 60.0


def test_without_another_route_the_true_wait_is_told(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text('[[provider]]\nid = "google"\nrpm = 1\n')
    run = Run(picture(), catalogue=load(overlay))
    assert run(in_s=30).pictures
    run.now += timedelta(seconds=10)
    error = run(in_s=30).error
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == 50.0
    assert len(run.upstream.calls) == 1


def test_free_calls_come_first_and_cost_nothing(tmp_path: Path) -> None:
    row = 'free = { rpd = 2, then = "paid" }'
    run = Run(picture(), catalogue=changed(tmp_path, row))
    assert [(r.free, r.charge_micros) for r in (run(), run(), run())] == [
        (True, 0),
        (True, 0),
        (False, 134_000),
    ]


def test_a_free_call_that_was_not_taken_on_is_free_again(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text('[[provider]]\nid = "google"\nfree = { rpd = 1, then = "refused" }\n')
    run = Run(refusal(403, "PERMISSION_DENIED"), withheld(), catalogue=load(overlay))
    assert isinstance(run().error, Misconfigured)
    assert isinstance(run().error, ContentBlocked)
    assert isinstance(run().error, QuotaExceeded)
    assert len(run.upstream.calls) == 2


def test_a_days_cap_stops_a_provider_before_it_is_passed(tmp_path: Path) -> None:
    run = Run(picture(), catalogue=changed(tmp_path, 'daily_usd = "0.30"'))
    assert [run().route.provider for _ in range(3)] == ["google", "google", "mirror"]


def test_what_a_failed_call_may_have_cost_is_noted(tmp_path: Path) -> None:
    lost = Run(httpx.ReadTimeout("slow"))().attempts
    assert [a.cost_micros for a in lost] == [134_000]
    unread = Run(httpx.Response(200, text='{"candidates": [{"con'))().attempts
    assert [a.cost_micros for a in unread] == [134_000]
    blocked = Run(withheld())().attempts
    assert [a.cost_micros for a in blocked] == [0]
    done = Run(picture())().attempts
    # 5 tokens of text at $2 a million and 1,120 of a picture at $120.
    assert [a.cost_micros for a in done] == [10 + 134_400]


def test_who_charges_for_refusals_is_believed(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text(
        f'[[model]]\nid = "{MODEL}"\n[[model.routes]]\nprovider = "google"\nbills_refusals = true\n'
    )
    blocked = Run(withheld(), catalogue=load(overlay))().attempts
    assert [a.cost_micros for a in blocked] == [134_000]


def test_calls_at_once_are_limited_in_each_process(tmp_path: Path) -> None:
    most = running = 0
    two = asyncio.Event()

    async def counted(_: httpx.Request) -> httpx.Response:
        nonlocal most, running
        running += 1
        most = max(most, running)
        if running == 2:
            two.set()
        await two.wait()
        running -= 1
        return picture()

    run = Run(counted, catalogue=changed(tmp_path, "in_flight = 2"))
    assert len(run(asked(n=6)).pictures) == 6
    assert most == 2


def test_who_can_go_elsewhere_does_not_wait_for_a_place(tmp_path: Path) -> None:
    opened = asyncio.Event()

    async def answers(request: httpx.Request) -> httpx.Response:
        if request.url.host != "mirror.example":
            await opened.wait()
        else:
            opened.set()
        return picture()

    catalogue = changed(tmp_path, "in_flight = 1")
    run = Run(answers, catalogue=catalogue)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.transport._PATIENCE_S", 0.05)
        transport, run.kept_open = run.transport(), True

        async def two() -> list[Result]:
            return list(
                await asyncio.gather(*(run.through(transport, asked(), 300) for _ in range(2)))
            )

        found = asyncio.run(two())
    assert sorted(r.route.provider for r in found) == ["google", "mirror"]


def test_one_request_is_one_voice_against_a_provider() -> None:
    run = Run(refusal(500, "INTERNAL"))
    assert len(run(asked(n=3)).attempts) == 3 * TRIES
    assert len(run().attempts) == TRIES


def test_the_sandboxs_faults_say_nothing_of_a_provider() -> None:
    run = Run(refusal(503, "UNAVAILABLE"))
    for _ in range(FAILURES):
        run(test=True)
    assert run.breaker.rest_s("google") == 0


def test_the_days_cap_is_told_what_a_call_came_to(tmp_path: Path) -> None:
    run = Run(httpx.ReadError("cut"), withheld(), picture(), catalogue=changed(tmp_path, CAP))
    for spent in (134_000, 134_000, 134_000 + 134_410):
        run()
        assert run.spent == spent


CAP = 'daily_usd = "5"'

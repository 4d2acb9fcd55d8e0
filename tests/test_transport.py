"""Calling providers: what is tried again, what elsewhere, and what never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import httpx
import pytest

from shared.catalogue import Catalogue, load
from shared.domain import Endpoint, ImageRequest, Source
from shared.errors import (
    ContentBlocked,
    Internal,
    Misconfigured,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from shared.providers import Done, Pending, Remote, Upload
from shared.providers.registry import ADAPTERS
from shared.settings import Credential
from shared.transport import MAX_ANSWER_BYTES, TRIES, Errand, Result, Transport
from tests.test_routing import two_doors
from tests.upstream import Answer, Upstream, picture, png, refusal, withheld

CATALOGUE = load()
MODEL = "gemini-3-pro-image"


def asked(**fields: object) -> ImageRequest:
    return ImageRequest(operation="generate", model=MODEL, prompt="x", **fields)  # type: ignore[arg-type] # a test's shorthand


class Run:
    """One request through a transport whose provider follows a script and whose time stands
    still."""

    def __init__(self, *script: Answer, catalogue: Catalogue = CATALOGUE) -> None:
        self.upstream = Upstream(list(script))
        self.slept: list[float] = []
        self.catalogue = catalogue

    def __call__(self, request: ImageRequest | None = None, in_s: float = 300.0) -> Result:
        return asyncio.run(self._run(request or asked(), in_s))

    async def _run(self, request: ImageRequest, in_s: float) -> Result:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        transport = Transport(
            catalogue=self.catalogue,
            credentials={"GEMINI": Credential("a-key"), "MIRROR": Credential("b-key")},
            live=httpx.AsyncClient(transport=self.upstream),
            sandbox=httpx.AsyncClient(transport=self.upstream),
            sleep=sleep,
            random=Random(1),
        )
        routes = self.catalogue.models[MODEL].routes
        deadline = asyncio.get_running_loop().time() + in_s
        try:
            return await transport.run(request, routes, Errand("req_a", False, deadline))
        finally:
            await transport.close()

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
    run = Run(*[nothing_sent] * TRIES, picture(), catalogue=two_doors(tmp_path))
    result = run()
    assert len(result.pictures) == 1
    assert result.route.provider == "mirror"
    assert [a.provider for a in result.attempts] == ["google"] * TRIES + ["mirror"]
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


class Relay:
    """A wire format whose answers are an address at first pending, then a picture elsewhere."""

    poll_token = "ticket"

    def submit(self, request: ImageRequest, endpoint: Endpoint) -> httpx.Request:
        return httpx.Request("POST", f"{endpoint.base_url}/draw")

    def read(self, response: httpx.Response) -> Done | Pending:
        text = response.text
        return Pending(self.poll_token, 3.0) if text == "wait" else Done((Remote(text),))

    def poll(self, token: str, endpoint: Endpoint) -> httpx.Request:
        return httpx.Request("GET", f"{endpoint.base_url}/look/{token}")

    def uploads(self, request: ImageRequest, endpoint: Endpoint) -> tuple[Upload, ...]:
        return ()


def relayed(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, Result]:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text('[[provider]]\nid = "google"\nhosts = ["pictures.example"]\n')
    monkeypatch.setitem(ADAPTERS, "gemini", Relay())

    async def answers(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/draw":
            return httpx.Response(200, text="wait")
        if request.url.path == "/look/ticket":
            return httpx.Response(200, text=address)
        return httpx.Response(200, content=png())

    run = Run(answers, catalogue=load(overlay))
    return run, run()


def test_a_pending_answer_is_looked_at_again_and_its_picture_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, result = relayed("https://cdn.pictures.example/1.png", tmp_path, monkeypatch)
    assert [p.data for p in result.pictures] == [png()]
    assert run.slept == [3.0]
    assert "x-goog-api-key" not in run.upstream.calls[-1].headers


@pytest.mark.parametrize(
    "address",
    [
        "http://cdn.pictures.example/1.png",
        "https://pictures.example.evil.test/1.png",
        "https://notpictures.example/1.png",
        "https://169.254.169.254/",
        "https://[",
        "",
    ],
)
def test_a_picture_is_fetched_from_the_providers_own_hosts_only(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, result = relayed(address, tmp_path, monkeypatch)
    assert isinstance(result.error, ProviderError)
    assert len(run.upstream.calls) == 2

"""The only code that calls a provider: send, classify, retry, poll, download. Every loop is
bounded, by a count and by the caller's deadline, and nothing is sent again once its outcome is
unknown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

import httpx

from shared import log, pixels, routing
from shared.catalogue import Catalogue
from shared.catalogue.rows import Provider as Account
from shared.catalogue.rows import Route
from shared.domain import Attempt, Endpoint, ImageRequest, Picture, Usage
from shared.errors import (
    HTTP_STATUS,
    ContentBlocked,
    DarkroomError,
    Internal,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from shared.providers import Done, Inline, Provider, Remote
from shared.providers.registry import ADAPTERS
from shared.settings import Credential

TRIES = 4
POLLS = 240
FILE_POLLS = 20
MAX_ANSWER_BYTES = 256 * 2**20
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


@dataclass(frozen=True)
class Result:
    """What came of a request: pictures by one route, or an error, or both where only some came.
    `reply` is the first picture's answer, for a later turn."""

    route: Route
    pictures: tuple[Picture, ...]
    attempts: tuple[Attempt, ...]
    usage: Usage = Usage()
    text: str | None = None
    reply: str | None = None
    error: DarkroomError | None = None


@dataclass(frozen=True)
class Errand:
    """One request on its way: its id, for the provider's log and ours; whether it goes to the
    sandbox; and the moment on the loop's clock after which nothing new is begun."""

    id: str
    test: bool
    deadline: float


@dataclass(frozen=True)
class _Answer:
    pictures: tuple[Picture, ...]
    done: Done


class Transport:
    """Calls providers over two HTTP clients: the real one, and the sandbox in this process."""

    def __init__(
        self,
        catalogue: Catalogue,
        credentials: Mapping[str, Credential],
        live: httpx.AsyncClient,
        sandbox: httpx.AsyncClient,
        sleep: Callable[[float], Awaitable[None]],
        random: Random,
    ) -> None:
        self._catalogue = catalogue
        self._credentials = credentials
        self._live = live
        self._sandbox = sandbox
        self._sleep = sleep
        self._random = random

    def open_to(self, *, test: bool) -> frozenset[str]:
        """The providers that can be reached: all of them in the sandbox, those with a key live."""
        return frozenset(
            p.id
            for p in self._catalogue.providers.values()
            if test or (p.env in self._credentials and self._credentials[p.env].key)
        )

    async def run(self, request: ImageRequest, routes: tuple[Route, ...], errand: Errand) -> Result:
        """Try the routes in order. The next is taken only after an error that leaves nothing
        done and that another provider can cure."""
        attempts: list[Attempt] = []
        for route in routes:
            result = await self._by_route(request, route, errand, attempts)
            if result.pictures or result.error is None or not result.error.elsewhere:
                break
            if asyncio.get_running_loop().time() >= errand.deadline:
                break
        return result

    async def close(self) -> None:
        """Close both clients."""
        await self._live.aclose()
        await self._sandbox.aclose()

    async def _by_route(
        self, request: ImageRequest, route: Route, errand: Errand, attempts: list[Attempt]
    ) -> Result:
        """All the calls one route needs, at once."""
        model = self._catalogue.models[route.model]
        answers = await asyncio.gather(
            *(
                self._persist(call, route, errand, attempts)
                for call in routing.calls(request, route, model)
            )
        )
        good = [a for a in answers if isinstance(a, _Answer)]
        errors = [a for a in answers if isinstance(a, DarkroomError)]
        return Result(
            route=route,
            pictures=tuple(p for a in good for p in a.pictures),
            attempts=tuple(attempts),
            usage=_sum([a.done.usage for a in good]),
            text="\n\n".join(a.done.text for a in good if a.done.text) or None,
            reply=good[0].done.reply if good else None,
            error=max(errors, key=_gravity) if errors else _withheld(good),
        )

    async def _persist(
        self, call: ImageRequest, route: Route, errand: Errand, attempts: list[Attempt]
    ) -> _Answer | DarkroomError:
        """One call, retried while that is safe, useful and in time."""
        for tried in range(1, TRIES + 1):
            started = time.monotonic()
            try:
                answer = await self._exchange(call, route, errand)
            except Exception as fault:
                error = _known(fault)
                error.provider = route.provider
                self._note(attempts, route, error.code, error.details.get(HTTP_STATUS), started)
                wait_s = self._wait_s(error, tried)
                if wait_s is None or asyncio.get_running_loop().time() + wait_s >= errand.deadline:
                    return error
                await self._sleep(wait_s)
            else:
                self._note(attempts, route, "succeeded", 200, started)
                return answer
        raise AssertionError("the last try always returns")

    def _note(
        self, attempts: list[Attempt], route: Route, outcome: str, status: object, started: float
    ) -> None:
        latency_ms = round((time.monotonic() - started) * 1000)
        code = status if isinstance(status, int) else None
        attempts.append(Attempt(route.provider, outcome, code, latency_ms))
        log.event(
            "provider.answered",
            severity="INFO" if outcome == "succeeded" else "WARNING",
            provider=route.provider,
            model=route.model,
            outcome=outcome,
            latency_ms=latency_ms,
        )

    def _wait_s(self, error: DarkroomError, tried: int) -> float | None:
        """How long to wait before the next try; None when there must be none."""
        again = type(error) in (RateLimited, ProviderUnavailable) or (
            isinstance(error, ProviderError) and error.details.get(HTTP_STATUS) == 500
        )
        if not again or tried == TRIES:
            return None
        longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (tried - 1))
        return (error.retry_after_s or 0.0) + self._random.uniform(0, longest)

    async def _exchange(self, call: ImageRequest, route: Route, errand: Errand) -> _Answer:
        """One answer, in the time its provider's row allows."""
        account = self._catalogue.providers[route.provider]
        try:
            async with asyncio.timeout(account.timeout_s):
                return await self._answer(call, route, account, errand)
        except TimeoutError as error:
            raise OutcomeUnknown(
                f"{account.name} had not answered after {account.timeout_s:g} seconds.",
            ) from error

    async def _answer(
        self, call: ImageRequest, route: Route, account: Account, errand: Errand
    ) -> _Answer:
        """Upload what is too large, ask, and follow up until the answer is finished."""
        endpoint = self._endpoint(account, route, test=errand.test)
        adapter = ADAPTERS[route.wire]
        call = await self._upload(call, adapter, endpoint, account, errand)
        # Both may take a while: pictures are packed and unpacked there.
        request = await asyncio.to_thread(adapter.submit, call, endpoint)
        response = await self._send(request, account, errand)
        outcome = await asyncio.to_thread(adapter.read, response)
        for _ in range(POLLS):
            if isinstance(outcome, Done):
                return await self._collect(outcome, account, errand)
            await self._sleep(outcome.after_s)
            response = await self._send(adapter.poll(outcome.token, endpoint), account, errand)
            outcome = await asyncio.to_thread(adapter.read, response)
        raise OutcomeUnknown(f"{account.name} had not finished after {POLLS} looks.")

    def _endpoint(self, account: Account, route: Route, *, test: bool) -> Endpoint:
        if test:
            base_url, key = f"http://sandbox/{account.sandbox}", "sandbox"
        else:
            credential = self._credentials[account.env]
            base_url, key = credential.base_url or account.base_url, credential.key or ""
        return Endpoint(base_url, account.version, route.wire_model, key)

    async def _upload(
        self,
        call: ImageRequest,
        adapter: Provider,
        endpoint: Endpoint,
        account: Account,
        errand: Errand,
    ) -> ImageRequest:
        """Put sources that are too large for the body where the provider keeps files."""
        sources = list(call.sources)
        for upload in adapter.uploads(call, endpoint):
            source, files = sources[upload.source], upload.files
            opened = await self._send(upload.start, account, errand)
            sending = files.send(opened, source.data, endpoint)
            file = files.read(await self._send(sending, account, errand))
            for _ in range(FILE_POLLS):
                if file.ready:
                    break
                await self._sleep(1.0)
                looking = files.get(file.name, endpoint)
                file = files.read(await self._send(looking, account, errand))
            sources[upload.source] = replace(source, uri=file.uri)
        return replace(call, sources=tuple(sources))

    async def _collect(self, done: Done, account: Account, errand: Errand) -> _Answer:
        """The pictures of an answer, fetched where they are remote, and seen to be pictures."""
        data = await asyncio.gather(*(self._bytes(i, account, errand) for i in done.images))
        pictures = []
        for item in data:
            seen = await asyncio.to_thread(pixels.measure, item)
            if seen is not None:
                pictures.append(seen)
        if not pictures:
            raise ProviderError(f"{account.name} sent something that is not a picture.")
        return _Answer(tuple(pictures), done)

    async def _bytes(self, image: Inline | Remote, account: Account, errand: Errand) -> bytes:
        if isinstance(image, Inline):
            return image.data
        try:
            url = httpx.URL(image.url)
        except httpx.InvalidURL as error:
            raise ProviderError(f"{account.name} pointed to no valid address.") from error
        own = any(url.host == h or url.host.endswith(f".{h}") for h in account.hosts)
        if url.scheme != "https" or not own:
            raise ProviderError(f"{account.name} pointed to an address outside its own hosts.")
        response = await self._send(httpx.Request("GET", url), account, errand)
        if response.status_code != 200:
            raise ProviderError(f"{account.name}'s picture could not be fetched.")
        return response.content

    async def _send(
        self, request: httpx.Request, account: Account, errand: Errand
    ) -> httpx.Response:
        """One HTTP exchange, whatever its status. Raises ProviderUnavailable when nothing was
        sent, OutcomeUnknown when no whole answer came back."""
        client = self._sandbox if errand.test else self._live
        request.headers["x-request-id"] = errand.id
        try:
            return await _receive(client, request)
        except _NOT_SENT as error:
            raise ProviderUnavailable(
                f"{account.name} cannot be reached.", private=repr(error)
            ) from error
        except httpx.TransportError as error:
            raise OutcomeUnknown(
                f"{account.name} did not answer after the request was sent. It was not sent again.",
                private=repr(error),
            ) from error


async def _receive(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """The whole answer, decompressed and at most MAX_ANSWER_BYTES long."""
    response = await client.send(request, stream=True)
    try:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise ProviderError("The provider's answer is too long.")
    except httpx.DecodingError as error:
        raise ProviderError("The provider's answer cannot be decompressed.") from error
    finally:
        await response.aclose()
    headers = [
        (k, v)
        for k, v in response.headers.multi_items()
        if k not in ("content-encoding", "content-length", "transfer-encoding")
    ]
    return httpx.Response(
        response.status_code, headers=headers, content=bytes(body), request=request
    )


def _known(fault: Exception) -> DarkroomError:
    """An error of ours for whatever went wrong in a call."""
    if isinstance(fault, DarkroomError):
        return fault
    log.crash("provider.call_crashed", fault)
    return Internal("Something broke here. Nothing was charged.")


def _withheld(answers: list[_Answer]) -> ContentBlocked | None:
    """What a filter kept back of answers that still brought pictures."""
    reasons = [a.done.reason for a in answers if a.done.withheld]
    return ContentBlocked(reasons[0] or "The rest was withheld.") if reasons else None


def _gravity(error: DarkroomError) -> int:
    """Which of several calls' errors speaks for all: one that forbids another try first."""
    if isinstance(error, OutcomeUnknown):
        return 2
    return 0 if error.elsewhere else 1


def _sum(usages: list[Usage]) -> Usage:
    return Usage(
        input_tokens=sum(u.input_tokens for u in usages),
        output_tokens=sum(u.output_tokens for u in usages),
        thought_tokens=sum(u.thought_tokens for u in usages),
        image_tokens=sum(u.image_tokens for u in usages),
        images=sum(u.images for u in usages),
    )

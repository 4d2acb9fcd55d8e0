"""Whether a Darkroom works, seen from outside: `python -m tests.smoke` after a deployment, or
against `make run`.

It makes an account "smoke" unless there is one, and a test key, as the command line does; with the
key it has pictures made by the sandbox, at DARKROOM_PUBLIC_URL, and then revokes it. Nothing costs
anything. A line tells of each check; exit 1 if one failed. The settings are those of the command
line: from the environment, or from a file with what `terraform output -json operator_env` printed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from shared import local
from shared.accounts import key_hash, new_key
from shared.app import App, build
from shared.catalogue import BadCatalogue
from shared.domain import Account, ApiKey
from shared.settings import BadSettings, Settings

ACCOUNT_ID = "acc_smoke"
PROMPT = "a lighthouse in fog"
YOUNG = {403, 404, 500, 502, 503, 504}
"""What may be answered before a function's rights and its address have arrived everywhere."""
NO_KEY = {"authorization": ""}
ANSWER_S = 120.0


class Failed(Exception):
    """What is not as it has to be."""


class Unreachable(Failed):
    """Nobody answers."""


@dataclass(frozen=True)
class Waits:
    """How long is waited: for functions that have only just been deployed, from the start; and for
    a request that nobody waits for, whose lost message `sweep` makes up for after two minutes."""

    ready_s: float = 120.0
    ended_s: float = 300.0
    every_s: float = 2.0


@dataclass
class Site:
    """What is tested: its address and a test key are in the client."""

    client: httpx.AsyncClient
    waits: Waits = Waits()
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    def passed_s(self) -> float:
        """Since the start."""
        return asyncio.get_running_loop().time() - self.began

    async def ask(self, method: str, path: str, **asked: Any) -> httpx.Response:
        """An answer; as long as functions may be young, theirs is not the last word."""
        while True:
            young = self.passed_s() < self.waits.ready_s
            try:
                answer = await self.client.request(method, path, **asked)
                if not young or answer.status_code not in YOUNG:
                    return answer
            except httpx.TransportError as error:
                if not young:
                    raise Unreachable(f"no answer: {error or type(error).__name__}") from error
            await asyncio.sleep(self.waits.every_s)


def told(answer: httpx.Response, status: int) -> Any:
    """The JSON of an answer that has to have this status. Raises Failed."""
    asked = f"{answer.request.method} {answer.request.url}"
    if answer.status_code != status:
        raise Failed(f"{asked} answered {answer.status_code}, not {status}: {answer.text[:300]!r}")
    try:
        return answer.json()
    except ValueError as error:
        raise Failed(f"{asked} answered no JSON: {answer.text[:300]!r}") from error


async def lists_models(site: Site) -> str:
    """The catalogue is public."""
    return f"{len(told(await site.ask('GET', '/models'), 200)['data'])} models"


async def makes_a_picture(site: Site) -> str:
    """A caller who waits gets a picture."""
    answer = await site.ask("POST", "/generate", json=await _order(site))
    return await _picture(site, told(answer, 200))


async def makes_a_picture_later(site: Site) -> str:
    """A caller who does not wait gets one too: a message, or else the sweep, has it made."""
    began, prefer = site.passed_s(), {"prefer": "respond-async"}
    answer = await site.ask("POST", "/generate", json=await _order(site), headers=prefer)
    made = told(answer, 202)
    while made["status"] in ("queued", "running"):
        if site.passed_s() - began > site.waits.ended_s:
            raise Failed(f"{made['id']} is still {made['status']} after {site.waits.ended_s:.0f} s")
        await asyncio.sleep(site.waits.every_s)
        made = told(await site.ask("GET", f"/account/requests/{made['id']}"), 200)
    return f"{await _picture(site, made)}, after {site.passed_s() - began:.0f} s"


async def refuses_without_a_key(site: Site) -> str:
    """Nobody gets a picture without a key."""
    order = {"model": "any", "prompt": PROMPT}
    answer = await site.ask("POST", "/generate", json=order, headers=NO_KEY)
    refused = told(answer, 401)
    return str(refused["error"]["code"])


@dataclass(frozen=True)
class Check:
    """What is tried, and whose logs say why it failed."""

    name: str
    tried: Callable[[Site], Awaitable[str]]
    services: tuple[str, ...]


CHECKS = (
    Check("GET /models", lists_models, ("models",)),
    Check("POST /generate", makes_a_picture, ("generate", "account")),
    Check("POST /generate without a key", refuses_without_a_key, ("generate",)),
    Check("POST /generate, made later", makes_a_picture_later, ("run-request", "sweep")),
)


async def _order(site: Site) -> dict[str, str]:
    query = {"operation": "generate", "sort": "price"}
    models = told(await site.ask("GET", "/models", params=query), 200)["data"]
    return {"model": models[0]["id"], "prompt": PROMPT}


async def _picture(site: Site, made: Mapping[str, Any]) -> str:
    """Download a request's picture and open it. Raises Failed."""
    if made["status"] != "succeeded" or not made["sandbox"]:
        raise Failed(f"{made['id']} {made['status']}, sandbox {made['sandbox']}: {made['error']}")
    promised, which = made["images"][0], f"the picture of {made['id']}"
    # As a browser would, by the link alone.
    answer = await site.ask("GET", promised["url"], headers=NO_KEY)
    if answer.status_code != 200:
        raise Failed(f"{which} answered {answer.status_code}: {answer.text[:300]!r}")
    try:
        picture = Image.open(io.BytesIO(answer.content))
        picture.load()
    except (OSError, SyntaxError) as error:
        raise Failed(f"{which} cannot be opened: {error}") from error
    if picture.size != (promised["width"], promised["height"]):
        raise Failed(f"{which} is {picture.size}, not as promised")
    return f"{picture.format} of {picture.width}x{picture.height} by {made['model']}"


async def failed(site: Site, project: str | None) -> int:
    """Try everything, tell of it line by line; how many checks failed."""
    wrong = 0
    for check in CHECKS:
        look = _logs(project, check.services)
        try:
            told_us = await check.tried(site)
        except Unreachable as failure:
            why = str(failure)
            look = "the address; a domain needs its DNS record, then an hour for its certificate"
        except Failed as failure:
            why = str(failure)
        except (KeyError, IndexError, TypeError) as error:
            why = f"an answer is not as the API's description says: {error!r}"
        else:
            say(f"ok      {check.name}: {told_us}")
            continue
        wrong += 1
        say(f"FAILED  {check.name}: {why}")
        say(f"        look at {look}")
    return wrong


def _logs(project: str | None, services: tuple[str, ...]) -> str:
    if project is None:
        return "what the server prints"
    named = " OR ".join(f'"{service}"' for service in services)
    return (
        f"gcloud logging read 'resource.labels.service_name=({named}) AND severity>=WARNING' "
        f"--freshness=30m --project={project}"
    )


@contextlib.asynccontextmanager
async def fresh_key(app: App) -> AsyncIterator[str]:
    """A test key of the account "smoke" that opens nothing after the block, whatever happens.
    Raises Failed."""
    key = new_key(test=True)
    kept = ApiKey(f"key_{app.new_id()}", key_hash(key), ACCOUNT_ID, True, app.clock())
    try:
        if await app.records.account(ACCOUNT_ID) is None:
            account = Account(ACCOUNT_ID, "smoke", app.clock(), shards=app.wallet_shards)
            await app.records.create_account(account)
        await app.records.create_key(kept)
    except Exception as error:
        raise Failed(
            f"no test key could be made: {error}\n        look at your rights: the credentials of "
            "`gcloud auth application-default login` need roles/datastore.user"
        ) from error
    try:
        yield key
    finally:
        try:
            await app.records.revoke_key(kept.id, app.clock())
        except Exception as error:
            raise Failed(
                f"the test key was not revoked: {error}\n        run: python -m shared.cli keys "
                f"revoke {kept.id}"
            ) from error


async def smoke(settings: Settings, waits: Waits) -> int:
    """How many checks failed."""
    say(f"        {settings.public_url} as {ACCOUNT_ID}")
    # A pipeline that has run out of time says so with SIGTERM: the key is revoked then too.
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    app = build(local.completed(settings), signs=False)
    try:
        async with (
            fresh_key(app) as key,
            httpx.AsyncClient(
                base_url=settings.public_url,
                headers={"authorization": f"Bearer {key}"},
                timeout=ANSWER_S,
            ) as client,
        ):
            return await failed(Site(client, waits), settings.project)
    finally:
        await app.close()


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Check what the settings name; exit 1 if anything is not as it has to be."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.smoke",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("env", nargs="?", type=Path, help="a file of settings, as JSON")
    parser.add_argument("--ready-s", type=float, default=Waits.ready_s)
    parser.add_argument("--ended-s", type=float, default=Waits.ended_s)
    asked = parser.parse_args()
    try:
        named = json.loads(asked.env.read_text()) if asked.env else {}
        settings = Settings.from_env({**os.environ, **named})
        wrong = asyncio.run(smoke(settings, Waits(asked.ready_s, asked.ended_s)))
    except (BadSettings, BadCatalogue, OSError, json.JSONDecodeError) as error:
        sys.exit(f"FAILED  the settings: {error}")
    except Failed as failure:
        sys.exit(f"FAILED  {failure}")
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.exit("FAILED  stopped before the end")
    sys.exit(f"FAILED  {wrong} of {len(CHECKS)} checks" if wrong else 0)


if __name__ == "__main__":
    main()

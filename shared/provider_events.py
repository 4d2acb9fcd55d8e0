"""What providers tell us unasked: that a batch of ours is done. It only makes somebody look at it
sooner, so nothing is lost where a provider tells nothing, or twice.

They sign in one of two ways: with a secret that the operator set (Standard Webhooks), or with a
token whose keys lie at the provider's own address (ai.google.dev "Webhooks", 2026-10: webhooks that
are named when a batch is made). Such a token anybody may be given who lets the provider call them,
so the most that comes of a call is a look at a batch whose name the caller knew.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from pydantic import BaseModel, ConfigDict

from shared import log, names, signatures
from shared.app import App
from shared.catalogue.rows import Provider
from shared.errors import NotFound
from shared.events import Event
from shared.jwks import Jwks, is_token
from shared.providers.registry import BATCHES
from shared.settings import Credential


class _Owner(BaseModel):
    """Whose a provider's batch is, as it is kept in storage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account: str
    batch: str


async def expect(app: App, provider_id: str, token: str, account_id: str, batch_id: str) -> None:
    """Have `receive` know a provider's batch by the provider's name for it."""
    data = _Owner(account=account_id, batch=batch_id).model_dump_json().encode()
    await app.storage.put(names.job(provider_id, token), data, "application/json", {})


async def receive(
    app: App, jwks: Jwks, provider_id: str, headers: Mapping[str, str], body: bytes
) -> None:
    """Publish that a batch is to be looked at, once for each webhook-id; nothing for what is none
    of ours. Raises NotFound for a provider that sends us nothing, Unauthenticated, and
    ProviderUnavailable where it should try again."""
    account = app.catalogue.providers.get(provider_id)
    wires = _wires(app, provider_id)
    if account is None or not wires:
        raise _nothing_from(provider_id)
    await _verify(app, jwks, account, headers, body)
    tokens = [BATCHES[wire].read_event(body) for wire in wires]
    token = next((token for token in tokens if token is not None), None)
    owner = await app.storage.get(names.job(provider_id, token)) if token else None
    log.event("provider_webhook.received", provider=provider_id, known=owner is not None)
    if owner is None:
        return
    mark = names.webhook(provider_id, headers["webhook-id"])
    if not await app.storage.put(mark, b"", "text/plain", {}):
        return
    found = _Owner.model_validate_json(owner.data)
    try:
        await app.events.publish(Event("batch-callbacks", found.account, found.batch))
    except BaseException:
        # Whoever is told that it failed sends it again, and must not meet the mark then.
        await app.storage.delete(mark)
        raise


async def _verify(
    app: App, jwks: Jwks, account: Provider, headers: Mapping[str, str], body: bytes
) -> None:
    credential = app.settings.credentials.get(account.env, Credential())
    signature, now = headers.get("webhook-signature", ""), app.clock()
    if is_token(signature):
        signatures.check_time(headers, now)
        # The operator's own address: it may be a private one, as calls to it may.
        get = partial(app.fetcher.fetch, field="webhook-signature", own=True)
        await jwks.verify(signature, _keys_url(account, credential), get, now)
    elif credential.webhook_secret is None:
        raise _nothing_from(account.id)
    else:
        signatures.verify(credential.webhook_secret, headers, body, now)


def _wires(app: App, provider_id: str) -> set[str]:
    """The wire formats of a provider's routes that have a batch API."""
    return {
        route.wire
        for model in app.catalogue.models.values()
        for route in model.routes
        if route.provider == provider_id and route.wire in BATCHES
    }


def _keys_url(account: Provider, credential: Credential) -> str:
    base_url = (credential.base_url or account.base_url).removesuffix(f"/{account.version}")
    return f"{base_url}/.well-known/jwks.json"


def _nothing_from(provider_id: str) -> NotFound:
    return NotFound(f"No webhooks of {provider_id!r} are taken here.")

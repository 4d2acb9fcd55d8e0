"""`/provider_webhook/{provider}`: a provider says that a batch is done. Public, for the signature
says who it is."""

from __future__ import annotations

import functions_framework.aio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from functions import http
from shared import provider_events
from shared.jwks import Jwks

_JWKS = Jwks()


async def receive(request: Request) -> Response:
    """204 whatever comes of it; anything else makes the provider send it again."""
    provider_id = request.path_params["provider_id"]
    body = await http.body(request, http.MAX_PUBLIC_BODY_BYTES)
    await provider_events.receive(http.app(), _JWKS, provider_id, request.headers, body)
    return Response(status_code=204)


APP = http.routes("provider_webhook", [("POST", "/{provider_id}", receive)])


@functions_framework.aio.http
async def provider_webhook(_request: Request) -> Starlette:
    """The deployed function."""
    return APP

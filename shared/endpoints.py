"""Where each provider account is reached, and with which key: the catalogue's rows, changed by what
the operator set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from shared.catalogue import Catalogue
from shared.catalogue.rows import Provider, Route
from shared.domain import Endpoint
from shared.settings import Credential, Settings

Token = Callable[[], Awaitable[str]]
"""A fresh access token of the service account this runs as. Raises Misconfigured."""


class Endpoints:
    """The endpoints of all routes; those of test keys lead to the sandbox. A provider whose key
    only other functions have is open all the same: they make what is admitted here."""

    def __init__(
        self,
        catalogue: Catalogue,
        settings: Settings,
        token: Token,
    ) -> None:
        self._catalogue = catalogue
        self._credentials = settings.credentials
        self._elsewhere = settings.providers
        self._project = settings.project
        self._token = token

    def open_to(self, *, test: bool) -> frozenset[str]:
        """The providers that can be reached: all of them in the sandbox, those with a key live."""
        providers = self._catalogue.providers.values()
        return frozenset(p.id for p in providers if test or self._opened(p))

    async def of(self, route: Route, *, test: bool) -> Endpoint:
        """The endpoint of a route whose provider is open. Raises Misconfigured."""
        account = self._catalogue.providers[route.provider]
        version = account.version if route.version is None else route.version
        credential = self._credentials.get(account.env, Credential())
        if test:
            base_url, key = f"http://sandbox/{account.sandbox}", "sandbox"
            places = {"project": "sandbox", "location": "global"}
        else:
            base_url = credential.base_url or _regional(account, credential.location)
            places = {"project": self._project or "", "location": credential.location or ""}
            key = await self._key(account, credential)
        version, usual = version.format(**places), account.version.format(**places)
        return Endpoint(
            # Many write the version as part of the address, as the vendors' SDKs do.
            base_url=base_url.removesuffix(f"/{version}").removesuffix(f"/{usual}"),
            version=version,
            wire_model=route.wire_model,
            key=key,
            auth=account.auth,
            dialect=route.dialect,
        )

    def _opened(self, account: Provider) -> bool:
        credential = self._credentials.get(account.env, Credential())
        if account.env in self._elsewhere:
            return True
        if account.auth == "service-account":
            return bool(credential.location and self._project)
        return bool(credential.key)

    async def _key(self, account: Provider, credential: Credential) -> str:
        if account.auth == "service-account":
            return await self._token()
        return credential.key or ""


def _regional(account: Provider, location: str | None) -> str:
    if location in (None, "global") or not account.regional_base_url:
        return account.base_url
    return account.regional_base_url.format(location=location)

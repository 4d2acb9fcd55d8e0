"""Request → ordered routes, pure and explainable: every route left out has a reason."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

from shared import capabilities, pricing, sizes
from shared.catalogue import Catalogue
from shared.catalogue.rows import Model, Route
from shared.domain import ImageRequest, Json
from shared.errors import InvalidRequest, Misconfigured

AUTO = "auto"
SEEDS = 2**31
DEARER = 2
"""How many times the first choice of "auto" another may cost."""
_REASONS = 6
_NOT_WANTED = "not among route.providers"


@dataclass(frozen=True)
class Exclusion:
    """A route that will not be used, and why: `param` is the field its model cannot do, `unset`
    the variable that its provider's key is missing from."""

    model: str
    provider: str
    reason: str
    param: str | None = None
    unset: str | None = None


@dataclass(frozen=True)
class Plan:
    """Routes in the order they will be tried, and those left out."""

    routes: tuple[Route, ...]
    excluded: tuple[Exclusion, ...] = ()


def plan(request: ImageRequest, catalogue: Catalogue, open_: Container[str], today: date) -> Plan:
    """The routes of the model asked for, or of every model for "auto". `open_` holds the
    providers that can be reached. Raises NotFound, ModelRetired, InvalidRequest, and
    Misconfigured when no provider of a fitting model can be reached."""
    if first := recommended(request, catalogue, open_, today):
        return first if request.fallback else replace(first, routes=first.routes[:1])
    if request.model == AUTO:
        models = list(catalogue.models.values())
    else:
        models = [catalogue.resolve(request.model, today)]
        capabilities.check(request, models[0], catalogue, today)
    found = consider(request, catalogue, models, open_, today)
    if not found.routes:
        able = consider(request, catalogue, list(catalogue.models.values()), open_, today).routes
        raise _nothing(request, found, tuple(dict.fromkeys(route.model for route in able)))
    if request.model == AUTO:
        found = _not_much_dearer(request, found, catalogue)
    return found if request.fallback else replace(found, routes=found.routes[:1])


def recommended(
    request: ImageRequest, catalogue: Catalogue, open_: Container[str], today: date
) -> Plan | None:
    """The routes of the model that its template recommends, as if it were asked for; None where
    that is not left to us, or it has none here."""
    if request.model != AUTO or request.recommended is None:
        return None
    model = catalogue.standing(request.recommended, today)
    if model is None:
        return None
    found = consider(replace(request, model=model.id), catalogue, [model], open_, today)
    return found if found.routes else None


def consider(
    request: ImageRequest,
    catalogue: Catalogue,
    models: list[Model],
    open_: Container[str],
    today: date,
) -> Plan:
    """Every route of these models, sorted into usable ones, best first, and the rest. Raises
    InvalidRequest for a provider that there is not."""
    _check_providers(request, catalogue)
    routes: list[Route] = []
    excluded: list[Exclusion] = []
    for model in models:
        for route in model.routes:
            excludes = _why_not(request, catalogue, route, open_, today)
            if excludes is None:
                routes.append(route)
            else:
                excluded.append(excludes)
    return Plan(tuple(sorted(routes, key=_order(request, catalogue))), tuple(excluded))


def calls(request: ImageRequest, route: Route, offer: Model) -> Iterator[ImageRequest]:
    """The request as the calls a route needs for it, each fitted to what the route offers: its
    share of the pictures, a seed of its own, the size and quality, a resolution only where there is
    a choice, a format only where the provider makes it, and sketches only where it streams."""
    start, size = 0, sizes.size_of(request, offer)
    resolution, ratio = sizes.resolution_of(request, offer), sizes.ratio_of(request, offer)
    made = request.output_format in route.makes
    sketches = request.partial_images if offer.streaming else 0
    # A stream is of one picture: several at once are refused.
    most = 1 if sketches else route.images_per_call
    while start < request.n:
        count = min(most, request.n - start)
        yield replace(
            request,
            model=offer.id,
            n=count,
            seed=None if request.seed is None else (request.seed + start) % SEEDS,
            resolution=resolution if len(offer.resolutions) > 1 else None,
            # Left out, some providers choose what costs more than our default.
            quality=request.quality or next(iter(offer.qualities), None),
            size=size,
            size_name=route.size_names.get(ratio or "", {}).get(resolution),
            output_format=request.output_format if made else None,
            output_quality=request.output_quality if made else None,
            partial_images=sketches,
            options={k: v for k, v in request.options.items() if k != "size"},
        )
        start += count


def _check_providers(request: ImageRequest, catalogue: Catalogue) -> None:
    for provider in request.providers:
        if provider not in catalogue.providers:
            known = ", ".join(catalogue.providers)
            raise InvalidRequest(
                f"There is no provider named {provider!r}: there are {known}.",
                param="route.providers",
            )


def _why_not(
    request: ImageRequest,
    catalogue: Catalogue,
    route: Route,
    open_: Container[str],
    today: date,
) -> Exclusion | None:
    offer, provider = catalogue.offer(route), catalogue.providers[route.provider]
    excluded = Exclusion(offer.id, provider.id, "")
    if not route.live(today):
        since = f" on {route.shutdown}" if route.shutdown else ""
        return replace(excluded, reason=f"retired{since}")
    misfit = next(capabilities.misfits(request, offer), None)
    if misfit is not None:
        reason = f"{misfit.param}: it {misfit.reason}"
        return replace(excluded, reason=reason, param=misfit.param)
    if request.providers and provider.id not in request.providers:
        return replace(excluded, reason=_NOT_WANTED)
    if provider.id not in open_:
        unset = provider.opened_by
        return replace(excluded, reason=f"{unset} is not set", unset=unset)
    return None


def _order(request: ImageRequest, catalogue: Catalogue) -> Callable[[Route], tuple[float, ...]]:
    """Sort key. "auto" means cheapest unless speed is preferred; a named model keeps its rows'
    order unless something is. Deprecated routes come after others that are equal."""

    def key(route: Route) -> tuple[float, ...]:
        seconds = catalogue.offer(route).typical_seconds
        cost, aging = _cost(request, route, catalogue), route.status == "deprecated"
        if request.prefer == "speed":
            return (seconds, cost, aging)
        if request.prefer == "cost" or request.model == AUTO:
            return (cost, aging, seconds)
        return ()

    return key


def _not_much_dearer(request: ImageRequest, found: Plan, catalogue: Catalogue) -> Plan:
    """Without the routes that cost much more than the first: whoever leaves the choice to us pays
    for the first choice, or for another like it where that one fails."""
    most = DEARER * _cost(request, found.routes[0], catalogue)
    dearer = [r for r in found.routes if _cost(request, r, catalogue) > most]
    why = f"it costs more than {DEARER} times the first choice"
    return Plan(
        tuple(r for r in found.routes if r not in dearer),
        (*found.excluded, *(Exclusion(r.model, r.provider, why) for r in dearer)),
    )


def _cost(request: ImageRequest, route: Route, catalogue: Catalogue) -> int:
    return pricing.unit_micros(request, route, catalogue)


def _nothing(
    request: ImageRequest, found: Plan, able: tuple[str, ...]
) -> InvalidRequest | Misconfigured:
    """Why no route is left, and which models have one."""
    reasons = [f"{e.model} at {e.provider}: {e.reason}" for e in found.excluded]
    details: Mapping[str, Json] = {"excluded": reasons, "models": able}
    unset = [e.unset for e in found.excluded if e.unset]
    if unset and not request.providers:
        return Misconfigured(
            "No provider of this model has a key in this deployment. Ask its operator to set "
            f"{unset[0]}, or use a test key.",
            details=details,
        )
    # What every model fails at is the caller's to change; else it is the choice of routes.
    unable = [e for e in found.excluded if e.param]
    params = {e.param for e in unable}
    param = params.pop() if len(params) == 1 else "model"
    wanted = [e for e in unable or found.excluded if e.reason != _NOT_WANTED] or found.excluded
    several = request.model == AUTO
    whys = dict.fromkeys(f"{e.model if several else e.provider}: {e.reason}" for e in wanted)
    shown = "; ".join([*list(whys)[:_REASONS], *(["and so on"] if len(whys) > _REASONS else [])])
    return InvalidRequest(
        f"No live route can do this request. {shown}."
        + (f" Models that can: {', '.join(able)}." if able else ""),
        param="route.providers" if request.providers else param,
        details=details,
    )

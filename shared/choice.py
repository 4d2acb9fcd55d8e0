"""Which way to do a request is cheapest, fastest or best, and why, in words for whoever chooses;
pure. Everything said is the catalogue's data, and amounts are integer micro-dollars."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

from shared import pricing
from shared.catalogue import Catalogue
from shared.catalogue.rows import Model, Route
from shared.domain import ImageRequest
from shared.routing import AUTO, Exclusion, Plan

Choose = Literal["cheapest", "fastest", "best"]
Mode = Literal["now", "batch"]

BATCH_HOURS = 24
"""How long a provider's batch may take (OpenAI's and Google's batch guides, 2026)."""
NOTICE = timedelta(days=60)
"""What shuts down within it is chosen only where nothing else is left."""
BUDGET = "max_unit_usd"
"""The field that says what a picture may cost."""
DOLLARS = r"^[0-9]{1,6}(\.[0-9]{1,6})?$"
_MAKES = {
    "generate": "make {}pictures",
    "edit": "make {}pictures from yours",
    "three_d": "make 3D models",
}
_CANNOT = {"generate": "make pictures", "edit": "edit", "three_d": "make 3D models"}


@dataclass(frozen=True)
class Wish:
    """What decides between the ways that are left: the most a picture may cost, and whether there
    is time for a batch."""

    choose: Choose = "cheapest"
    max_unit_micros: int | None = None
    can_wait: bool = False


@dataclass(frozen=True)
class Question:
    """A request, how many pictures of it there will be in all, and what decides."""

    request: ImageRequest
    pictures: int
    wish: Wish
    today: date

    def ends(self, way: Way) -> bool:
        """Whether a way is not worth beginning with."""
        shutdown = way.route.shutdown
        return shutdown is not None and shutdown <= self.today + NOTICE


@dataclass(frozen=True)
class Way:
    """A route at once or in a batch, and what a picture costs so."""

    route: Route
    offer: Model
    mode: Mode
    unit_micros: int

    @property
    def seconds(self) -> float | None:
        """How long a picture takes as a rule; None in a batch."""
        return self.offer.typical_seconds if self.mode == "now" else None


@dataclass(frozen=True)
class Weighed:
    """The ways that are left, the one to choose first, and their routes, cheapest first; the ways
    that cost too much; and every route left out, those of these included."""

    ways: tuple[Way, ...]
    routes: tuple[Route, ...]
    over: tuple[Way, ...]
    excluded: tuple[Exclusion, ...]

    def by_route(self) -> tuple[Way, ...]:
        """The first way of each route."""
        first: dict[str, Way] = {}
        for way in self.ways:
            first.setdefault(way.route.key, way)
        return tuple(first.values())


def weigh(question: Question, plan: Plan, catalogue: Catalogue) -> Weighed:
    """The routes of a plan as ways, the one to choose first."""
    left: list[Way] = []
    kept: list[Way] = []
    over: list[Way] = []
    excluded = list(plan.excluded)
    most = question.wish.max_unit_micros
    for route in plan.routes:
        found = tuple(_ways(question, route, catalogue))
        least = min(found, key=lambda way: way.unit_micros)
        if most is None or least.unit_micros <= most:
            left += [way for way in found if most is None or way.unit_micros <= most]
            kept.append(least)
            continue
        over.append(least)
        costs = f"it costs {dollars(least.unit_micros)} a {_thing(question)}"
        reason = f"{costs}, over the limit of {dollars(most)}"
        excluded.append(Exclusion(route.model, route.provider, reason, param=BUDGET))
    order = _ORDERS[question.wish.choose]
    left.sort(key=lambda way: (question.ends(way), *order(way)))
    over.sort(key=_by_cost)
    kept.sort(key=lambda way: way.unit_micros)
    return Weighed(tuple(left), tuple(w.route for w in kept), tuple(over), tuple(excluded))


def why(question: Question, weighed: Weighed, catalogue: Catalogue) -> str:
    """Why the first way is the one to choose, what would be next, and what was left out."""
    routes, passed = weighed.by_route(), tuple[Way, ...]()
    best, choose = routes[0], question.wish.choose
    if not question.ends(best):
        passed = tuple(way for way in routes if question.ends(way))
        routes = tuple(way for way in routes if way not in passed)
    if len(routes) == 1:
        first = "the only way open here"
    else:
        first = f"the {choose} of {len(routes)} ways open here"
    if question.request.model != AUTO:
        first += f" to {best.offer.name}"
    grade = f" (grade {best.offer.grade} of 5)" if choose == "best" else ""
    about = "about " if pricing.metered(best.route) else ""
    several = question.pictures > 1
    total = f", {about}{dollars(best.unit_micros * question.pictures)} for {question.pictures:,}"
    said = [
        f"{_named(best, catalogue)} is {first} that can {_needs(question)}{grade}: "
        f"{about}{dollars(best.unit_micros)} a {_thing(question)}{_quality(question, best)}"
        f"{total if several else ''}, {_when(best)}{' each' if several and best.seconds else ''}.",
        *_free(best, catalogue),
        *_next(question, routes, catalogue),
        *_passed_over(question, best, passed, catalogue),
        *_left_out(question, weighed, catalogue),
    ]
    return " ".join(said)


def why_none(question: Question, weighed: Weighed, catalogue: Catalogue) -> str:
    """Why there is nothing to choose, and what comes nearest where only the price is in the way."""
    request = question.request
    first = "Nothing open here"
    if request.model != AUTO:
        first = f"No way open here to {catalogue.named(request.model, question.today).name}"
    said = [f"{first} can {_needs(question)}."]
    if weighed.over:
        least = weighed.over[0]
        said.append(f"The cheapest that costs more: {_brief(question, least, catalogue)}.")
    return " ".join([*said, *_left_out(question, weighed, catalogue)])


def limit_micros(usd: object) -> int:
    """ "0.05" → 50000. Raises ValueError."""
    if not isinstance(usd, str) or not re.fullmatch(DOLLARS, usd) or not Decimal(usd):
        raise ValueError('a limit is dollars above zero as a string, such as "0.05"')
    return int(Decimal(usd) * 1_000_000)


def dollars(micros: int) -> str:
    """Micro-dollars as people read them: 33600 → "$0.0336", 2000000000 → "$2,000.00"."""
    whole, _, cents = pricing.usd(micros).partition(".")
    return f"${int(whole):,}.{cents.rstrip('0').ljust(2, '0')}"


def _ways(question: Question, route: Route, catalogue: Catalogue) -> Iterator[Way]:
    """At once, and in a batch where there is one and time for it."""
    request, offer = question.request, catalogue.offer(route)
    yield Way(route, offer, "now", pricing.unit_micros(request, route, catalogue))
    batch = pricing.batch_unit_micros(request, route, catalogue)
    if question.wish.can_wait and batch is not None:
        yield Way(route, offer, "batch", batch)


def _by_cost(way: Way) -> tuple[float, ...]:
    return (way.unit_micros, way.route.status == "deprecated", _seconds(way))


def _by_speed(way: Way) -> tuple[float, ...]:
    return (_seconds(way), *_by_cost(way))


def _by_grade(way: Way) -> tuple[float, ...]:
    released = way.offer.released
    return (-way.offer.grade, -released.toordinal() if released else 0, *_by_cost(way))


_ORDERS: Mapping[Choose, Callable[[Way], tuple[float, ...]]] = {
    "cheapest": _by_cost,
    "fastest": _by_speed,
    "best": _by_grade,
}


def _seconds(way: Way) -> float:
    return BATCH_HOURS * 3600 if way.seconds is None else way.seconds


def _named(way: Way, catalogue: Catalogue) -> str:
    return f"{way.offer.name} by {catalogue.providers[way.route.provider].name}"


def _brief(question: Question, way: Way, catalogue: Catalogue) -> str:
    """A way in a few words: its name, its price, and what else decides."""
    batch = " in a batch" if way.mode == "batch" else ""
    decides = {
        "cheapest": "",
        "fastest": "" if batch else f", {_when(way)}",
        "best": f", grade {way.offer.grade}",
    }[question.wish.choose]
    return f"{_named(way, catalogue)} at {dollars(way.unit_micros)}{batch}{decides}"


def _thing(question: Question) -> str:
    return "3D model" if question.request.operation == "three_d" else "picture"


def _quality(question: Question, way: Way) -> str:
    """The quality that the price is for, where there is a choice."""
    quality = question.request.quality or next(iter(way.offer.qualities), None)
    return f" of {quality} quality" if quality else ""


def _when(way: Way) -> str:
    if way.seconds is None:
        return f"in a batch that may take {BATCH_HOURS} hours"
    return f"in about {way.seconds:g} seconds"


def _needs(question: Question) -> str:
    """What was asked for, after "can"."""
    request, most = question.request, question.wish.max_unit_micros
    size = f"{request.resolution} " if request.resolution else ""
    ratio = f" in {request.aspect_ratio}" if request.aspect_ratio else ""
    kind = f" as {request.output_format}" if request.output_format else ""
    ground = f" with a {request.background} background" if request.background else ""
    needs = [_MAKES[request.operation].format(size) + ratio + kind + ground]
    needs += [f"make {request.n} a request"] if request.n > 1 else []
    needs += ["continue a request"] if request.previous_request_id else []
    takes = [f"{len(request.refs)} images"] if len(request.refs) > 1 else []
    takes += ["a mask"] if request.mask_ref is not None else []
    takes += ["a seed"] if request.seed is not None else []
    takes += ["these options"] if request.options else []
    needs += [f"take {_and(takes)}"] if takes else []
    needs += [] if most is None else [f"cost at most {dollars(most)} each"]
    return _and(needs)


def _and(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _free(way: Way, catalogue: Catalogue) -> Iterator[str]:
    """What of it is free. A batch is outside of that."""
    free = catalogue.providers[way.route.provider].free
    text = str(free) if free else way.route.free_tier
    if text and way.mode == "now":
        yield f"Free: {text}."


def _next(question: Question, routes: Sequence[Way], catalogue: Catalogue) -> Iterator[str]:
    """What to take instead: something that stays, where the first does not."""
    best, others = routes[0], routes[1:]
    leaving = _leaving(best.route)
    staying = next((way for way in others if not _leaving(way.route)), None)
    if leaving:
        ends = best.route.shutdown
        yield f"It shuts down on {ends}." if ends else "It is deprecated."
    if leaving and staying:
        yield f"Next that stays: {_brief(question, staying, catalogue)}."
    elif others:
        yield f"Next: {_brief(question, others[0], catalogue)}."


def _passed_over(
    question: Question, best: Way, passed: Sequence[Way], catalogue: Catalogue
) -> Iterator[str]:
    """What would come first if it did not end so soon."""
    order = _ORDERS[question.wish.choose]
    before = [way for way in passed if order(way) < order(best)]
    if before:
        ends = before[0].route.shutdown
        yield f"Passed over: {_brief(question, before[0], catalogue)}, which ends on {ends}."


def _leaving(route: Route) -> bool:
    return route.status == "deprecated" or route.shutdown is not None


def _left_out(question: Question, weighed: Weighed, catalogue: Catalogue) -> Iterator[str]:
    """How many routes were left out for what. Those that are retired, or make something else
    altogether, nobody would count."""
    three_d = question.request.operation == "three_d"
    counted = [
        excluded
        for excluded in weighed.excluded
        if catalogue.route(f"{excluded.provider}:{excluded.model}").live(question.today)
        and catalogue.models[excluded.model].three_d == three_d
    ]
    if not counted:
        return
    found = Counter(_lack(question, excluded) for excluded in counted)
    lacks = ", ".join(f"{count} {lack}" for lack, count in found.most_common())
    yield f"Left out of {len(counted) + len(weighed.by_route())}: {lacks}."


def _lack(question: Question, excluded: Exclusion) -> str:
    """What a route lacks, after a number."""
    if excluded.unset:
        return "without a key here"
    request, param = question.request, excluded.param
    if param is None:
        return "not asked for"
    most = question.wish.max_unit_micros
    lacks = {
        BUDGET: f"over {dollars(most or 0)}",
        "model": f"that cannot {_CANNOT[request.operation]}",
        "resolution": f"without {request.resolution}",
        "aspect_ratio": f"without {request.aspect_ratio}",
        "seed": "without seeds",
        "mask": "without masks",
        "images": f"without room for {len(request.refs)} images",
        "n": f"with less than {request.n} a request",
        "quality": f"without {request.quality} quality",
        "background": f"without a {request.background} background",
        "output_format": f"without {request.output_format}",
        "prompt": "with no place for this prompt",
        "previous_request_id": "that cannot continue a request",
    }
    option = param.removeprefix("options.")
    if option != param and option not in request.options:
        return f"in need of {option}"
    return lacks.get(param, f"without this {option}")

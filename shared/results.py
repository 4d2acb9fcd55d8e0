"""What came of a request's calls, and what several of them say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from shared import log
from shared.catalogue.rows import Route
from shared.domain import Attempt, Picture, Usage
from shared.errors import (
    HTTP_STATUS,
    ContentBlocked,
    DarkroomError,
    Internal,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
)
from shared.exchange import Answer
from shared.providers import Done

MAX_TEXT = 50_000
"""Characters: what is kept of a request is one document of 1 MiB."""


@dataclass(frozen=True)
class Result:
    """What came of a request: pictures by one route, or an error, or both where only some came.
    `charge_micros` is what the pictures are charged at, `free` whether any of them was in a free
    allowance and `first` the first picture's answer, for a later turn."""

    route: Route
    pictures: tuple[Picture, ...]
    attempts: tuple[Attempt, ...]
    usage: Usage = Usage()
    charge_micros: int = 0
    free: bool = False
    text: str | None = None
    first: Done | None = field(default=None, repr=False)
    error: DarkroomError | None = None


@dataclass(frozen=True)
class Good:
    """An answer with pictures to a call for `asked` of them: what they are charged at, and what
    they cost us."""

    answer: Answer
    asked: int
    usage: Usage
    charge_micros: int
    cost_micros: int
    free: bool


def counted(answer: Answer) -> Usage:
    """What an answer is charged by: every picture that was made, of use or not."""
    done = answer.done
    made = max(len(answer.pictures), len(done.images), done.usage.images)
    return replace(done.usage, images=made)


def combined(
    route: Route, answers: Sequence[Good | DarkroomError], attempts: Sequence[Attempt]
) -> Result:
    """The calls of one request by one route, together."""
    good = [a for a in answers if isinstance(a, Good)]
    errors = [a for a in answers if isinstance(a, DarkroomError)]
    dones = [a.answer.done for a in good]
    return Result(
        route=route,
        pictures=tuple(p for a in good for p in a.answer.pictures),
        attempts=tuple(attempts),
        usage=_sum([a.usage for a in good]),
        charge_micros=sum(a.charge_micros for a in good),
        free=any(a.free for a in good),
        text="\n\n".join(done.text for done in dones if done.text)[:MAX_TEXT] or None,
        first=dones[0] if dones else None,
        error=max(errors, key=_gravity) if errors else _withheld(good),
    )


def known(fault: Exception) -> DarkroomError:
    """An error of ours for whatever went wrong in a call."""
    if isinstance(fault, DarkroomError):
        return fault
    log.crash("provider.call_crashed", fault)
    return Internal("Something broke here. Nothing was charged.")


def sick(error: DarkroomError) -> bool:
    """Whether an error speaks against the provider's health, whoever asks it whatever."""
    if isinstance(error, ProviderError):
        status = error.details.get(HTTP_STATUS)
        return isinstance(status, int) and status >= 500
    return isinstance(error, OutcomeUnknown) or type(error) is ProviderUnavailable


def _withheld(answers: list[Good]) -> ContentBlocked | None:
    """What a filter kept back of answers that still brought pictures, whether it says so or there
    are only fewer than were asked for."""
    fewer = [
        a.answer.done
        for a in answers
        if a.answer.done.withheld or len(a.answer.done.images) < a.asked
    ]
    return ContentBlocked(fewer[0].reason or "No reason was given.") if fewer else None


def _gravity(error: DarkroomError) -> int:
    """Which of several calls' errors speaks for all: one that forbids another try first."""
    if isinstance(error, OutcomeUnknown):
        return 2
    return 0 if error.elsewhere else 1


def _sum(usages: list[Usage]) -> Usage:
    costs = [u.cost_micros for u in usages if u.cost_micros is not None]
    return Usage(
        input_tokens=sum(u.input_tokens for u in usages),
        output_tokens=sum(u.output_tokens for u in usages),
        source_tokens=sum(u.source_tokens for u in usages),
        thought_tokens=sum(u.thought_tokens for u in usages),
        image_tokens=sum(u.image_tokens for u in usages),
        images=sum(u.images for u in usages),
        cost_micros=sum(costs) if costs else None,
    )

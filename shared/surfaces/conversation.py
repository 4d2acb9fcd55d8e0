"""A conversation as vendors' clients send it, all of it with every turn, and what of it our
pipeline has to be told: the pictures made before lie in storage, with what their makers want back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shared.domain import ImageRef

Role = Literal["user", "model"]


@dataclass(frozen=True)
class Said:
    """One message: its words, its pictures and, where we made those, the request that did."""

    role: Role
    text: str
    images: tuple[ImageRef, ...] = ()
    request_id: str | None = None


@dataclass(frozen=True)
class Folded:
    """A conversation as one request: what to draw now, from which pictures, after which earlier
    request, of whose conversation the last `max_turns` turns count. `left_out` is whether something
    was said or shown before that nobody will be told."""

    prompt: str
    refs: tuple[ImageRef, ...] = ()
    previous_request_id: str | None = None
    max_turns: int | None = None
    left_out: bool = False


def last_request(messages: Sequence[Said]) -> str | None:
    """The request of ours that made the last of the pictures; None where it was not ours, or there
    is none."""
    made = _last_picture(messages)
    return messages[made].request_id if made is not None else None


def fold(messages: Sequence[Said], *, continued: bool) -> Folded:
    """The conversation from its last picture on. `continued` says that the request which made it
    can be gone on from; else the picture is one more to start from, before the user's own."""
    made = _last_picture(messages)
    since = messages[made + 1 :] if made is not None else messages
    refs = tuple(ref for message in since for ref in message.images)
    prompt = _prompt([message for message in since if message.text.strip()])
    if made is None:
        return Folded(prompt, refs)
    picture = messages[made]
    if continued and picture.request_id is not None:
        turns = [m for m in messages[: made + 1] if m.role == "model" and m.request_id is not None]
        return Folded(prompt, refs, picture.request_id, len(turns))
    return Folded(prompt, (*picture.images, *refs), left_out=made > 0)


def _last_picture(messages: Sequence[Said]) -> int | None:
    """The place of the last message with a picture that is the model's."""
    places = [i for i, m in enumerate(messages) if m.role == "model" and (m.images or m.request_id)]
    return places[-1] if places else None


def _prompt(messages: Sequence[Said]) -> str:
    """The words of one message as they are, those of several with who said them."""
    if len(messages) <= 1:
        return "".join(message.text for message in messages)
    names = {"user": "User", "model": "Assistant"}
    return "\n\n".join(f"{names[message.role]}: {message.text}" for message in messages)

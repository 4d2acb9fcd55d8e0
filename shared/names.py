"""What things are called in storage and in links: every name follows from a request's id."""

from __future__ import annotations

import re

_IMAGE_ID = re.compile(r"img_([A-Za-z0-9-]{1,100})_([0-9]{1,4})", re.ASCII)


def image_id(request_id: str, n: int) -> str:
    """The id of a request's picture, "img_…_0" for the first."""
    return f"img_{request_id.removeprefix('req_')}_{n}"


def request_of(image_id: str) -> str | None:
    """The id of the request that made a picture; None for what is no picture's id."""
    found = _IMAGE_ID.fullmatch(image_id)
    return f"req_{found[1]}" if found else None


def picture(image_id: str) -> str | None:
    """The object that holds a picture; None for what is no picture's id."""
    found = _IMAGE_ID.fullmatch(image_id)
    return f"{pictures(f'req_{found[1]}')}{found[2]}" if found else None


def pictures(request_id: str) -> str:
    """The prefix of a request's pictures; a number follows."""
    return f"images/{request_id}/"


def turn(request_id: str) -> str:
    """The object that a later turn continues from."""
    return f"turns/{request_id}"


def uploads(account_id: str, upload_id: str) -> str:
    """The prefix of a file that an account uploaded; its own name follows."""
    return f"uploads/{account_id}/{upload_id}/"

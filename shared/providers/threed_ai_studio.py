"""3D AI Studio's image API: submit a task, look at it until it is finished, fetch the pictures
(www.3daistudio.com/Platform/API/Documentation, pages of February to June 2026; what they leave out
is as public clients of 2026 have it). Every path ends with "/".

A task is paid for when it is submitted and paid back when it fails. The addresses of its pictures
come some seconds after it is finished, so it is then looked at again; how often it was is kept in
the fragment of the address, which never leaves this process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import ConfigDict, Field

from shared.domain import Endpoint, ImageRequest, Json, Usage
from shared.errors import (
    HTTP_STATUS,
    ContentBlocked,
    DarkroomError,
    NoImage,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from shared.providers import Done, Pending, Remote, mask, no_sketch, no_uploads, openai_errors
from shared.providers.bodies import Message, pack, post, present

DIALECTS: frozenset[str] = frozenset()
MASKED = frozenset({""})

LOOK_EVERY_S = 10.0
"""Whether looks count to the limit of 3 requests a minute is nowhere written."""
LATE_EVERY_S = 5.0
LATE_LOOKS = 6
"""How often a task is looked at again that is finished and has nothing to show."""
LIMITED_S = 30.0
"""How long to wait after a 429 that does not say."""

_SEEDREAM = "seedream/"
"""How the paths of Seedream begin, which takes other fields than Gemini."""
_RESOLUTIONS = {"512": "512px"}
_MASKED = (
    "The last image is a mask for the first image. Change only what is white in the mask; keep "
    "everything that is black exactly as it is in the first image."
)
_STATUS = re.compile(r"/generation-request/([^/?]+)/status/")
_LATE = re.compile(r"late=([0-9]{1,2})")
_TASK_ID = re.compile(r"(?!\.+$)[!-.0-\[\]-~]{1,200}")
"""Printable, without slashes, and not a step up the path."""
_SAFETY = re.compile(
    r"safety|moderat|polic(?:y|ies)|nsfw|prohibited|sensitive|inappropriate|flagged", re.IGNORECASE
)
_PROMPT = re.compile(r"\bprompt\b", re.IGNORECASE)


class _Task(Message):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    task_id: str


class _Result(Message):
    """A picture, under the name of today's pages or of the older ones."""

    asset: str = ""
    asset_url: str = ""


class _Progress(Message):
    status: str
    failure_reason: str = ""
    results: tuple[_Result, ...] = ()


class _Wallet(Message):
    balance: str = Field(pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,6})?\z")


M = TypeVar("M", bound=Message)


def submit(request: ImageRequest, endpoint: Endpoint) -> httpx.Request:
    """Ask for `request.n` pictures in one task."""
    action = "edit" if request.sources else "generate"
    fields = _seedream if endpoint.wire_model.startswith(_SEEDREAM) else _gemini
    prompt = f"{request.prompt}\n\n{_MASKED}" if request.mask else request.prompt
    body = {"prompt": prompt, "num_images": request.n, **fields(request)}
    url = endpoint.address(f"images/{endpoint.wire_model}/{action}/")
    return post(url, endpoint, present(body))


def read(response: httpx.Response) -> Done | Pending:
    """What became of a submission, or of a look at a task: the request's address tells which."""
    looked_at = _STATUS.search(response.request.url.raw_path.decode("ascii"))
    if looked_at is None:
        return Pending(_token(response), LOOK_EVERY_S)
    late = _LATE.fullmatch(response.request.url.fragment)
    return _seen(response, looked_at[1], int(late[1]) if late else 0)


def poll(token: str, endpoint: Endpoint) -> httpx.Request:
    """Look at a task. `token` is its id as it stands in a path, and after "#" what `read` is to
    know of earlier looks."""
    task, _, late = token.partition("#")
    url = endpoint.address(f"generation-request/{task}/status/")
    return httpx.Request("GET", f"{url}#{late}" if late else url, headers=endpoint.headers)


uploads = no_uploads
sketch = no_sketch


def balance(endpoint: Endpoint) -> httpx.Request:
    """Ask how many credits the account has left."""
    url = f"{endpoint.base_url.rstrip('/')}/account/user/wallet/"
    return httpx.Request("GET", url, headers=endpoint.headers)


def read_balance(response: httpx.Response) -> Decimal:
    """The credits of an answer to `balance`. Raises DarkroomError."""
    return Decimal(_parsed(_Wallet, response).balance)


def _gemini(request: ImageRequest) -> dict[str, Json]:
    """Without a ratio it is the vendor's "auto": that of the first image, or as the prompt says."""
    resolution = request.resolution or ""
    return {
        "output_format": request.output_format,
        "aspect_ratio": request.aspect_ratio,
        "resolution": _RESOLUTIONS.get(resolution, resolution) or None,
        "images": _pictures(request),
    }


def _seedream(request: ImageRequest) -> dict[str, Json]:
    return {
        "image_size": request.size_name or f"auto_{request.resolution or '2K'}",
        "seed": request.seed,
        "enable_safety_checker": request.options.get("enable_safety_checker"),
        # The page's table of fields is cut off before it; the name is the one that a client of
        # 2026 sends, and that fal.ai documents for the same model.
        "image_urls": _pictures(request),
    }


def _pictures(request: ImageRequest) -> Json:
    shown = [(source.content_type, source.data) for source in request.sources]
    if request.mask:
        shown.append(("image/png", mask.black_and_white(request.mask.data)))
    return [f"data:{kind};base64,{pack(data)}" for kind, data in shown] or None


def _token(response: httpx.Response) -> str:
    """The id of the task that was begun. Raises DarkroomError."""
    task_id = _parsed(_Task, response).task_id
    if not _TASK_ID.fullmatch(task_id):
        error = ProviderError(
            "The provider gave an answer that cannot be used.",
            details={HTTP_STATUS: response.status_code},
            private=f"task_id {openai_errors.safe(ascii(task_id), 300)}",
        )
        error.paid = True
        raise error
    return quote(task_id, safe="")


def _seen(response: httpx.Response, task: str, late: int) -> Done | Pending:
    """What a look at a task shows, after `late` looks that showed nothing."""
    try:
        seen = _look(response)
    except DarkroomError:
        if response.is_success and late < LATE_LOOKS:
            return _later(task, late)
        raise
    status = {HTTP_STATUS: response.status_code}
    if seen.failure_reason or seen.status == "FAILED":
        raise _failure(seen.failure_reason, status)
    if seen.status != "FINISHED":
        return Pending(task, LOOK_EVERY_S)
    addresses = [result.asset or result.asset_url for result in seen.results]
    if late < LATE_LOOKS and not (addresses and all(addresses)):
        return _later(task, late)
    images = tuple(Remote(address) for address in addresses if address)
    if images:
        return Done(images=images, usage=Usage(images=len(images)))
    error = NoImage(
        "The provider finished without a picture. Change the prompt, or try again.", details=status
    )
    # Only a task that fails is paid back.
    error.usage = Usage(images=max(1, len(addresses)))
    raise error


def _later(task: str, late: int) -> Pending:
    return Pending(f"{task}#late={late + 1}", LATE_EVERY_S)


def _look(response: httpx.Response) -> _Progress:
    """The answer to a look at a task. What goes wrong with the look says nothing of the task,
    which may be finished and paid: it is never an error that another try would cure."""
    try:
        return _parsed(_Progress, response)
    except DarkroomError as error:
        if response.is_success or response.status_code == 404:
            raise OutcomeUnknown(
                "The provider took the request and does not say what became of it.",
                details={HTTP_STATUS: response.status_code},
                private=error.private,
            ) from error
        if isinstance(error, OutcomeUnknown):
            raise ProviderUnavailable(
                "The provider does not answer in time.", details=error.details
            ) from error
        raise


def _failure(said: str, details: Mapping[str, Json]) -> DarkroomError:
    """Why a task failed. Its credits were paid back."""
    reason = openai_errors.safe(said, 300)
    if _SAFETY.search(said):
        return ContentBlocked(
            f"The provider refused the content: {reason}",
            param="prompt" if _PROMPT.search(said) else None,
            details=details,
        )
    return ProviderError(
        f"The provider could not make it: {reason}"
        if reason
        else "The provider could not make it. Try again.",
        details=details,
    )


def _parsed(kind: type[M], response: httpx.Response) -> M:
    """The answer as `kind`. Raises the error it holds instead."""
    try:
        return openai_errors.parse(kind, response)
    except RateLimited as error:
        if error.retry_after_s is None:
            error.retry_after_s = LIMITED_S
        raise

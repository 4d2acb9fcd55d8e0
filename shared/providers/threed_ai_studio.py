"""3D AI Studio's API for images and 3D models: submit a task, look at it until it is finished,
fetch what it made (www.3daistudio.com/Platform/API/Documentation, pages of February to June 2026;
what they leave out is as public clients of 2026 have it). Every path ends with "/".

A task is paid for when it is submitted and paid back when it fails. The addresses of what it made
come some seconds after it is finished, so it is then looked at again; how often it was, and whether
a 3D model is to come, is kept in the fragment of the address, which never leaves this process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from shared.providers.bodies import Message, Text, pack, post, present

LOOK_EVERY_S = 10.0
"""Whether looks count to the limit of 3 requests a minute is nowhere written."""
LOOK_AT_MODEL_EVERY_S = 15.0
"""A 3D model takes minutes."""
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
_VIEWS = ("front", "left", "right", "back")
"""What the images of a 3D model made of several are, in their order."""
_STATUS = re.compile(r"/generation-request/([^/?]+)/status/")
_MODELS = re.compile(r"/3d-models/[^?]+/")
_LOOKS = re.compile(r"(3d&)?late=([0-9]{1,2})")
_GLB = re.compile(r"[^?#]+\.glb(?:[?#].*)?", re.IGNORECASE)
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
    """A file that was made, under the name of today's pages or of the older ones."""

    asset: str = ""
    asset_url: str = ""
    asset_type: Text = ""

    @property
    def address(self) -> str:
        """Where it lies; empty while it is not there yet."""
        return self.asset or self.asset_url


class _Progress(Message):
    status: str
    failure_reason: str = ""
    results: tuple[_Result, ...] = ()


class _Wallet(Message):
    balance: str = Field(pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,6})?\z")


M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class _Looks:
    """A task that is looked at: its id as it stands in a path, how many looks at it finished showed
    nothing, and whether it makes a 3D model."""

    task: str
    model: bool
    late: int = 0

    @property
    def token(self) -> str:
        """The next look at it, as `poll` takes it."""
        fragment = f"{'3d&' if self.model else ''}late={self.late}"
        return f"{self.task}#{fragment}" if self.model or self.late else self.task

    @property
    def again(self) -> Pending:
        """Not finished."""
        return Pending(self.token, LOOK_AT_MODEL_EVERY_S if self.model else LOOK_EVERY_S)

    @property
    def later(self) -> Pending:
        """Finished, with nothing to show yet."""
        return Pending(replace(self, late=self.late + 1).token, LATE_EVERY_S)


def submit(request: ImageRequest, endpoint: Endpoint) -> httpx.Request:
    """Ask for `request.n` pictures, or for a 3D model, in one task."""
    if request.operation == "three_d":
        path, _, version = endpoint.wire_model.partition(":")
        url = endpoint.address(f"3d-models/{path}/")
        return post(url, endpoint, present({"model": version or None, **_model(request)}))
    action = "edit" if request.sources else "generate"
    fields = _seedream if endpoint.wire_model.startswith(_SEEDREAM) else _gemini
    prompt = f"{request.prompt}\n\n{_MASKED}" if request.mask else request.prompt
    body = {"prompt": prompt, "num_images": request.n, **fields(request)}
    url = endpoint.address(f"images/{endpoint.wire_model}/{action}/")
    return post(url, endpoint, present(body))


def read(response: httpx.Response) -> Done | Pending:
    """What became of a submission, or of a look at a task: the request's address tells which."""
    path = response.request.url.raw_path.decode("ascii")
    looked_at = _STATUS.search(path)
    if looked_at is None:
        return _Looks(_task(response), model=bool(_MODELS.search(path))).again
    before = _LOOKS.fullmatch(response.request.url.fragment)
    looks = _Looks(looked_at[1], bool(before and before[1]), int(before[2]) if before else 0)
    return _seen(response, looks)


def poll(token: str, endpoint: Endpoint) -> httpx.Request:
    """Look at a task. `token` is its id as it stands in a path, and after "#" what `read` is to
    know of it and of earlier looks."""
    task, _, known = token.partition("#")
    url = endpoint.address(f"generation-request/{task}/status/")
    return httpx.Request("GET", f"{url}#{known}" if known else url, headers=endpoint.headers)


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


def _model(request: ImageRequest) -> dict[str, Json]:
    """Options have the vendor's own names, but for the one that says what several images are."""
    options = dict(request.options)
    images = [_data_uri(source.content_type, source.data) for source in request.sources]
    views: Json = None
    if options.pop("multi_view", False):
        named = zip(_VIEWS, images, strict=False)
        views = [{"view_type": view, "view_image": image} for view, image in named]
    return {
        "prompt": request.prompt or None,
        "image": images[0] if images and not views else None,
        "multi_view_images": views,
        **options,
    }


def _pictures(request: ImageRequest) -> Json:
    shown = [_data_uri(source.content_type, source.data) for source in request.sources]
    if request.mask:
        shown.append(_data_uri("image/png", mask.black_and_white(request.mask.data)))
    return shown or None


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{pack(data)}"


def _task(response: httpx.Response) -> str:
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


def _seen(response: httpx.Response, looks: _Looks) -> Done | Pending:
    """What one more look at a task shows."""
    try:
        seen = _look(response)
    except DarkroomError:
        if response.is_success and looks.late < LATE_LOOKS:
            return looks.later
        raise
    status = {HTTP_STATUS: response.status_code}
    if seen.failure_reason or seen.status == "FAILED":
        raise _failure(seen.failure_reason, status)
    if seen.status != "FINISHED":
        return replace(looks, late=0).again
    addresses = [result.address for result in _wanted(seen.results, looks)]
    if looks.late < LATE_LOOKS and not (addresses and all(addresses)):
        return looks.later
    images = tuple(Remote(address) for address in addresses if address)
    if images:
        return Done(images=images, usage=Usage(images=len(images)))
    what = "3D model" if looks.model else "picture"
    error = NoImage(
        f"The provider finished without a {what}. Change the request, or try again.", details=status
    )
    # Only a task that fails is paid back.
    error.usage = Usage(images=max(1, len(addresses)))
    raise error


def _wanted(results: tuple[_Result, ...], looks: _Looks) -> tuple[_Result, ...]:
    """The results that were asked for: every picture, or the one 3D model. An archive has the same
    in other formats."""
    if not looks.model:
        return results
    models = [result for result in results if result.asset_type == "3D_MODEL"]
    models = models or [result for result in results if _GLB.fullmatch(result.address)]
    return tuple(sorted(models, key=lambda result: not result.address)[:1])


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

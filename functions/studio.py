"""`/studio`: the web page over the API, as the static files of `studio/`; public. The page asks for
a key and calls the API like anybody else."""

from __future__ import annotations

import functools
import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import functions_framework.aio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from functions import http
from shared.errors import NotFound

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
_FOLDER = Path(__file__).with_suffix("")
_PAGE = "index.html"
_BASE = b'<base href="/studio/"'


@dataclass(frozen=True)
class _File:
    """A static file, as it is and packed."""

    data: bytes
    packed: bytes
    content_type: str
    etag: str


async def show_page(request: Request) -> Response:
    """The page itself. Where the platform took the function's name off the path, what it loads is
    found below the public URL."""
    public_url = http.app().settings.public_url
    page = _files()[_PAGE]
    if request.url.path == "/":
        page = _page_below(public_url)
    response = _sent(page, request)
    response.headers.update(_guards(public_url))
    return response


async def show_file(request: Request) -> Response:
    """What the page is made of."""
    name = request.path_params["name"]
    found = _files().get(name)
    if found is None or name == _PAGE:
        raise NotFound(f"There is nothing at {request.url.path}.")
    return _sent(found, request)


def _sent(file: _File, request: Request) -> Response:
    """The file, or that what the browser has is still good: it asks every time, so that a new
    deployment is never half there."""
    headers = {"etag": file.etag, "cache-control": "no-cache", "vary": "accept-encoding"}
    if _has(request, file):
        return Response(status_code=304, headers=headers)
    if _unpacks(request):
        headers["content-encoding"] = "gzip"
        return Response(file.packed, headers=headers, media_type=file.content_type)
    return Response(file.data, headers=headers, media_type=file.content_type)


def _has(request: Request, file: _File) -> bool:
    """Whether one of the tags that were sent is the file's (RFC 9110, 13.1.2)."""
    sent = ",".join(request.headers.getlist("if-none-match"))
    tags = {tag.strip().removeprefix("W/") for tag in sent.split(",")}
    return not tags.isdisjoint(("*", file.etag.removeprefix("W/")))


def _unpacks(request: Request) -> bool:
    """Whether gzip is taken, and not at the weight 0 (RFC 9110, 12.5.3)."""
    for coding in request.headers.get("accept-encoding", "").lower().split(","):
        name, *weight = (part.strip() for part in coding.split(";"))
        if name == "gzip":
            return not weight or re.fullmatch(r"q=0(\.0*)?", weight[0]) is None
    return False


def _guards(public_url: str) -> dict[str, str]:
    """What the page may do: run its own files, talk to the API, show its pictures."""
    ours = "'self' {0.scheme}://{0.netloc}".format(urlsplit(public_url))
    policy = {
        "default-src": "'none'",
        "script-src": ours,
        "style-src": ours,
        "connect-src": ours,
        "img-src": f"{ours} blob: data:",
        "base-uri": ours,
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return {
        "content-security-policy": "; ".join(map(" ".join, policy.items())),
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
        "referrer-policy": "no-referrer",
    }


@functools.cache
def _page_below(public_url: str) -> _File:
    """The page, with what it loads below that address."""
    page = _files()[_PAGE]
    base = f'<base href="{public_url}/studio/"'.encode()
    return _file(page.data.replace(_BASE, base), page.content_type)


@functools.cache
def _files() -> Mapping[str, _File]:
    return {
        path.name: _file(path.read_bytes(), _TYPES[path.suffix])
        for path in _FOLDER.iterdir()
        if path.suffix in _TYPES
    }


def _file(data: bytes, content_type: str) -> _File:
    # Weak, for it is the same packed and unpacked.
    etag = f'W/"{hashlib.sha256(data).hexdigest()[:32]}"'
    return _File(data, gzip.compress(data, mtime=0), content_type, etag)


APP = http.routes("studio", [("GET", "", show_page), ("GET", "/{name}", show_file)])


@functions_framework.aio.http
async def studio(_request: Request) -> Starlette:
    """The deployed function."""
    return APP

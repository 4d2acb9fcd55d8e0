"""Google's Files API (ai.google.dev/gemini-api/docs/files, 2026-10): where a source goes that is
too large for a request body, and a batch. A file is gone after 48 hours.

`start` opens a resumable upload, `send` gives it the bytes in one go, and `get` looks whether the
file is ready; `read` reads the answers of the last two.
"""

from __future__ import annotations

import httpx
from pydantic import Field

from shared.domain import Endpoint, Source
from shared.errors import HTTP_STATUS, ProviderError
from shared.providers import File, google_errors
from shared.providers.bodies import post
from shared.providers.google_json import Message


class _File(Message):
    uri: str = Field(min_length=1)
    # A name becomes part of an address: it must not lead out of the collection.
    name: str = Field(pattern=r"^files/[A-Za-z0-9_-]+$")
    state: str = "STATE_UNSPECIFIED"


class _Body(Message):
    file: _File | None = None


def start(source: Source, index: int, endpoint: Endpoint) -> httpx.Request:
    """Open the upload of a source."""
    return begin(f"source-{index}", source.content_type, len(source.data), endpoint)


def begin(name: str, content_type: str, length: int, endpoint: Endpoint) -> httpx.Request:
    """Open an upload of so many bytes. The answer has no body; it names the address for them in a
    header."""
    size = str(length)
    url = f"{endpoint.base_url.rstrip('/')}/upload/{endpoint.version}/files"
    described = {"displayName": name, "mimeType": content_type, "sizeBytes": size}
    request = post(url, endpoint, {"file": described})
    request.headers.update(
        {
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-length": size,
            "x-goog-upload-header-content-type": content_type,
        }
    )
    return request


def send(started: httpx.Response, data: bytes, endpoint: Endpoint) -> httpx.Request:
    """Give an opened upload its bytes. The address holds the right to upload, so no key goes along.

    Raises what `started` failed with, and ProviderError where it names an address on another
    origin: a caller's picture is not sent wherever an answer says."""
    if not started.is_success:
        raise google_errors.of(started)
    try:
        url = httpx.URL(started.headers.get("x-goog-upload-url", ""))
    except httpx.InvalidURL:
        url = httpx.URL("")
    if _origin(url) != _origin(httpx.URL(endpoint.base_url)):
        raise ProviderError(
            "The provider's upload address is not its own. The images were not sent.",
            details={HTTP_STATUS: started.status_code},
        )
    headers = {"x-goog-upload-offset": "0", "x-goog-upload-command": "upload, finalize"}
    return httpx.Request("POST", url, headers=headers, content=data)


def read(response: httpx.Response) -> File:
    """The file of an answer, wrapped (upload) or bare (get). Raises ProviderError for one that
    could not be processed, and the matching error for an answer that is none."""
    body = google_errors.parse(_Body, response)
    file = body.file or google_errors.parse(_File, response)
    if file.state == "FAILED":
        raise ProviderError(
            "The provider could not take in an image. Send it in another format.",
            details={HTTP_STATUS: response.status_code},
        )
    return File(uri=file.uri, name=file.name, ready=file.state != "PROCESSING")


def get(name: str, endpoint: Endpoint) -> httpx.Request:
    """Look at a file by its name, "files/…"."""
    headers = dict(endpoint.headers)
    return httpx.Request("GET", endpoint.address(name), headers=headers)


def _origin(url: httpx.URL) -> tuple[str, bytes, int | None]:
    return url.scheme, url.raw_host, url.port

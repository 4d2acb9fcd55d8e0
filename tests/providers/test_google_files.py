"""The Files API handshake, step by step, and where it must stop."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from shared.domain import Endpoint, Source
from shared.errors import DarkroomError, Misconfigured, ProviderError
from shared.providers import File, google_files

ENDPOINT = Endpoint("https://provider.test", "v1beta", "model-1", "provider-key", "x-goog-api-key")
UPLOAD = "https://provider.test/upload/v1beta/files?upload_id=AOCed&upload_protocol=resumable"
FILE: dict[str, Any] = {
    "name": "files/nst3vx34zemo",
    "mimeType": "image/png",
    "sizeBytes": "3",
    "uri": "https://provider.test/v1beta/files/nst3vx34zemo",
    "state": "ACTIVE",
    "source": "UPLOADED",
}


def started(url: str, status: int = 200) -> httpx.Response:
    return httpx.Response(status, headers={"x-goog-upload-url": url})


def test_an_upload_is_opened_with_size_and_type() -> None:
    request = google_files.start(Source(b"abc", "image/png", 1, 1), 2, ENDPOINT)
    assert request.method == "POST"
    assert str(request.url) == "https://provider.test/upload/v1beta/files"
    headers = {k: v for k, v in request.headers.items() if k not in ("host", "content-length")}
    assert headers == {
        "x-goog-api-key": "provider-key",
        "content-type": "application/json",
        "x-goog-upload-protocol": "resumable",
        "x-goog-upload-command": "start",
        "x-goog-upload-header-content-length": "3",
        "x-goog-upload-header-content-type": "image/png",
    }
    described = {"displayName": "source-2", "mimeType": "image/png", "sizeBytes": "3"}
    assert json.loads(request.content) == {"file": described}


def test_the_bytes_go_to_the_opened_address_without_the_key() -> None:
    request = google_files.send(started(UPLOAD), b"abc", ENDPOINT)
    assert request.method == "POST"
    assert str(request.url) == UPLOAD
    assert request.content == b"abc"
    headers = {k: v for k, v in request.headers.items() if k != "host"}
    assert headers == {
        "content-length": "3",
        "x-goog-upload-offset": "0",
        "x-goog-upload-command": "upload, finalize",
    }


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.test/upload",
        "http://provider.test/upload",
        "https://provider.test:8443/upload",
        "https://provider.test.evil.test/upload",
        "https://provider.test@evil.test/upload",
        "//evil.test/upload",
        "/upload",
        "",
        "http://[",
        "https://provider.test:port/",
        "file:///etc/passwd",
    ],
)
def test_the_bytes_never_go_to_another_origin(url: str) -> None:
    with pytest.raises(ProviderError):
        google_files.send(started(url), b"abc", ENDPOINT)


def test_the_standard_port_is_the_same_origin() -> None:
    url = "https://Provider.test:443/upload/v1beta/files?upload_id=1"
    assert google_files.send(started(url), b"abc", ENDPOINT).url.host == "provider.test"


def test_an_upload_that_was_not_opened_fails_as_the_answer_says() -> None:
    with pytest.raises(Misconfigured):
        google_files.send(started(UPLOAD, 403), b"abc", ENDPOINT)


@pytest.mark.parametrize("body", [{"file": FILE}, FILE])
def test_a_file_is_read_wrapped_and_bare(body: dict[str, Any]) -> None:
    file = google_files.read(httpx.Response(200, json=body))
    assert file == File(FILE["uri"], FILE["name"], ready=True)


def test_a_file_in_the_making_is_looked_at_by_its_name() -> None:
    answer = httpx.Response(200, json={**FILE, "state": "PROCESSING"})
    assert not google_files.read(answer).ready
    request = google_files.get(FILE["name"], ENDPOINT)
    assert request.method == "GET"
    assert str(request.url) == "https://provider.test/v1beta/files/nst3vx34zemo"
    assert request.headers["x-goog-api-key"] == "provider-key"


@pytest.mark.parametrize(
    "body",
    [
        {**FILE, "state": "FAILED", "error": {"code": 3, "message": "unreadable"}},
        {"file": {**FILE, "state": "FAILED", "error": {"code": 3, "message": "unreadable"}}},
        {"file": {"name": "files/a"}},
        {**FILE, "name": "../v1beta/models"},
        {**FILE, "uri": ""},
        {},
        [],
    ],
)
def test_a_file_that_cannot_be_used_is_the_providers_error(body: Any) -> None:
    with pytest.raises(ProviderError):
        google_files.read(httpx.Response(200, json=body))


def test_a_missing_file_is_refused_as_forbidden() -> None:
    body = {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "no such File"}}
    with pytest.raises(DarkroomError) as caught:
        google_files.read(httpx.Response(403, json=body))
    assert type(caught.value) is Misconfigured

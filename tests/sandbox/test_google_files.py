"""The Files API: resumable uploads, and files that can be used and vanish."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.sandbox.conftest import Clock, Google, images, opened, photo, refused

pytestmark = pytest.mark.pictures

NOBODY = {"x-goog-api-key": ""}


def start(google: Google, size: int, **file: Any) -> httpx.Response:
    headers = {
        "x-goog-upload-protocol": "resumable",
        "x-goog-upload-command": "start",
        "x-goog-upload-header-content-length": str(size),
        "x-goog-upload-header-content-type": "image/png",
    }
    return google.send("POST", "/upload/v1beta/files", {"file": file}, headers=headers)


def step(
    google: Google, url: str, command: str, content: bytes = b"", offset: int = 0
) -> httpx.Response:
    headers = {
        **NOBODY,
        "x-goog-upload-command": command,
        "x-goog-upload-offset": str(offset),
    }
    return google.send("POST", url, content=content, headers=headers)


def uploaded(google: Google, data: bytes, **file: Any) -> dict[str, Any]:
    url = start(google, len(data), **file).headers["x-goog-upload-url"]
    found = step(google, url, "upload, finalize", data).json()["file"]
    assert isinstance(found, dict)
    return found


def test_a_file_arrives_in_chunks_without_a_key(google: Google) -> None:
    started = start(google, 6, displayName="photo")
    assert (started.content, started.headers["x-goog-upload-status"]) == (b"", "active")
    url = started.headers["x-goog-upload-url"]
    assert step(google, url, "upload", b"abc").headers["x-goog-upload-status"] == "active"
    asked = step(google, url, "query")
    assert asked.headers["x-goog-upload-size-received"] == "3"
    final = step(google, url, "upload, finalize", b"def", offset=3)
    assert final.headers["x-goog-upload-status"] == "final"
    file = final.json()["file"]
    assert (file["displayName"], file["mimeType"], file["sizeBytes"]) == ("photo", "image/png", "6")
    digest = hashlib.sha256(b"abcdef").hexdigest().encode()
    assert base64.b64decode(file["sha256Hash"]) == digest
    assert (file["state"], file["source"]) == ("ACTIVE", "UPLOADED")
    assert file["expirationTime"] == "2026-11-23T10:00:00Z"
    refused(step(google, url, "query"), 404)


def test_a_file_can_be_got_listed_and_deleted(google: Google) -> None:
    assert google.send("GET", "/v1beta/files").json() == {}
    first, second = uploaded(google, b"1"), uploaded(google, b"2", name="files/my-id")
    assert google.send("GET", f"/v1/{first['name']}").json() == first
    assert google.send("GET", "/v1beta/files").json()["files"] == [second, first]
    page = google.send("GET", "/v1beta/files?pageSize=1").json()
    rest = google.send("GET", f"/v1beta/files?pageSize=1&pageToken={page['nextPageToken']}").json()
    assert (page["files"], rest) == ([second], {"files": [first]})
    assert google.send("DELETE", "/v1beta/files/my-id").json() == {}
    refused(google.send("GET", "/v1beta/files/my-id"), 403)
    refused(google.send("DELETE", "/v1beta/files/my-id"), 403)


def test_a_file_is_gone_after_48_hours(google: Google, clock: Clock) -> None:
    name = uploaded(google, b"1")["name"]
    clock.now += timedelta(hours=48)
    refused(google.send("GET", f"/v1beta/{name}"), 403)
    assert google.send("GET", "/v1beta/files").json() == {}


@pytest.mark.parametrize("path", ["/download/v1beta/{}:download?alt=media", "/v1beta/{}:download"])
def test_an_uploaded_file_cannot_be_downloaded(google: Google, path: str) -> None:
    name = uploaded(google, b"1")["name"]
    refused(google.send("GET", path.format(name)), 400)
    refused(google.send("GET", path.format("files/other")), 403)


def test_a_file_can_be_edited(google: Google) -> None:
    file = uploaded(google, photo(90, 160))
    data = {"fileUri": file["uri"], "mimeType": "image/png"}
    reply = google.generate(contents=[{"parts": [{"text": "Edit"}, {"fileData": data}]}])
    assert opened(images(reply)[0]).size == (768, 1376)


@pytest.mark.parametrize(
    ("uri", "code"), [("https://elsewhere.example/a.png", 400), ("files/none", 403)]
)
def test_an_address_that_holds_nothing_is_refused(google: Google, uri: str, code: int) -> None:
    contents = [{"parts": [{"text": "Edit"}, {"fileData": {"fileUri": uri}}]}]
    refused(google.generate(contents=contents), code)


def test_a_wrong_step_ends_the_upload(google: Google) -> None:
    for command, content, offset in (
        ("upload", b"a", 5),
        ("upload", b"abc", 0),
        ("upload, finalize", b"a", 0),
        ("explode", b"", 0),
    ):
        url = start(google, 2).headers["x-goog-upload-url"]
        answer = step(google, url, command, content, offset)
        refused(answer, 400)
        assert answer.headers["x-goog-upload-status"] == "cancelled"
        refused(step(google, url, "query"), 404)


def test_an_upload_can_be_cancelled(google: Google) -> None:
    url = start(google, 2).headers["x-goog-upload-url"]
    assert step(google, url, "cancel").headers["x-goog-upload-status"] == "cancelled"
    refused(step(google, url, "upload, finalize", b"ab"), 404)


def test_an_upload_starts_only_with_a_key_a_size_and_a_free_name(google: Google) -> None:
    refused(google.send("POST", "/upload/v1beta/files", {}, headers=NOBODY), 403)
    refused(google.send("POST", "/upload/v1beta/files", {}), 404)
    refused(start(google, 10**10), 400)
    refused(start(google, 1, name="files/No Good"), 400)
    refused(start(google, 1, colour="red"), 400)
    uploaded(google, b"1", name="files/taken")
    assert refused(start(google, 1, name="files/taken"), 409)["status"] == "ALREADY_EXISTS"
    once = {"x-goog-upload-command": "start", "x-goog-upload-protocol": "raw"}
    refused(google.send("POST", "/upload/v1beta/files", {}, headers=once), 400)

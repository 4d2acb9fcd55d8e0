"""What the compatibility table says of a field is what becomes of it."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.surfaces.table import SURFACES, endpoints
from tests.darkroom import TEST_KEY, Darkroom, photo, play

pytestmark = pytest.mark.pictures
KEY = {"authorization": f"Bearer {TEST_KEY}"}
PICTURE = photo(kind="PNG")
TEXT: dict[str, Any] = {"role": "user", "parts": [{"text": "a cup"}]}
BODIES: dict[str, dict[str, Any]] = {
    "/openai/v1/images/generations": {"model": "nano-banana", "prompt": "a cup"},
    "/openai/v1/images/edits": {
        "model": "nano-banana",
        "prompt": "a cup",
        "images": [{"image_url": f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"}],
    },
    "/openai/v1/chat/completions": {
        "model": "nano-banana",
        "messages": [{"role": "user", "content": "a cup"}],
    },
    "/gemini/{version}/models/{model}:generateContent": {"contents": [TEXT]},
    "/gemini/{version}/models/{model}:predict": {
        "instances": [{"prompt": "a cup"}],
        "parameters": {"sampleCount": 1},
    },
}
VALUES: dict[str, Any] = {
    "contents.parts.thought": True,
    "contents.parts.videoMetadata": {"fps": 1},
    "contents.parts.mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"},
    "contents.parts.partMetadata": {"a": 1},
    "contents.parts.functionCall": {"name": "f"},
    "generationConfig.thinkingConfig.includeThoughts": True,
    "generationConfig.responseLogprobs": True,
    "generationConfig.responseMimeType": "image/png",
    "generationConfig.enableEnhancedCivicAnswers": True,
    "generationConfig.audioTranscriptionConfig": {"a": 1},
    "generationConfig.responseSchema": {"type": "STRING"},
    "generationConfig.responseJsonSchema": {"type": "string"},
    "generationConfig.responseFormat": {"image": {}},
    "generationConfig.speechConfig": {"languageCode": "en"},
    "tools.functionDeclarations": [{"name": "f"}],
    "tools.googleSearch.timeRangeFilter": {"startTime": "2026-01-01T00:00:00Z"},
    "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    "cachedContent": "cachedContents/1",
    "continuationToken": "next",
    "serviceTier": "flex",
    "labels": {"a": "b"},
    "store": True,
    "parameters.includeSafetyAttributes": True,
    "parameters.addWatermark": True,
    "parameters.enhancePrompt": True,
    "parameters.negativePrompt": "plates",
    "parameters.storageUri": "gs://a/b",
    "parameters.labels": {"a": "b"},
    "markup": "data:,",
}
"""What to send for a field that takes no number."""
SEARCHES = "gemini-nano-banana-2.1"


def cases(treatment: str) -> list[Any]:
    return [
        pytest.param(path, name, id=f"{path} {name}")
        for surface in SURFACES
        for _, path, fields in endpoints(surface)
        if path in BODIES
        for name, (here, _) in fields.items()
        if here == treatment
    ]


def put(body: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    """The body with a value at a path; the lists in it have one entry."""
    name, *rest = path
    if not rest:
        return {**body, name: value}
    inner = body.get(name, [{}] if name in ("contents", "parts", "tools", "instances") else {})
    if isinstance(inner, list):
        return {**body, name: [put(inner[0], rest, value)]}
    return {**body, name: put(inner, rest, value)}


async def kept(darkroom: Darkroom) -> str:
    """The address of a file that was uploaded."""
    start = {"x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start"}
    begun = await darkroom.client.post("/gemini/upload/v1beta/files", headers=KEY | start)
    ended = await darkroom.client.post(
        begun.headers["x-goog-upload-url"],
        content=PICTURE,
        headers={"x-goog-upload-command": "upload, finalize"},
    )
    return str(ended.json()["file"]["uri"])


async def send(darkroom: Darkroom, path: str, name: str) -> httpx.Response:
    body = put(BODIES[path], name.split("."), VALUES.get(name, 1))
    if name == "contents.parts.fileData.displayName":
        file: dict[str, Any] = {"fileUri": await kept(darkroom), "displayName": "a cup"}
        body = {"contents": [{"parts": [*TEXT["parts"], {"fileData": file}]}]}
    if name == "contents.parts.thought":
        # What is only thought is no prompt.
        body["contents"].append(TEXT)
    model = SEARCHES if name.startswith("tools") else "nano-banana"
    url = path.replace("{version}", "v1beta").replace("{model}", model)
    return await darkroom.client.post(url, json=body, headers=KEY)


@pytest.mark.parametrize(("path", "name"), cases("ignored"))
def test_what_is_passed_over_is_named(tmp_path: Path, path: str, name: str) -> None:
    async def story(darkroom: Darkroom) -> None:
        answer = await send(darkroom, path, name)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-darkroom-ignored"] == name

    play(tmp_path, story)


@pytest.mark.parametrize(("path", "name"), cases("refused"))
def test_what_is_refused_is_an_error(tmp_path: Path, path: str, name: str) -> None:
    async def story(darkroom: Darkroom) -> None:
        answer = await send(darkroom, path, name)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["message"]

    play(tmp_path, story)


def test_what_is_listed_is_served(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        for surface in SURFACES:
            for method, path, _ in endpoints(surface):
                url = re.sub(r"\{(?!version)\w+\}", "x", path).replace("{version}", "v1")
                answer = await darkroom.client.request(method, url)
                assert answer.status_code in (401, 403), f"{method} {url}: {answer.text}"

    play(tmp_path, story)

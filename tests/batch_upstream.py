"""Providers' batch endpoints, made of a script: what they are handed, and what they give out."""

from __future__ import annotations

import abc
import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.upstream import Answer, png

GOOGLE = "https://generativelanguage.googleapis.com"
PAGE = b"<!DOCTYPE html>\n<html><title>Sorry...</title>\n<body>That is an error.</body></html>\n"
PIECE_BYTES = 10_000


@dataclass(frozen=True)
class Asked:
    """One line that a provider was handed: the name it has there, and its prompt."""

    key: str
    prompt: str


Write = Callable[[Sequence[Asked]], Iterable[bytes]]
"""What a batch of these brings: the lines of its results, without their ends."""


@dataclass
class Body(httpx.AsyncByteStream):
    """Bytes in pieces. `cut` says after how many the connection breaks; `between` is called after
    each piece."""

    data: bytes
    cut: int | None = None
    between: Callable[[], None] | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        end = len(self.data) if self.cut is None else min(self.cut, len(self.data))
        for start in range(0, end, PIECE_BYTES):
            yield self.data[start : min(start + PIECE_BYTES, end)]
            if self.between is not None:
                self.between()
        if end < len(self.data):
            raise httpx.RemoteProtocolError("peer closed connection")


@dataclass
class Provider(abc.ABC):
    """What the providers have in common. `batches` holds the name and the lines of each batch that
    was begun; `faults` are met first, by what is in the address; `cuts` break the next downloads,
    each after that many bytes; `ranges` is whether a file is given out from the middle on."""

    write: Write
    state: str = ""
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    faults: dict[str, list[Answer]] = field(default_factory=dict)
    between: Callable[[], None] | None = None
    calls: list[httpx.Request] = field(default_factory=list)
    batches: list[tuple[str, bytes]] = field(default_factory=list)
    uploads: list[bytes] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a call."""
        self.calls.append(request)
        for part, answers in self.faults.items():
            if part in request.url.path and answers:
                answer = answers.pop(0)
                if isinstance(answer, Exception):
                    raise answer
                return answer if isinstance(answer, httpx.Response) else await answer(request)
        return self.answer(request)

    @abc.abstractmethod
    def answer(self, request: httpx.Request) -> httpx.Response:
        """As the provider does when all is well."""

    @abc.abstractmethod
    def asked(self, number: int) -> list[Asked]:
        """The lines of a batch."""

    @property
    def downloads(self) -> list[int]:
        """From which byte on each download was asked for."""
        ranges = [c.headers.get("range", "bytes=0-") for c in self.calls if self.gives(c)]
        return [int(said.removeprefix("bytes=").removesuffix("-")) for said in ranges]

    @abc.abstractmethod
    def gives(self, request: httpx.Request) -> bool:
        """Whether a call asks for a file of results."""

    def file(self, request: httpx.Request, lines: Iterable[bytes]) -> httpx.Response:
        """A file of results, or the part of it that is asked for."""
        data = b"".join(line + b"\n" for line in lines)
        start = self.downloads[-1] if self.ranges else 0
        if start and start >= len(data):
            # RFC 9110, 15.5.17.
            return httpx.Response(416, headers={"content-range": f"bytes */{len(data)}"})
        cut = self.cuts.pop(0) if self.cuts else None
        return httpx.Response(
            206 if start else 200, stream=Body(data[start:], cut, between=self.between)
        )


@dataclass
class Google(Provider):
    """Batches of the Gemini API."""

    state: str = "BATCH_STATE_SUCCEEDED"

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.startswith("/upload/"):
            headers = {"x-goog-upload-url": f"{GOOGLE}/send/{len(self.uploads)}"}
            return httpx.Response(200, headers=headers)
        if path.startswith("/send/"):
            self.uploads.append(request.content)
            name = f"files/{len(self.uploads) - 1}"
            file = {"name": name, "uri": f"{GOOGLE}/v1beta/{name}", "state": "ACTIVE"}
            return httpx.Response(200, json={"file": file})
        if path.endswith(":batchGenerateContent"):
            return self._begun(json.loads(request.content)["batch"])
        if self.gives(request):
            [number] = re.findall(r"results-(\d+)", path)
            return self.file(request, self.write(self.asked(int(number))))
        if found := re.search(r"/batches/b(\d+)$", path):
            return httpx.Response(200, json=self._operation(int(found[1])))
        if path.endswith("/batches"):
            listed = [self._operation(number) for number in range(len(self.batches))]
            return httpx.Response(200, json={"operations": listed[::-1]})
        return httpx.Response(200, json={})

    def asked(self, number: int) -> list[Asked]:
        lines = [json.loads(line) for line in self.batches[number][1].splitlines()]
        return [
            Asked(
                line.get("key") or line["metadata"]["key"],
                line["request"]["contents"][-1]["parts"][-1]["text"],
            )
            for line in lines
        ]

    def gives(self, request: httpx.Request) -> bool:
        return request.url.path.startswith("/download/")

    def _begun(self, batch: dict[str, Any]) -> httpx.Response:
        given = batch["inputConfig"]
        if "fileName" in given:
            data = self.uploads[int(given["fileName"].removeprefix("files/"))]
        else:
            lines = given["requests"]["requests"]
            data = b"\n".join(json.dumps(line).encode() for line in lines)
        self.batches.append((batch["displayName"], data))
        return httpx.Response(200, json={"name": f"batches/b{len(self.batches) - 1}"})

    def _operation(self, number: int) -> dict[str, Any]:
        name, data = self.batches[number]
        said = {"name": f"batches/b{number}", "metadata": {"displayName": name}}
        output: dict[str, Any] = {"responsesFile": f"files/results-{number}"}
        if b'"key":' in data and b'"metadata"' in data:
            answers = [json.loads(line) for line in self.write(self.asked(number))]
            output = {"inlinedResponses": {"inlinedResponses": answers}}
        metadata = {"displayName": name, "state": self.state, "output": output}
        if self.state == "BATCH_STATE_RUNNING":
            return {**said, "metadata": {**metadata, "output": None}}
        return {**said, "metadata": metadata, "done": True, "response": output}


@dataclass
class OpenAI(Provider):
    """Batches of OpenAI: what succeeded and what failed are files of their own. A line that `write`
    gives is of the second if its answer is no success."""

    state: str = "completed"

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/v1/files":
            body = request.content
            start = body.index(b"\r\n\r\n", body.index(b"filename=")) + 4
            self.uploads.append(body[start : body.index(b"\r\n--", start)])
            return httpx.Response(200, json={"object": "file", "id": f"file-{len(self.uploads)}"})
        if path == "/v1/batches" and request.method == "POST":
            asked = json.loads(request.content)
            data = self.uploads[int(asked["input_file_id"].removeprefix("file-")) - 1]
            self.batches.append((asked["metadata"]["darkroom"], data))
            return httpx.Response(200, json=self._batch(len(self.batches) - 1))
        if self.gives(request):
            [(kind, number)] = re.findall(r"/file-(good|bad)(\d+)/", path)
            lines = self.write(self.asked(int(number)))
            return self.file(request, [one for one in lines if _is_bad(one) == (kind == "bad")])
        if found := re.search(r"/batches/batch_(\d+)", path):
            return httpx.Response(200, json=self._batch(int(found[1])))
        listed = [self._batch(number) for number in range(len(self.batches))]
        return httpx.Response(200, json={"object": "list", "data": listed[::-1]})

    def asked(self, number: int) -> list[Asked]:
        lines = [json.loads(line) for line in self.batches[number][1].splitlines()]
        return [Asked(line["custom_id"], line["body"]["prompt"]) for line in lines]

    def gives(self, request: httpx.Request) -> bool:
        return request.url.path.endswith("/content")

    def _batch(self, number: int) -> dict[str, Any]:
        return {
            "object": "batch",
            "id": f"batch_{number}",
            "status": self.state,
            "output_file_id": f"file-good{number}",
            "error_file_id": f"file-bad{number}",
            "metadata": {"darkroom": self.batches[number][0]},
        }


def google_line(key: str, data: bytes | None = None, signature: str = "") -> bytes:
    """A request that Google answered with a picture."""
    inline = {"mimeType": "image/png", "data": base64.b64encode(data or png()).decode()}
    part = {"inlineData": inline, **({"thoughtSignature": signature} if signature else {})}
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
    reply = {"candidates": [candidate], "usageMetadata": {"candidatesTokenCount": 1120}}
    return json.dumps({"response": reply, "key": key}).encode()


def google_error(key: str, code: int, message: str = "no") -> bytes:
    """A request that Google did not answer."""
    return json.dumps({"key": key, "error": {"code": code, "message": message}}).encode()


def google_withheld(key: str) -> bytes:
    """A request whose picture a filter of Google's kept back."""
    return json.dumps(
        {"key": key, "response": {"candidates": [{"finishReason": "IMAGE_SAFETY"}]}}
    ).encode()


def openai_line(key: str, data: bytes | None = None) -> bytes:
    """A request that OpenAI answered with a picture."""
    picture = {"b64_json": base64.b64encode(data or png()).decode()}
    usage = {"input_tokens": 10, "output_tokens": 272, "total_tokens": 282}
    answer = {"status_code": 200, "body": {"created": 1, "data": [picture], "usage": usage}}
    return json.dumps({"id": "x", "custom_id": key, "response": answer, "error": None}).encode()


def openai_error(key: str, status: int, code: str) -> bytes:
    """A request that OpenAI refused."""
    answer = {"status_code": status, "body": {"error": {"code": code, "message": "no"}}}
    return json.dumps({"custom_id": key, "response": answer, "error": None}).encode()


def _is_bad(line: bytes) -> bool:
    return b'"status_code": 4' in line or b'"response": null' in line

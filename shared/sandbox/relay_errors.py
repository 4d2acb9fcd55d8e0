"""How a relay refuses: errors as new-api writes them (its types/error.go, 2026), which most relays
run, and the web pages of what stands before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import httpx

from shared.domain import Json

RATE = (
    "Rate limit reached for {model} in organization org-sandbox on requests per minute (RPM): "
    "Limit 10, Used 10, Requested 1. Please try again in 1s."
)
DAY = (
    "Rate limit reached for {model} in organization org-sandbox on requests per day (RPD): "
    "Limit 500, Used 500, Requested 1. Please try again in 7h12m."
)
GATEWAYS = {502: "Bad Gateway", 503: "Service Temporarily Unavailable", 504: "Gateway Time-out"}


class Refused(Exception):
    """An answer that is an error: `status` of HTTP, and the fields of `error`."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        kind: str = "new_api_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.kind = kind
        self.headers = headers or {}

    def response(self, call: bytes) -> httpx.Response:
        """The error as it is sent; `call` makes its request id."""
        number = hashlib.sha256(call).hexdigest()[:24]
        error: Json = {
            "message": f"{self.message} (request id: {number})",
            "type": self.kind,
            "param": "",
            "code": self.code,
        }
        return answer({"error": error}, self.status, self.headers)


def answer(
    body: Json, status: int = 200, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """A JSON answer."""
    return httpx.Response(
        status,
        headers={"content-type": "application/json; charset=utf-8", **(headers or {})},
        content=json.dumps(body, ensure_ascii=False).encode(),
    )


def page(status: int) -> httpx.Response:
    """What nginx says when the relay behind it does not answer."""
    title = f"{status} {GATEWAYS[status]}"
    text = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1>"
        "</center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return httpx.Response(status, headers={"content-type": "text/html"}, content=text.encode())


def unknown_model(model: str) -> Refused:
    """No account behind the relay serves it."""
    return Refused(
        503,
        "model_not_found",
        f"No available channel for model {model} under group default (distributor)",
    )


def refuse(fault: str | None, model: str) -> None:
    """Raise the refusal that a fault of the sandbox stands for; others are left to the answer."""
    if fault == "rate_limited":
        code = "rate_limit_exceeded"
        raise Refused(429, code, RATE.format(model=model), "requests", {"retry-after": "1"})
    if fault == "quota_exhausted":
        raise Refused(429, "rate_limit_exceeded", DAY.format(model=model), "requests")
    if fault == "unavailable":
        busy = "The upstream load of this group is saturated. Please try again later."
        raise Refused(503, "get_channel_failed", busy)
    if fault == "server_error":
        raise Refused(500, "bad_response_status_code", "bad response status code 500")
    if fault == "blocked":
        blocked = "request blocked by Gemini API: PROHIBITED_CONTENT"
        raise Refused(400, "prompt_blocked", blocked, "upstream_error")

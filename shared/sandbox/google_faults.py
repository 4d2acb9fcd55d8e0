"""What goes wrong at Google when a prompt asks for it: refusals, and answers that arrive late,
torn or not at all.

Shapes: google.rpc error details in answers of generateContent, 2026-10.
"""

from __future__ import annotations

import base64

import httpx

from shared.domain import IMAGE_TYPES, Json
from shared.sandbox.directives import Orders
from shared.sandbox.google_proto import Refusal, detail

RATE_LIMITS = "https://ai.google.dev/gemini-api/docs/rate-limits"
SERVICE = "generativelanguage.googleapis.com"
PAGE = b"<!DOCTYPE html>\n<html><title>Sorry...</title><body>We're sorry.</body></html>\n"
TRANSPORT = ("timeout", "truncated")
"""Faults that only the front end of the sandbox can show: it finds them in the extensions."""


def refuse(fault: str | None, wire_model: str) -> None:
    """Raise the Refusal that a fault stands for; the others are left to the answer."""
    if fault == "rate_limited":
        raise _quota("GenerateRequestsPerMinutePerProjectPerModel", 10, 1, wire_model)
    if fault == "quota_exhausted":
        raise _quota("GenerateRequestsPerDayPerProjectPerModel", 1000, 39600, wire_model)
    if fault == "unavailable":
        demand = "This model is currently experiencing high demand. Spikes in demand are usually"
        raise Refusal(503, f"{demand} temporary. Please try again later.")
    if fault == "server_error":
        report = "https://developers.generativeai.google/guide/troubleshooting"
        raise Refusal(500, f"An internal error has occurred. Please retry or report in {report}")


def disturbed(response: httpx.Response, orders: Orders) -> httpx.Response:
    """The answer as it is to travel: `extensions` tell the front end of a delay in seconds
    (`delay_s`) and of a transport fault (`fault`)."""
    if orders.fault == "not_json":
        kind = {"content-type": "text/html; charset=UTF-8"}
        response = httpx.Response(200, headers=kind, content=PAGE)
    if orders.delay_s:
        response.extensions["delay_s"] = orders.delay_s
    if orders.fault in TRANSPORT:
        response.extensions["fault"] = orders.fault
    return response


def encoded(data: bytes, kind: str, orders: Orders, names: tuple[str, str]) -> dict[str, Json]:
    """A picture as JSON, under the names for its type and its bytes; spoilt if so ordered."""
    text = base64.b64encode(data).decode("ascii")
    if orders.fault == "bad_base64":
        text = f"{text[:64]}*!*{text[64:]}"
    if orders.fault == "wrong_mime":
        kind = "png" if kind == "jpeg" else "jpeg"
    return {names[0]: IMAGE_TYPES[kind], names[1]: text}


def _quota(quota_id: str, limit: int, retry_s: int, wire_model: str) -> Refusal:
    metric = f"{SERVICE}/generate_requests_per_model"
    violation: Json = {
        "quotaMetric": metric,
        "quotaId": quota_id,
        "quotaDimensions": {"location": "global", "model": wire_model},
        "quotaValue": str(limit),
    }
    link: Json = {"description": "Learn more about Gemini API quotas", "url": RATE_LIMITS}
    return Refusal(
        429,
        "You exceeded your current quota, please check your plan and billing details. For more "
        f"information on this error, head to: {RATE_LIMITS}.\n* Quota exceeded for metric: "
        f"{metric}, limit: {limit}, model: {wire_model}\nPlease retry in {retry_s}s.",
        [
            detail("QuotaFailure", violations=[violation]),
            detail("Help", links=[link]),
            detail("RetryInfo", retryDelay=f"{retry_s}s"),
        ],
    )

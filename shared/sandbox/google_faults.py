"""How Google refuses when a prompt asks for it.

Shapes: google.rpc error details in answers of generateContent, 2026-10.
"""

from __future__ import annotations

from shared.domain import Json
from shared.surfaces.google_json import Refusal, detail

RATE_LIMITS = "https://ai.google.dev/gemini-api/docs/rate-limits"
SERVICE = "generativelanguage.googleapis.com"


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

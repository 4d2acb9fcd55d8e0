"""Google's Imagen :predict on the Gemini Developer API (ai.google.dev/gemini-api/docs/imagen; shut
down on 2026-08-17, kept for relays and the sandbox).

One call makes up to four pictures. Filtered ones are left out, with a reason where it was asked
for; an answer without any is `{}`.
"""

from __future__ import annotations

import httpx

from shared.domain import Endpoint, ImageRequest, Json, Usage
from shared.errors import HTTP_STATUS, ContentBlocked
from shared.providers import Done, google_errors, no_poll, no_sketch, no_uploads
from shared.providers.bodies import post, present, unpack
from shared.providers.google_json import Message

_FORMATS = {"png": "image/png", "jpeg": "image/jpeg"}


class _Prediction(Message):
    """A picture, the reason why there is none, or scores of the prompt, which has neither."""

    mime_type: str = ""
    bytes_base64_encoded: str = ""
    rai_filtered_reason: str = ""


class _Reply(Message):
    predictions: tuple[_Prediction, ...] = ()


def submit(request: ImageRequest, endpoint: Endpoint) -> httpx.Request:
    """Ask for `request.n` pictures."""
    options = request.options
    output = {
        "mimeType": _FORMATS.get(request.output_format or ""),
        "compressionQuality": request.output_quality,
    }
    parameters: dict[str, Json] = {
        "sampleCount": request.n,
        "aspectRatio": request.aspect_ratio,
        "sampleImageSize": request.resolution,
        "personGeneration": options.get("person_generation"),
        "safetySetting": options.get("safety_setting"),
        "language": options.get("language"),
        "guidanceScale": options.get("guidance_scale"),
        # Without it a filtered picture leaves no trace, and nothing could be said about it.
        "includeRaiReason": options.get("include_rai_reason", True),
        "includeSafetyAttributes": options.get("include_safety_attributes"),
        "outputOptions": present(output) or None,
    }
    url = endpoint.address(f"models/{endpoint.wire_model}:predict")
    body: Json = {"instances": [{"prompt": request.prompt}], "parameters": present(parameters)}
    return post(url, endpoint, body)


def read(response: httpx.Response) -> Done:
    """The pictures that came, and how many were kept back."""
    reply = google_errors.parse(_Reply, response)
    images = tuple(
        unpack(p.bytes_base64_encoded, p.mime_type)
        for p in reply.predictions
        if p.bytes_base64_encoded
    )
    reasons = [p.rai_filtered_reason for p in reply.predictions if p.rai_filtered_reason]
    reason = google_errors.safe("; ".join(dict.fromkeys(reasons)), 300) or None
    if not images:
        raise ContentBlocked(
            reason or "The provider blocked every picture. Change the prompt.",
            details={HTTP_STATUS: response.status_code},
        )
    return Done(
        images=images, usage=Usage(images=len(images)), withheld=len(reasons), reason=reason
    )


poll = no_poll
uploads = no_uploads
sketch = no_sketch

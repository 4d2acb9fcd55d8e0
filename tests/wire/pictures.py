"""The pictures in what the vendors' SDKs return, opened; and a mask to send."""

from __future__ import annotations

import base64
import io

from google.genai import types
from openai import BaseModel
from openai.types import ImagesResponse
from PIL import Image

from tests.sandbox.conftest import opened


def drawn(response: ImagesResponse) -> list[Image.Image]:
    """Those of OpenAI's images API."""
    return [opened(base64.b64decode(item.b64_json or "")) for item in response.data or []]


def chatted(message: BaseModel) -> list[Image.Image]:
    """Those of a message in a chat or of a piece of one. OpenAI's own have none: they are where
    OpenRouter puts them."""
    found = (message.model_extra or {}).get("images") or []
    urls = [str(image["image_url"]["url"]) for image in found]
    assert all(url.startswith("data:image/") for url in urls)
    return [opened(base64.b64decode(url.partition(",")[2])) for url in urls]


def painted(response: types.GenerateContentResponse) -> list[Image.Image]:
    """Those of the first candidate of a Gemini, without its thoughts."""
    parts = response.parts or []
    blobs = [part.inline_data for part in parts if part.inline_data and not part.thought]
    return [opened(blob.data or b"") for blob in blobs]


def mask(size: tuple[int, int]) -> bytes:
    """One under which everything may change."""
    file = io.BytesIO()
    Image.new("RGBA", size).save(file, "PNG")
    return file.getvalue()

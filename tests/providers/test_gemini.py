"""What fixtures cannot show of the generateContent adapter: masks, uploads, replay of turns."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from types import MappingProxyType
from typing import Any

import httpx
import pytest
from PIL import Image

from shared.domain import Endpoint, ImageRequest, Picture, Source, Turn
from shared.errors import Internal
from shared.providers import Done, Inline, gemini, imagen, mask

ENDPOINT = Endpoint("https://provider.test/", "v1beta", "model-1", "provider-key", "x-goog-api-key")


def png(mode: str, size: tuple[int, int], pixels: list[Any]) -> bytes:
    image = Image.new(mode, size)
    image.putdata(pixels)
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def sized(count: int) -> Source:
    return Source(b"\0" * count, "image/png", 1, 1)


def edit(*sources: Source, **fields: Any) -> ImageRequest:
    return ImageRequest("edit", "model", "Make it blue", sources=sources, **fields)


def body(request: ImageRequest) -> Any:
    return json.loads(gemini.submit(request, ENDPOINT).content)


def test_a_mask_is_white_where_it_is_transparent_and_black_elsewhere() -> None:
    colours = [(9, 9, 9, 0), (9, 9, 9, 255), (0, 0, 0, 127), (0, 0, 0, 128)]
    drawn = Image.open(BytesIO(mask.black_and_white(png("RGBA", (2, 2), colours))))
    assert drawn.format == "PNG"
    assert drawn.size == (2, 2)
    assert list(drawn.convert("L").tobytes()) == [255, 0, 255, 0]


def test_a_mask_without_alpha_lets_nothing_change() -> None:
    drawn = Image.open(BytesIO(mask.black_and_white(png("L", (2, 1), [0, 255]))))
    assert list(drawn.convert("L").tobytes()) == [0, 0]


def test_a_mask_follows_the_sources_and_is_explained() -> None:
    masked = Source(png("LA", (1, 1), [(5, 0)]), "image/png", 1, 1)
    parts = body(edit(sized(3), mask=masked))["contents"][0]["parts"]
    assert [list(part) for part in parts] == [["text"], ["inlineData"], ["text"], ["inlineData"]]
    assert "mask" in parts[2]["text"]
    drawn = base64.b64decode(parts[3]["inlineData"]["data"])
    assert drawn == mask.black_and_white(masked.data)
    assert parts[3]["inlineData"]["mimeType"] == "image/png"


def test_sources_stay_in_the_body_up_to_the_limit() -> None:
    fitting = gemini.INLINE_LIMIT_BYTES // 4 * 3
    assert gemini.uploads(edit(sized(fitting)), ENDPOINT) == ()
    assert gemini.uploads(edit(), ENDPOINT) == ()


def test_above_the_limit_every_source_is_uploaded_first() -> None:
    request = edit(sized(3), sized(gemini.INLINE_LIMIT_BYTES // 4 * 3))
    small, large = gemini.uploads(request, ENDPOINT)
    assert (small.source, large.source) == (0, 1)
    assert str(small.start.url) == "https://provider.test/upload/v1beta/files"
    assert large.start.method == "POST"
    assert large.start.headers["x-goog-upload-header-content-length"] == "15000000"


def test_a_source_with_an_address_is_not_uploaded_again() -> None:
    held = Source(b"\0" * 20_000_000, "image/png", 1, 1, uri="https://provider.test/files/a")
    assert gemini.uploads(edit(held, sized(3)), ENDPOINT) == ()


def test_an_answer_comes_back_in_the_next_turn_with_its_signatures_unchanged() -> None:
    signature = base64.b64encode(bytes(range(256)) * 5000).decode()
    parts = [
        {"thought": True, "text": "Let me see."},
        {"text": "Voilà: ½ 自 🚲", "thoughtSignature": signature[::-1]},
        {
            "inlineData": {"mimeType": "image/jpeg", "data": "AAAA"},
            "thoughtSignature": signature,
            "someday": {"z": 1.5, "a": [None, False]},
        },
    ]
    answer = {"candidates": [{"content": {"role": "model", "parts": parts}}]}
    outcome = gemini.read(httpx.Response(200, json=answer))
    assert isinstance(outcome, Done)
    [inline] = outcome.images
    assert isinstance(inline, Inline)
    assert 0 in (outcome.reply or ())
    picture = Picture(inline.data, "image/jpeg", 1, 1)
    turn = Turn("A bicycle", (), (picture,), "gemini", ENDPOINT.wire_model, outcome.reply)
    contents = body(edit(turns=(turn,)))["contents"]
    assert contents[1] == {"role": "model", "parts": parts[1:]}
    assert json.dumps(contents[1]["parts"]) == json.dumps(parts[1:])
    assert [content["role"] for content in contents] == ["user", "model", "user"]


def test_read_only_options_can_be_sent() -> None:
    setting = MappingProxyType({"category": "C", "threshold": "OFF"})
    request = edit(options=MappingProxyType({"safety_settings": (setting,)}))
    assert body(request)["safetySettings"] == [{"category": "C", "threshold": "OFF"}]


@pytest.mark.parametrize("poll", [gemini.poll, imagen.poll])
def test_a_finished_format_is_never_polled(poll: Any) -> None:
    with pytest.raises(Internal):
        poll("token", ENDPOINT)


def test_imagen_uploads_nothing() -> None:
    assert imagen.uploads(edit(sized(20_000_000)), ENDPOINT) == ()

"""What fixtures cannot show of Ark's adapter: any bytes, and its rows."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared import catalogue, pricing
from shared.domain import ImageRequest
from shared.errors import DarkroomError
from shared.providers import Done, ark

ASKED = httpx.Request("POST", "https://ark.test/api/v3/images/generations")
NAMES = [
    *("data", "b64_json", "url", "output_format", "error", "code", "message", "type", "param"),
    *("usage", "generated_images", "output_tokens", "size", "model"),
]
VALUES = ["AAAA", "!", "png", "OutputImageSensitiveContentDetected", "429", "\ud800"]
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(VALUES)
    | st.text(max_size=8)
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=20,
)
near = st.fixed_dictionaries(
    {"data": st.lists(st.dictionaries(st.sampled_from(NAMES[:9]), trees, max_size=4), max_size=3)},
    optional={"usage": st.dictionaries(st.sampled_from(NAMES), leaves, max_size=3) | trees},
)
PRO_TIER_PIXELS = 2_610_000
"""Of Seedream 5.0 Pro: the most at the lower price."""


def read(content: bytes, status: int) -> None:
    """A Done, or an error of ours; nothing else."""
    answer = httpx.Response(status, content=content, request=ASKED)
    try:
        assert isinstance(ark.read(answer), Done)
    except DarkroomError as error:
        assert error.details["http_status"] == status
        assert len(error.message) < 400


@pytest.mark.thorough
@settings(max_examples=150)
@given(near | trees, st.sampled_from([200, 200, 400, 429, 500]))
@example({"data": [{"b64_json": "AAAA"}], "usage": {"generated_images": 10**400}}, 200)
@example({"data": [{"error": {"message": {"deep": 1}}}, {"error": [1]}]}, 200)
def test_any_json_is_read_or_refused(body: Any, status: int) -> None:
    read(json.dumps(body).encode(), status)


@settings(max_examples=50)
@given(st.binary(max_size=64), st.sampled_from([200, 204, 302, 400, 503, 524]))
@example(b"[" * 100_000, 200)
@example(b'{"data": [{"b64_json": "' + b"A" * 5 + b'"}]}', 200)
def test_any_bytes_are_read_or_refused(content: bytes, status: int) -> None:
    read(content, status)


def test_a_message_never_shows_the_request_or_an_address() -> None:
    words = "bad image data:image/png;base64,AAAA at https://ark.test/x with ark-0123456789abcdef"
    body = {"error": {"code": "InvalidParameter", "message": words}}
    with pytest.raises(DarkroomError) as caught:
        ark.read(httpx.Response(400, json=body, request=ASKED))
    for hidden in ("base64", "https://", "ark-0123"):
        assert hidden not in caught.value.message


@pytest.mark.parametrize("model", ["seedream-4-0", "seedream-4-5", "seedream-5-0-lite"])
def test_references_and_the_picture_never_exceed_fifteen(model: str) -> None:
    row = catalogue.load().models[model]
    route = next(r for r in row.routes if r.provider == "ark")
    assert row.max_sources + route.images_per_call <= 15


def test_the_pro_models_price_follows_the_pixels() -> None:
    rows = catalogue.load()
    model = rows.models["seedream-5-0-pro"]
    (route,) = (r for r in model.routes if r.provider == "ark")
    for resolution in model.resolutions:
        asked = ImageRequest("generate", model.id, "x", resolution=resolution)
        most = max(math.prod(model.sizes[ratio][resolution]) for ratio in model.aspect_ratios)
        dear = most > PRO_TIER_PIXELS
        assert pricing.unit_micros(asked, route, rows) == (90_000 if dear else 45_000)


@pytest.mark.parametrize(
    ("alias", "model"),
    [
        ("seedream-4", "seedream-4-0"),
        ("seedream-4.5", "seedream-4-5"),
        ("seedream-5-lite", "seedream-5-0-lite"),
        ("seedream-5-pro", "seedream-5-0-pro"),
    ],
)
def test_models_answer_to_their_usual_names(alias: str, model: str) -> None:
    assert catalogue.load().find(alias).id == model

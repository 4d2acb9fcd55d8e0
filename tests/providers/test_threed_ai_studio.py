"""What fixtures cannot show of 3D AI Studio's adapter: masks, how looks follow each other, the
wallet, and any bytes at all."""

from __future__ import annotations

import base64
import io
import json
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.domain import Endpoint, ImageRequest, Source
from shared.errors import (
    DarkroomError,
    Misconfigured,
    NoImage,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
)
from shared.providers import Done, Pending, Remote, threed_ai_studio

ENDPOINT = Endpoint("https://provider.test/", "v1", "gemini/3/pro", "provider-key")
TASK = "a1b2c3d4-0000-4000-8000-ef1234567890"


def png(size: tuple[int, int], hole: tuple[int, int, int, int] | None = None) -> bytes:
    image = Image.new("RGBA", size, "red")
    if hole:
        image.paste((0, 0, 0, 0), hole)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def look(token: str, body: object, status: int = 200) -> Done | Pending:
    """The meaning of an answer to a look at a task."""
    request = threed_ai_studio.poll(token, ENDPOINT)
    return threed_ai_studio.read(httpx.Response(status, json=body, request=request))


def finished(*assets: str | None) -> dict[str, Any]:
    return {"status": "FINISHED", "results": [{"asset": asset} for asset in assets]}


def wallet(body: object, status: int = 200) -> Decimal:
    request = threed_ai_studio.balance(ENDPOINT)
    return threed_ai_studio.read_balance(httpx.Response(status, json=body, request=request))


def test_a_mask_goes_along_as_the_last_picture_and_is_explained() -> None:
    photo, holed = png((4, 2)), png((4, 2), hole=(0, 0, 2, 2))
    source = Source(photo, "image/png", 4, 2)
    request = ImageRequest(
        operation="edit",
        model="m",
        prompt="Make it blue",
        sources=(source, source),
        mask=Source(holed, "image/png", 4, 2),
    )
    sent = threed_ai_studio.submit(request, ENDPOINT)
    body = json.loads(sent.content)
    assert sent.url.path.endswith("/edit/")
    assert body["prompt"].startswith("Make it blue\n\nThe last image is a mask for the first")
    assert len(body["images"]) == 3
    kind, _, data = body["images"][-1].partition(";base64,")
    assert kind == "data:image/png"
    with Image.open(io.BytesIO(base64.b64decode(data))) as drawn:
        assert drawn.size == (4, 2)
        assert [drawn.getpixel((x, 0)) for x in (0, 3)] == [255, 0]


def test_a_task_is_followed_from_its_submission_to_its_picture() -> None:
    asked = threed_ai_studio.submit(ImageRequest("generate", "m", "A bicycle"), ENDPOINT)
    begun = threed_ai_studio.read(httpx.Response(201, json={"task_id": TASK}, request=asked))
    assert begun == Pending(TASK, 10.0)
    waiting = look(begun.token, {"status": "PENDING"})
    assert waiting == begun
    late = look(TASK, finished(None))
    assert isinstance(late, Pending)
    assert late.after_s == 5.0
    assert look(late.token, finished("https://x.test/1.png")) == look(
        TASK, finished("https://x.test/1.png")
    )


def test_a_task_that_hangs_is_looked_at_for_as_long_as_anybody_asks() -> None:
    for status in ("PENDING", "IN_PROGRESS"):
        token = TASK
        for _ in range(100):
            seen = look(token, {"status": status, "results": []})
            assert isinstance(seen, Pending)
            token = seen.token
        assert token == TASK


@pytest.mark.parametrize(
    ("body", "end"),
    [(finished(), NoImage), (finished(None, None), NoImage), (["nonsense"], OutcomeUnknown)],
)
def test_a_finished_task_with_nothing_to_show_is_looked_at_six_times_more(
    body: object, end: type[DarkroomError]
) -> None:
    token, looks, waited_s = TASK, 0, 0.0
    with pytest.raises(end):
        while looks < 20:
            seen = look(token, body)
            assert isinstance(seen, Pending)
            token, looks, waited_s = seen.token, looks + 1, waited_s + seen.after_s
    assert (looks, waited_s) == (6, 30.0)


def test_what_came_is_taken_when_the_rest_does_not_come() -> None:
    seen = look(f"{TASK}#late=6", finished(None, "https://x.test/2.png"))
    assert isinstance(seen, Done)
    assert seen.images == (Remote("https://x.test/2.png"),)


def test_the_count_of_looks_never_leaves_this_process() -> None:
    request = threed_ai_studio.poll(f"{TASK}#late=2", ENDPOINT)
    assert request.url.fragment == "late=2"
    assert request.url.raw_path == f"/v1/generation-request/{TASK}/status/".encode()


@pytest.mark.parametrize("late", ["", "late", "late=", "late=-1", "late=999", "late=1e3", "x=2"])
def test_a_fragment_that_is_none_of_ours_counts_as_a_first_look(late: str) -> None:
    assert look(f"{TASK}#{late}", finished(None)) == Pending(f"{TASK}#late=1", 5.0)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 429, 500, 502, 503, 504, 524])
def test_a_look_that_fails_never_says_that_the_task_did(status: int) -> None:
    """Only with 404 is there nothing left to look at; any other is to be tried again."""
    with pytest.raises(DarkroomError) as caught:
        look(TASK, {"detail": "no"}, status)
    assert caught.value.details["http_status"] == status
    assert isinstance(caught.value, OutcomeUnknown) == (status == 404)


def test_too_many_looks_are_slowed_down() -> None:
    with pytest.raises(RateLimited) as caught:
        look(TASK, {"code": "rate_limited", "message": "Slow down."}, 429)
    assert caught.value.retry_after_s == 30.0


def test_the_wallet_is_asked_for_outside_the_version() -> None:
    request = threed_ai_studio.balance(ENDPOINT)
    assert str(request.url) == "https://provider.test/account/user/wallet/"
    assert request.headers["authorization"] == "Bearer provider-key"


@pytest.mark.parametrize(
    ("body", "credits"),
    [
        ({"balance": "150.00"}, "150.00"),
        ({"balance": "20.00", "rate_limit": 3}, "20.00"),
        ({"balance": "0"}, "0"),
        ({"balance": "-3.5"}, "-3.5"),
        ({"balance": "999999999999.999999"}, "999999999999.999999"),
    ],
)
def test_a_balance_is_read_to_the_last_digit(body: object, credits: str) -> None:
    assert wallet(body) == Decimal(credits)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        {"balance": None},
        {"balance": 150.5},
        {"balance": "NaN"},
        {"balance": "Infinity"},
        {"balance": "1e9"},
        {"balance": "1,000.00"},
        {"balance": ""},
        {"balance": "12\n"},
        {"balance": "٣"},
        {"balance": "9" * 40},
        {"balance": {"amount": "1"}},
    ],
)
def test_a_balance_that_is_no_number_is_not_made_one(body: object) -> None:
    with pytest.raises(ProviderError):
        wallet(body)


def test_a_wallet_that_is_shut_says_why() -> None:
    with pytest.raises(Misconfigured):
        wallet({"code": "invalid_api_key", "message": "no"}, 401)
    with pytest.raises(RateLimited):
        wallet({"detail": "Request was throttled."}, 429)


NAMES = ["task_id", "status", "failure_reason", "results", "asset", "asset_url", "error", "detail"]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.sampled_from(["FINISHED", "FAILED", "PENDING", "https://x.test/1.png", "..", "a/b"])
TREES = st.recursive(
    LEAVES | VALUES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
    ),
    max_leaves=12,
)
NEAR = st.fixed_dictionaries(
    {"status": VALUES | TREES},
    optional={"results": st.lists(TREES, max_size=3) | TREES, "failure_reason": TREES},
)
BODIES = st.binary(max_size=64) | (TREES | NEAR).map(lambda tree: json.dumps(tree).encode())
STATUSES = st.sampled_from([200, 200, 200, 201, 204, 302, 400, 402, 404, 429, 500, 503, 504, 999])


@pytest.mark.thorough
@settings(max_examples=150)
@given(BODIES, STATUSES, st.sampled_from(["", "#late=3", "#late=6", None]))
def test_any_answer_is_a_picture_a_wait_or_an_error_of_ours(
    body: bytes, status: int, late: str | None
) -> None:
    asked = threed_ai_studio.submit(ImageRequest("generate", "m", "A bicycle"), ENDPOINT)
    if late is not None:
        asked = threed_ai_studio.poll(f"{TASK}{late}", ENDPOINT)
    try:
        outcome = threed_ai_studio.read(httpx.Response(status, content=body, request=asked))
    except DarkroomError as error:
        shown = {"message": error.message, "details": error.details}
        json.dumps(shown, ensure_ascii=False).encode()
        assert error.message
    else:
        assert 200 <= status < 300
        if isinstance(outcome, Done):
            assert outcome.images
        else:
            # What is to be looked at next can be looked at, and is below the same path.
            path = threed_ai_studio.poll(outcome.token, ENDPOINT).url.raw_path
            assert path.startswith(b"/v1/generation-request/")
            assert path.endswith(b"/status/")
            assert b"/../" not in path

"""3D AI Studio: submitting, looking and fetching, what its keys and credits do, and that every
directive ends as it should once our own adapter has read it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest

from shared import errors, routing
from shared.catalogue import Catalogue
from shared.catalogue.rows import Route
from shared.domain import Endpoint, ImageRequest, Picture, Source
from shared.exchange import Call, Errand, Exchange
from shared.fetch import Fetcher
from shared.providers import threed_ai_studio
from shared.sandbox import InProcess, Sandbox
from shared.sandbox.threedaistudio_bodies import understand
from shared.sandbox.threedaistudio_tasks import CREDITS, MOST, Sketch
from tests.sandbox.conftest import Clock, opened, packed, photo

pytestmark = pytest.mark.pictures

PROVIDER = "threedaistudio"
PRO, FLASH, OLD, SEEDREAM = (
    "gemini/3/pro",
    "gemini/3.1/flash",
    "gemini/2.5/flash",
    "seedream/v5/lite",
)
BASE = f"http://sandbox/{PROVIDER}"


@dataclass
class Studio:
    """Calls to the sandbox's 3D AI Studio, by hand or through our own adapter."""

    sandbox: Sandbox
    rows: Catalogue
    clock: Clock
    slept: list[float] = field(default_factory=list)

    def send(self, method: str, url: str, key: str | None = "key", **sent: Any) -> httpx.Response:
        address = url if url.startswith("http") else f"{BASE}{url}"
        headers = {"authorization": f"Bearer {key}"} if key is not None else {}
        headers |= sent.pop("headers", {})
        return self.sandbox.handle(httpx.Request(method, address, headers=headers, **sent))

    def submit(
        self, model: str = PRO, action: str = "generate", key: str | None = "key", **body: Any
    ) -> httpx.Response:
        fields = {"prompt": "A red bicycle", **body}
        return self.send("POST", f"/v1/images/{model}/{action}/", key, json=fields)

    def task(self, model: str = PRO, action: str = "generate", key: str = "key", **b: Any) -> str:
        answer = self.submit(model, action, key, **b)
        assert answer.status_code == 201, answer.text
        assert set(answer.json()) == {"task_id", "created_at"}
        return str(answer.json()["task_id"])

    def look(self, task: str, key: str | None = "key") -> httpx.Response:
        return self.send("GET", f"/v1/generation-request/{task}/status/", key)

    def assets(self, *args: Any, **body: Any) -> list[str]:
        """Where the pictures of a new task lie, once it is looked at for the second time."""
        task = self.task(*args, **body)
        self.look(task)
        return [result["asset"] for result in self.look(task).json()["results"]]

    def pictures(self, *args: Any, **body: Any) -> list[bytes]:
        found = [self.send("GET", asset, None) for asset in self.assets(*args, **body)]
        assert all(answer.status_code == 200 for answer in found)
        return [answer.content for answer in found]

    def balance(self, key: str = "key", path: str = "/account/user/wallet/") -> str:
        return str(self.send("GET", path, key).json()["balance"])

    def made(
        self, request: ImageRequest, key: str = "sandbox", id: str = "req_1"
    ) -> tuple[Picture, ...]:
        """The pictures of one call through the adapter. Raises DarkroomError."""
        route = self.route(request.model)
        (call,) = itertools.islice(routing.calls(request, route, self.rows.offer(route)), 1)
        endpoint = Endpoint(BASE, "v1", route.wire_model, key)

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            self.clock.now += timedelta(seconds=seconds)

        async def run() -> tuple[Picture, ...]:
            sandbox = InProcess(self.sandbox, sleep)
            exchange = Exchange(sandbox, sandbox, Fetcher(), sleep)
            made = Call(call, route, self.rows.providers[PROVIDER], endpoint)
            return (await exchange.run(made, Errand(id, True, 1e9))).pictures

        return asyncio.run(run())

    def route(self, model: str) -> Route:
        return self.rows.route(f"{PROVIDER}:{model}")


@pytest.fixture
def studio(rows: Catalogue, clock: Clock) -> Studio:
    return Studio(Sandbox(rows, clock), rows, clock)


def refused(answer: httpx.Response, status: int, code: str) -> str:
    """The words of an error, its form checked."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"code", "message"}
    assert answer.json()["code"] == code
    return str(answer.json()["message"])


def uri(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{packed(data)}"


def asked(model: str = "gemini-3-pro-image", prompt: str = "A bicycle", **f: Any) -> ImageRequest:
    return ImageRequest(f.pop("operation", "generate"), model, prompt, **f)


def test_a_task_is_finished_before_its_picture_has_an_address(studio: Studio) -> None:
    task = studio.task()
    first, second = studio.look(task).json(), studio.look(task).json()
    empty = {"asset": None, "asset_type": "IMAGE", "metadata": None}
    done = {"status": "FINISHED", "progress": 100, "failure_reason": None}
    assert first == {**done, "results": [empty]}
    asset = f"{BASE}/assets/{task}-0.png"
    assert second == {**done, "results": [{**empty, "asset": asset}]}
    assert studio.look(task).json() == second
    assert opened(studio.send("GET", asset, None).content).size == (1024, 1024)


def test_a_slow_account_waits_first_and_a_hung_one_for_ever(studio: Studio) -> None:
    task = studio.task(key="slow-1")
    seen = [studio.look(task, "slow-1").json() for _ in range(5)]
    waits = ["PENDING", "IN_PROGRESS", "IN_PROGRESS", "FINISHED", "FINISHED"]
    assert [look["status"] for look in seen] == waits
    assert [bool(look["results"]) for look in seen] == [False, False, False, True, True]
    hung = studio.task(key="hung")
    assert {studio.look(hung, "hung").json()["status"] for _ in range(9)} == {"PENDING"}


def test_a_task_is_nobodys_but_its_keys(studio: Studio) -> None:
    task = studio.task()
    refused(studio.look(task, "another"), 404, "not_found")
    refused(studio.look("nothing"), 404, "not_found")


def test_pictures_are_fetched_without_a_key_for_a_day(studio: Studio, clock: Clock) -> None:
    (asset,) = studio.assets()
    keyed = studio.send("GET", asset)
    assert (keyed.status_code, keyed.headers["content-type"]) == (400, "application/xml")
    clock.now += timedelta(hours=23, minutes=59)
    plain = studio.send("GET", asset, None)
    assert (plain.status_code, plain.headers["content-type"]) == (200, "image/png")
    clock.now += timedelta(minutes=1)
    assert studio.send("GET", asset, None).status_code == 403
    for wrong in (asset.replace("-0.png", "-1.png"), asset.replace(".png", ".webp")):
        assert studio.send("GET", wrong, None).status_code == 404


def test_a_picture_has_no_address_where_it_was_not_finished(studio: Studio) -> None:
    task = studio.task(prompt="A bicycle [sandbox:blocked]")
    assert studio.send("GET", f"/assets/{task}-0.png", None).status_code == 404


def test_the_address_of_a_picture_is_where_the_sandbox_was_reached(studio: Studio) -> None:
    elsewhere = f"http://127.0.0.1:8099/{PROVIDER}/v1"
    body = {"prompt": "A bicycle"}
    task = studio.send("POST", f"{elsewhere}/images/{OLD}/generate/", json=body).json()["task_id"]
    status = f"{elsewhere}/generation-request/{task}/status/?x=1"
    (found,) = [studio.send("GET", status).json() for _ in range(2)][-1]["results"]
    assert found["asset"] == f"http://127.0.0.1:8099/{PROVIDER}/assets/{task}-0.png"


@pytest.mark.parametrize(
    ("model", "body", "size", "kind"),
    [
        (PRO, {"resolution": "2K", "aspect_ratio": "21:9"}, (3168, 1344), "PNG"),
        (FLASH, {"resolution": "512px", "aspect_ratio": "8:1"}, (1536, 192), "PNG"),
        (FLASH, {"output_format": "webp"}, (1024, 1024), "WEBP"),
        (OLD, {"aspect_ratio": "16:9", "output_format": "jpeg"}, (1344, 768), "JPEG"),
        (SEEDREAM, {"image_size": "landscape_4_3"}, (2304, 1728), "PNG"),
        (SEEDREAM, {"image_size": "square"}, (2048, 2048), "PNG"),
        (SEEDREAM, {"image_size": "auto_3K"}, (3072, 3072), "PNG"),
        (SEEDREAM, {}, (2048, 2048), "PNG"),
    ],
)
def test_shape_and_file_are_those_asked_for(
    studio: Studio, model: str, body: dict[str, Any], size: tuple[int, int], kind: str
) -> None:
    (data,) = studio.pictures(model, **body)
    assert (opened(data).size, opened(data).format) == (size, kind)


def test_several_pictures_differ_and_a_seed_makes_them_again(studio: Studio) -> None:
    once = studio.pictures(SEEDREAM, num_images=2, seed=7)
    assert len(set(once)) == 2
    assert studio.pictures(SEEDREAM, num_images=2, seed=7) == once
    assert not set(studio.pictures(SEEDREAM, num_images=2)) & set(once)
    assert studio.pictures(OLD) != studio.pictures(OLD)


def test_an_edit_takes_the_shape_of_its_first_picture(studio: Studio) -> None:
    wide, tall = uri(photo(160, 90)), uri(photo(90, 160, kind="JPEG"), "jpeg")
    (data,) = studio.pictures(OLD, "edit", images=[wide, tall])
    assert opened(data).size == (1344, 768)
    (data,) = studio.pictures(SEEDREAM, "edit", image_urls=[tall])
    assert opened(data).size == (1600, 2848)


@pytest.mark.parametrize(
    ("model", "action", "body", "words"),
    [
        (PRO, "generate", {"resolution": "8K"}, "must be one of 1K, 2K, 4K"),
        (FLASH, "generate", {"resolution": "512"}, "must be one of 1K, 512px, 2K, 4K"),
        (OLD, "generate", {"resolution": "1K"}, "unknown field 'resolution'"),
        (PRO, "generate", {"aspect_ratio": "8:1"}, "aspect_ratio: must be one of auto, 1:1"),
        (PRO, "generate", {"num_images": 5}, "from 1 to 4"),
        (PRO, "generate", {"num_images": 0}, "num_images"),
        (PRO, "generate", {"num_images": "2"}, "num_images"),
        (PRO, "generate", {"count": 2}, "unknown field 'count'"),
        (PRO, "generate", {"seed": 1}, "unknown field 'seed'"),
        (PRO, "generate", {"images": []}, "unknown field 'images'"),
        (PRO, "generate", {"output_format": "gif"}, "'png', 'jpeg' or 'webp'"),
        (PRO, "generate", {"prompt": ""}, "prompt"),
        (PRO, "generate", {"prompt": None}, "prompt"),
        (PRO, "edit", {}, "from 1 to 14 images"),
        (PRO, "edit", {"images": ["x"] * 15}, "from 1 to 14 images"),
        (PRO, "edit", {"images": ["https://x.test/1.png"]}, "must be data URIs"),
        (PRO, "edit", {"images": ["data:image/png;base64,AAAA"]}, "not an image"),
        (PRO, "edit", {"images": ["data:image/png;base64,AAAAA"]}, "not an image"),
        (SEEDREAM, "generate", {"image_size": "1:1"}, "'square_hd'"),
        (SEEDREAM, "generate", {"seed": -1}, "seed"),
        (SEEDREAM, "generate", {"num_images": 7}, "from 1 to 6"),
        (SEEDREAM, "generate", {"resolution": "2K"}, "unknown field 'resolution'"),
        (SEEDREAM, "edit", {"image_urls": ["x"] * 11}, "from 1 to 10 images"),
        (SEEDREAM, "generate", {"prompt": "x" * 4001}, "at most 4000"),
        (PRO, "generate", {"prompt": "[sandbox:nonsense]"}, "not a sandbox directive"),
    ],
)
def test_a_wrong_field_is_refused_with_what_is_right(
    studio: Studio, model: str, action: str, body: dict[str, Any], words: str
) -> None:
    said = refused(studio.submit(model, action, **body), 400, "validation_failed")
    assert words in said
    assert studio.balance() == f"{CREDITS:.2f}"


def test_a_body_that_is_no_json_object_is_refused(studio: Studio) -> None:
    path, kind = f"/v1/images/{PRO}/generate/", {"content-type": "application/json"}
    for content in (b"", b"{", b"[]", b'"x"', b"[" * 100_000):
        answer = studio.send("POST", path, content=content, headers=kind)
        refused(answer, 400, "validation_failed")
    refused(studio.send("POST", path, data={"prompt": "x"}), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "invalid_api_key"),
        ("bad-key", "invalid_api_key"),
        ("expired", "api_key_expired"),
        ("revoked-1", "api_key_revoked"),
    ],
)
def test_a_key_that_opens_nothing_is_refused_everywhere(
    studio: Studio, key: str | None, code: str
) -> None:
    for answer in (studio.submit(key=key), studio.look("x", key)):
        refused(answer, 401, code)
    refused(studio.send("GET", "/user/wallet/", key), 401, code)


@pytest.mark.parametrize("shown", ["", "key", "Bearer", "Token key", "Bearer a b"])
def test_a_key_is_shown_as_a_bearer_token(studio: Studio, shown: str) -> None:
    answer = studio.send("GET", "/user/wallet/", None, headers={"authorization": shown})
    refused(answer, 401, "invalid_api_key")


def test_paths_end_with_a_slash_and_know_their_method(studio: Studio) -> None:
    body = {"prompt": "A bicycle"}
    for path in (f"/v1/images/{PRO}/generate", "/v1/images/gemini/9/generate/", "/v2/x/", "/"):
        refused(studio.send("POST", path, json=body), 404, "not_found")
    refused(studio.send("GET", f"/v1/images/{PRO}/generate/"), 405, "method_not_allowed")


def test_some_accounts_speak_django(studio: Studio, clock: Clock) -> None:
    answer = studio.submit(key="django-1", resolution="8K")
    assert answer.json() == {"detail": "resolution: must be one of 1K, 2K, 4K."}
    assert studio.submit(key="django-poor-1").json() == {
        "detail": "Not enough credits. Top up your wallet."
    }
    assert studio.submit(key="django-bad").status_code == 401
    for _ in range(3):
        studio.look("x", "django-limited")
    limited = studio.look("x", "django-limited")
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "20")


def test_a_limited_account_has_three_requests_a_minute_looks_included(
    studio: Studio, clock: Clock
) -> None:
    task = studio.task(key="limited-1")
    assert studio.look(task, "limited-1").status_code == 200
    assert studio.send("GET", "/user/wallet/", "limited-1").status_code == 200
    answer = studio.look(task, "limited-1")
    refused(answer, 429, "rate_limited")
    assert "retry-after" not in answer.headers
    assert studio.task(key="limited-2")
    clock.now += timedelta(seconds=59)
    refused(studio.submit(key="limited-1"), 429, "rate_limited")
    clock.now += timedelta(seconds=1)
    assert studio.look(task, "limited-1").json()["results"][0]["asset"]


@pytest.mark.parametrize(
    ("model", "body", "credits"),
    [
        (PRO, {}, 50),
        (PRO, {"resolution": "4K", "num_images": 4}, 320),
        (FLASH, {"resolution": "512px"}, 10),
        (FLASH, {}, 15),
        (FLASH, {"resolution": "4K"}, 25),
        (OLD, {"num_images": 2}, 10),
        (SEEDREAM, {"image_size": "auto_3K", "num_images": 6}, 60),
    ],
)
def test_credits_are_taken_when_a_task_is_submitted(
    studio: Studio, model: str, body: dict[str, Any], credits: int
) -> None:
    task = studio.task(model, **body)
    assert studio.balance() == f"{CREDITS - credits:.2f}"
    studio.look(task), studio.look(task)
    assert studio.balance(path="/user/wallet/") == f"{CREDITS - credits:.2f}"
    assert studio.balance("another") == f"{CREDITS:.2f}"


def test_a_task_that_fails_is_paid_back_once(studio: Studio) -> None:
    task = studio.task(prompt="A bicycle [sandbox:blocked]")
    assert studio.balance() == f"{CREDITS - 50:.2f}"
    for _ in range(2):
        seen = studio.look(task).json()
        assert (seen["status"], seen["results"]) == ("FAILED", [])
        assert "safety" in seen["failure_reason"]
        assert studio.balance() == f"{CREDITS:.2f}"


def test_a_poor_account_can_buy_nothing(studio: Studio) -> None:
    assert studio.balance("poor-1") == "0.00"
    refused(studio.submit(key="poor-1"), 402, "insufficient_credits")
    assert studio.balance("poor-1") == "0.00"


def test_an_empty_wallet_is_filled_again(studio: Studio) -> None:
    for _ in range(int(CREDITS) // 320):
        studio.submit(resolution="4K", num_images=4)
    assert studio.balance() == "160.00"
    studio.task(resolution="4K", num_images=4)
    assert studio.balance() == f"{CREDITS - 320:.2f}"


def test_only_the_latest_tasks_and_accounts_are_remembered(studio: Studio) -> None:
    first = studio.task(OLD)
    for number in range(MOST):
        studio.task(OLD, key=f"key{number}")
    refused(studio.look(first), 404, "not_found")
    assert studio.balance() == f"{CREDITS:.2f}"


SAME: Mapping[str, tuple[type[errors.DarkroomError], float]] = {
    "rate_limited": (errors.RateLimited, 0),
    "quota_exhausted": (errors.QuotaExceeded, 0),
    "unavailable": (errors.ProviderUnavailable, 0),
    "server_error": (errors.ProviderError, 0),
    "not_json": (errors.ProviderError, 0),
    "timeout": (errors.OutcomeUnknown, 0),
    "truncated": (errors.OutcomeUnknown, 0),
    "blocked": (errors.ContentBlocked, 10),
    "partial": (errors.ContentBlocked, 10),
    "bad_base64": (errors.ProviderError, 15),
    "no_image": (errors.NoImage, 40),
    "text_only": (errors.NoImage, 40),
}


@pytest.mark.parametrize("fault", SAME)
@pytest.mark.parametrize("model", ["gemini-2.5-flash-image", "seedream-5-0-lite"])
def test_a_directive_ends_as_its_error_in_the_time_it_may_take(
    studio: Studio, model: str, fault: str
) -> None:
    kind, waited_s = SAME[fault]
    with pytest.raises(errors.DarkroomError) as caught:
        studio.made(asked(model, f"A bicycle [sandbox:{fault}]"))
    assert type(caught.value) is kind
    # Between two downloads of what is no picture nobody waits: it was fetched well.
    assert sum(studio.slept) == waited_s


@pytest.mark.parametrize("mark", ["[sandbox:wrong_mime]", "[sandbox:slow=2]", "[sandbox:bytes=9]"])
def test_a_picture_comes_all_the_same(studio: Studio, mark: str) -> None:
    (picture,) = studio.made(asked(prompt=f"A bicycle {mark}"))
    assert picture.content_type == "image/png"
    assert (2.0 in studio.slept) == ("slow" in mark)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_a_picture_can_be_made_large_in_any_format(studio: Studio, kind: str) -> None:
    body = {"prompt": "A bicycle [sandbox:bytes=500000]", "output_format": kind}
    (data,) = studio.pictures(OLD, **body)
    assert 500_000 <= len(data) <= 500_010
    assert opened(data).format == kind.upper()


def test_partial_leaves_one_of_several_out(studio: Studio) -> None:
    assert len(studio.made(asked(prompt="A bicycle [sandbox:partial]", n=3))) == 2


def test_a_fault_may_pass_with_the_next_call_of_a_request(studio: Studio) -> None:
    request = asked(prompt="A bicycle [sandbox:rate_limited*1]")
    with pytest.raises(errors.RateLimited):
        studio.made(request, id="req_a")
    assert len(studio.made(request, id="req_a")) == 1


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("bad", errors.Misconfigured),
        ("expired", errors.Misconfigured),
        ("poor", errors.Misconfigured),
        ("django-poor", errors.Misconfigured),
        ("hung", errors.OutcomeUnknown),
    ],
)
def test_what_an_account_cannot_do_is_told_apart(
    studio: Studio, key: str, kind: type[errors.DarkroomError]
) -> None:
    with pytest.raises(errors.DarkroomError) as caught:
        studio.made(asked(), key)
    assert type(caught.value) is kind


def test_a_limited_account_gets_its_picture_once_the_minute_is_over(studio: Studio) -> None:
    studio.send("GET", "/user/wallet/", "limited-1")
    assert len(studio.made(asked(), "limited-1")) == 1
    assert studio.slept == [10.0, 5.0, 30.0, 30.0]


def test_a_slow_account_gets_its_picture_in_the_end(studio: Studio) -> None:
    (picture,) = studio.made(asked(aspect_ratio="3:4", resolution="2K"), "slow")
    assert (picture.width, picture.height) == (1792, 2400)
    assert studio.slept == [10.0, 10.0, 10.0, 10.0, 5.0]


def test_every_row_is_understood_in_every_size_it_has(studio: Studio) -> None:
    found = [r for m in studio.rows.models.values() for r in m.routes if r.provider == PROVIDER]
    assert len(found) >= 4
    for route in found:
        offer = studio.rows.offer(route)
        for ratio, name in itertools.product(offer.aspect_ratios, offer.resolutions):
            request = asked(route.model, aspect_ratio=ratio, resolution=name)
            (call,) = routing.calls(request, route, offer)
            sent = threed_ai_studio.submit(call, Endpoint(BASE, "v1", route.wire_model, "key"))
            scene = understand(sent, "generate", (offer, route), b"")
            sizes = [s.size for s in scene.sketches if isinstance(s, Sketch)]
            assert sizes == [offer.sizes[ratio][name]]


def test_an_edit_with_a_mask_goes_through_the_adapter(studio: Studio) -> None:
    source = Source(photo(160, 90), "image/png", 160, 90)
    request = asked("gemini-3.1-flash-image", operation="edit", sources=(source,), mask=source)
    (picture,) = studio.made(request)
    assert (picture.width, picture.height) == (1376, 768)


def test_the_wallet_is_read_by_the_adapter(studio: Studio) -> None:
    endpoint = Endpoint(BASE, "v1", PRO, "key")
    studio.task()
    request = threed_ai_studio.balance(endpoint)
    answer = studio.sandbox.handle(request)
    answer.request = request
    assert threed_ai_studio.read_balance(answer) == CREDITS - 50


def test_a_model_is_gone_once_its_route_is_shut_down(rows: Catalogue, clock: Clock) -> None:
    pro = rows.models["gemini-3-pro-image"]
    gone = tuple(r.model_copy(update={"shutdown": clock.today()}) for r in pro.routes)
    models = {**rows.models, pro.id: pro.model_copy(update={"routes": gone})}
    changed = Catalogue(models, rows.providers, rows.aliases, rows.offers)
    refused(Studio(Sandbox(changed, clock), changed, clock).submit(), 404, "not_found")

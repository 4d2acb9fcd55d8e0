"""`POST /generate`, from HTTP to a stored and settled picture."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from shared.domain import Limits
from tests.darkroom import TEST_KEY, Darkroom, play
from tests.faults import FAULTS
from tests.upstream import Gate, picture, png, refusal, withheld

pytestmark = pytest.mark.pictures

PRO = {"model": "nano-banana-pro", "prompt": "a red bicycle"}


def test_a_picture_of_the_right_size_is_stored_linked_and_recorded(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {**PRO, "aspect_ratio": "16:9", "resolution": "2K", "metadata": {"order": "17"}}
        answer = await darkroom.post("/generate", body)
        assert answer.status_code == 200
        made = answer.json()
        assert made["status"] == "succeeded"
        assert made["model"] == "gemini-3-pro-image"
        assert made["provider"] == "google"
        assert made["sandbox"] is True
        assert made["metadata"] == {"order": "17"}
        assert made["cost"] == {
            "usd": "0.000000",
            "credits": None,
            "estimated_usd": "0.134000",
            "free_tier": False,
        }
        assert [a["outcome"] for a in made["attempts"]] == ["succeeded"]
        (image,) = made["images"]
        assert (image["width"], image["height"]) == (2752, 1536)
        assert image["b64_json"] is None
        fetched = await darkroom.client.get(image["url"])
        assert fetched.status_code == 200
        assert fetched.headers["content-type"] == image["content_type"] == "image/jpeg"
        assert len(fetched.content) == image["bytes"]
        assert hashlib.sha256(fetched.content).hexdigest() == image["sha256"]
        assert Image.open(io.BytesIO(fetched.content)).size == (2752, 1536)
        again = await darkroom.get(f"/account/requests/{made['id']}")
        assert again.json() == made
        await darkroom.check()

    play(tmp_path, story)


def test_a_live_key_pays_for_what_was_delivered_and_no_more(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        answer = await darkroom.post("/generate", {**PRO, "n": 3}, key)
        made = answer.json()
        assert made["cost"]["usd"] == "0.268000"
        assert made["cost"]["estimated_usd"] == "0.402000"
        assert len(made["images"]) == 2
        assert made["error"]["code"] == "partially_blocked"
        assert made["usage"] == {"input_tokens": 10, "output_tokens": 2240, "images": 2}
        assert await darkroom.balance_micros(key) == 1_000_000 - 268_000
        ledger = (await darkroom.get("/account/ledger", key)).json()["data"]
        usd = {e["kind"]: (e["usd"], e["request_id"]) for e in ledger}
        assert usd == {"grant": ("1.000000", None), "charge": ("-0.268000", made["id"])}
        await darkroom.check()

    play(tmp_path, story, withheld(), picture())


def test_the_providers_own_bytes_are_stored_untouched(tmp_path: Path) -> None:
    original = png("green", 32)

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        made = (await darkroom.post("/generate", {**PRO, "delivery": "b64_json"}, key)).json()
        assert base64.b64decode(made["images"][0]["b64_json"]) == original
        assert (await darkroom.client.get(made["images"][0]["url"])).content == original

    play(tmp_path, story, picture(original))


def test_another_format_is_made_only_when_asked_for(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        made = (await darkroom.post("/generate", {**PRO, "output_format": "webp"})).json()
        assert made["images"][0]["content_type"] == "image/webp"
        fetched = await darkroom.client.get(made["images"][0]["url"])
        assert Image.open(io.BytesIO(fetched.content)).format == "WEBP"

    play(tmp_path, story)


def test_the_same_seed_gives_the_same_picture(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        hashes = []
        for seed in (7, 7, 8):
            made = (await darkroom.post("/generate", {**PRO, "seed": seed})).json()
            hashes.append(made["images"][0]["sha256"])
        assert hashes[0] == hashes[1] != hashes[2]

    play(tmp_path, story)


def test_an_idempotency_key_has_one_answer(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        first = await darkroom.post("/generate", PRO, key, idempotency_key="k1")
        again = await darkroom.post("/generate", PRO, key, idempotency_key="k1")
        assert first.status_code == again.status_code == 200
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json() == first.json()
        assert len(darkroom.upstream.calls) == 1
        inline = {**PRO, "delivery": "b64_json"}
        other = await darkroom.post("/generate", inline, key, idempotency_key="k1")
        assert other.status_code == 422
        assert other.json()["error"]["code"] == "idempotency_conflict"
        found = await darkroom.get("/account/requests", key, idempotency_key="k1")
        assert [r["id"] for r in found.json()["data"]] == [first.json()["id"]]
        await darkroom.check()

    play(tmp_path, story, picture())


def test_a_replayed_answer_brings_its_pictures_inline_again(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {**PRO, "delivery": "b64_json"}
        first = await darkroom.post("/generate", body, idempotency_key="k1")
        again = await darkroom.post("/generate", body, idempotency_key="k1")
        assert again.json() == first.json()

    play(tmp_path, story)


def test_an_idempotency_key_remembers_a_failure_too(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        first = await darkroom.post("/generate", PRO, key, idempotency_key="k1")
        again = await darkroom.post("/generate", PRO, key, idempotency_key="k1")
        assert (first.status_code, again.status_code) == (422, 422)
        assert again.json() == first.json()
        assert len(darkroom.upstream.calls) == 1

    play(tmp_path, story, withheld(), picture())


def test_the_same_key_at_once_is_one_request(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        answers = await asyncio.gather(
            *(darkroom.post("/generate", PRO, key, idempotency_key="k1") for _ in range(8))
        )
        assert sorted(a.status_code for a in answers) == [200] + [409] * 7
        busy = next(a for a in answers if a.status_code == 409)
        assert busy.json()["error"]["code"] == "in_progress"
        assert int(busy.headers["retry-after"]) >= 1
        assert len(darkroom.upstream.calls) == 1
        await darkroom.check()

    async def slow(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.3)
        return picture()

    play(tmp_path, story, slow)


def test_a_live_and_a_test_key_do_not_share_idempotency(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        test = (await darkroom.post("/generate", PRO, idempotency_key="k1")).json()
        live = (await darkroom.post("/generate", PRO, key, idempotency_key="k1")).json()
        assert test["sandbox"] and not live["sandbox"]
        assert test["id"] != live["id"]

    play(tmp_path, story, picture())


@pytest.mark.parametrize(("directive", "status", "code"), FAULTS)
def test_a_fault_of_the_sandbox_ends_in_its_error_and_costs_nothing(
    tmp_path: Path, directive: str, status: int, code: str
) -> None:
    async def story(darkroom: Darkroom) -> None:
        google = {"providers": ["google"]}
        body = {**PRO, "prompt": f"a cup [sandbox:{directive}]", "route": google}
        answer = await darkroom.post("/generate", body)
        assert answer.status_code == status
        error = answer.json()["error"]
        assert error["code"] == code
        assert error["provider"] == "google"
        assert error["message"]
        assert ("retry-after" in answer.headers) == (error["retry_after_s"] is not None)
        record = (await darkroom.get(f"/account/requests/{error['request_id']}")).json()
        assert record["status"] == "failed"
        assert record["error"]["code"] == code
        assert record["images"] == []
        assert not list((tmp_path / "objects").rglob("images/*/*"))
        await darkroom.check()

    play(tmp_path, story)


@pytest.mark.parametrize(
    "directive",
    ["rate_limited*2", "unavailable*1", "server_error*3", "wrong_mime", "slow=2.5", "bytes=300000"],
)
def test_a_passing_fault_of_the_sandbox_still_ends_in_a_picture(
    tmp_path: Path, directive: str
) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {**PRO, "prompt": f"a cup [sandbox:{directive}]"}
        made = (await darkroom.post("/generate", body)).json()
        assert made["status"] == "succeeded"
        fetched = await darkroom.client.get(made["images"][0]["url"])
        kind = Image.open(io.BytesIO(fetched.content)).get_format_mimetype()
        assert kind == made["images"][0]["content_type"]
        if directive == "slow=2.5":
            assert 2.5 in darkroom.slept
        if directive.startswith("bytes"):
            assert made["images"][0]["bytes"] >= 300_000

    play(tmp_path, story)


def test_partial_leaves_one_picture_out(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {**PRO, "prompt": "cups [sandbox:partial]", "n": 3}
        made = (await darkroom.post("/generate", body)).json()
        assert made["status"] == "succeeded"
        assert len(made["images"]) == 2
        assert made["error"]["code"] == "partially_blocked"

    play(tmp_path, story)


REFUSED: list[tuple[dict[str, Any], int, str, str]] = [
    ({**PRO, "n": 0}, 400, "invalid_request", "n"),
    ({**PRO, "n": 99}, 400, "invalid_request", "n"),
    ({**PRO, "sparkle": 1}, 400, "invalid_request", "sparkle"),
    ({**PRO, "aspect_ratio": "1:8"}, 400, "invalid_request", "aspect_ratio"),
    ({**PRO, "model": "no-such"}, 404, "not_found", "model"),
    ({**PRO, "model": "imagen-4.0-generate-001"}, 410, "model_retired", "model"),
]


@pytest.mark.parametrize(("body", "status", "code", "param"), REFUSED)
def test_a_wrong_request_leaves_nothing_behind(
    tmp_path: Path, body: dict[str, Any], status: int, code: str, param: str
) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        answer = await darkroom.post("/generate", body, key)
        assert answer.status_code == status
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == (code, param)
        assert (await darkroom.get("/account/requests", key)).json()["data"] == []
        assert await darkroom.balance_micros(key) == 1_000_000
        assert darkroom.upstream.calls == []

    play(tmp_path, story, picture())


def test_without_credit_nothing_is_asked_of_a_provider(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=0)
        answer = await darkroom.post("/generate", PRO, key)
        assert answer.status_code == 402
        assert answer.json()["error"]["code"] == "insufficient_credit"
        assert darkroom.upstream.calls == []

    play(tmp_path, story, picture())


def test_a_live_key_needs_a_provider_key(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        answer = await darkroom.post("/generate", PRO, key)
        assert answer.status_code == 503
        assert "GEMINI_API_KEY" in answer.json()["error"]["message"]

    play(tmp_path, story, picture(), env={"GEMINI_API_KEY": ""})


def test_quotas_are_kept_and_say_when_to_come_back(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(limits=Limits(rpm=2, rpd=3))
        codes = [(await darkroom.post("/generate", PRO, key)).status_code for _ in range(3)]
        assert codes == [200, 200, 429]
        darkroom.pass_time(timedelta(minutes=1))
        assert (await darkroom.post("/generate", PRO, key)).status_code == 200
        over = await darkroom.post("/generate", PRO, key)
        assert over.json()["error"]["code"] == "quota_exceeded"
        assert int(over.headers["retry-after"]) == 14 * 3600 - 60
        await darkroom.check()

    play(tmp_path, story, picture())


def test_a_monthly_limit_is_not_passed(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(limits=Limits(monthly_micros=300_000))
        codes = [(await darkroom.post("/generate", PRO, key)).status_code for _ in range(3)]
        assert codes == [200, 200, 429]

    play(tmp_path, story, picture())


def test_a_caller_whose_time_is_up_finds_the_picture_later(tmp_path: Path) -> None:
    gate = Gate()

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        body = {**PRO, "timeout_s": 1}
        late = await darkroom.post("/generate", body, key, idempotency_key="k1")
        assert late.status_code == 504
        error = late.json()["error"]
        assert error["code"] == "outcome_unknown"
        running = (await darkroom.get(f"/account/requests/{error['request_id']}", key)).json()
        assert running["status"] == "running"
        gate.opened.set()
        for _ in range(200):
            found = (await darkroom.get(f"/account/requests/{error['request_id']}", key)).json()
            if found["status"] != "running":
                break
            await asyncio.sleep(0.01)
        assert found["status"] == "succeeded"
        replay = await darkroom.post("/generate", body, key, idempotency_key="k1")
        assert replay.json()["images"][0]["sha256"] == found["images"][0]["sha256"]
        assert len(darkroom.upstream.calls) == 1
        await darkroom.check()

    play(tmp_path, story, gate)


def test_a_caller_who_hangs_up_loses_nothing(tmp_path: Path) -> None:
    gate = Gate()

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        call = asyncio.create_task(darkroom.post("/generate", PRO, key, idempotency_key="k1"))
        await gate.asked.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        gate.opened.set()
        for _ in range(200):
            found = await darkroom.get("/account/requests", key, idempotency_key="k1")
            if found.json()["data"][0]["status"] != "running":
                break
            await asyncio.sleep(0.01)
        (made,) = found.json()["data"]
        assert made["status"] == "succeeded"
        assert (await darkroom.client.get(made["images"][0]["url"])).status_code == 200
        await darkroom.check()

    play(tmp_path, story, gate)


def test_no_key_a_wrong_key_and_a_revoked_key_open_nothing(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        missing = await darkroom.client.post("/generate", json=PRO)
        assert missing.status_code == 401
        assert missing.headers["www-authenticate"] == "Bearer"
        wrong = await darkroom.post("/generate", PRO, "dk_live_wrong")
        assert wrong.json()["error"]["code"] == "unauthenticated"
        revoked = await darkroom.live_key()
        caller = await darkroom.app.accounts.authenticate("dk_test_of_the_tests")
        assert caller.test
        found = await darkroom.app.records.key(_hash(revoked))
        assert found is not None
        await darkroom.app.records.revoke_key(found.id, darkroom.now)
        assert (await darkroom.post("/generate", PRO, revoked)).status_code == 401

    play(tmp_path, story, picture())


def test_a_key_is_taken_from_each_of_its_headers(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        for header in ("x-api-key", "x-goog-api-key"):
            headers = {header: "dk_test_of_the_tests"}
            assert (await darkroom.client.get("/account", headers=headers)).status_code == 200

    play(tmp_path, story)


def test_a_crash_of_ours_frees_the_hold(tmp_path: Path) -> None:
    async def broken(_: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        answer = await darkroom.post("/generate", PRO, key)
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "internal"
        assert await darkroom.balance_micros(key) == 1_000_000
        await darkroom.check()

    play(tmp_path, story, broken)


def test_a_provider_that_says_no_for_now_passes_its_delay_on(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        answer = await darkroom.post("/generate", {**PRO, "timeout_s": 20}, key)
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "37"
        assert answer.json()["error"]["retryable"] is True

    play(tmp_path, story, refusal(429, "RESOURCE_EXHAUSTED", retry="37s"))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def test_a_picture_that_cannot_be_stored_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        put = darkroom.app.storage.put

        async def full(name: str, *rest: Any) -> bool:
            if name.endswith("/0"):
                raise OSError("no space left")
            return await put(name, *rest)

        darkroom.app.storage.put = full  # type: ignore[method-assign, assignment] # a fault
        made = (await darkroom.post("/generate", {**PRO, "n": 2}, key)).json()
        assert made["status"] == "succeeded"
        assert made["cost"]["usd"] == "0.134000"
        assert made["error"]["code"] == "provider_error"
        (image,) = made["images"]
        assert image["id"].endswith("_1")
        assert (await darkroom.client.get(image["url"])).status_code == 200
        await darkroom.check()

    play(tmp_path, story, picture())


def test_pictures_nobody_asked_for_are_delivered_and_not_charged(tmp_path: Path) -> None:
    three = json.loads(picture().content)
    three["candidates"][0]["content"]["parts"] *= 3

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        made = (await darkroom.post("/generate", PRO, key)).json()
        assert len(made["images"]) == 3
        assert made["cost"]["usd"] == "0.134000"
        assert made["error"] is None
        # The hold is for the dearest model that might serve; the charge is for the one that did.
        cheap = (await darkroom.post("/generate", {"prompt": "a cup"}, key)).json()
        assert len(cheap["images"]) == 3
        assert cheap["cost"]["usd"] == "0.033600"
        await darkroom.check()

    play(tmp_path, story, httpx.Response(200, json=three))


def test_nothing_secret_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        logger = logging.getLogger("darkroom")
        logger.addHandler(caplog.handler)
        caplog.set_level("DEBUG", "darkroom")
        await darkroom.post("/generate", {**PRO, "n": 2}, key)
        await darkroom.post("/generate", {**PRO, "n": 0}, key)
        logger.removeHandler(caplog.handler)
        lines = [str(vars(record)) for record in caplog.records]
        assert len(lines) >= 4
        for secret in (key, "a red bicycle", "a-key", "of the tests"):
            assert not [line for line in lines if secret in line]

    play(tmp_path, story, picture())


def test_a_picture_that_cannot_be_converted_does_not_take_the_others_with_it(
    tmp_path: Path,
) -> None:
    whole = png("green", 64)
    broken = whole[:60] + bytes(20) + whole[80:]

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        body = {**PRO, "n": 2, "output_format": "webp"}
        made = (await darkroom.post("/generate", body, key)).json()
        assert made["status"] == "succeeded"
        assert [i["content_type"] for i in made["images"]] == ["image/webp"]
        assert made["cost"]["usd"] == "0.134000"
        none = await darkroom.post("/generate", {**body, "n": 1}, key)
        assert none.status_code == 502
        record = await darkroom.get(f"/account/requests/{none.json()['error']['request_id']}", key)
        assert [a["outcome"] for a in record.json()["attempts"]] == ["succeeded"]
        await darkroom.check()

    play(tmp_path, story, picture(whole), picture(broken))


def test_a_slow_sandbox_is_waited_for(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {**PRO, "prompt": "a cup [sandbox:slow=50]"}
        assert (await darkroom.post("/generate", body)).status_code == 200
        assert 50 in darkroom.slept

    play(tmp_path, story)


@pytest.mark.parametrize(
    "text",
    [
        '{"prompt": "x", "aspect_ratio": "\\ud800"}',
        '{"prompt": "\\ud800"}',
        '{"prompt": "x", "options": {"\\ud800": 1}}',
        '{"prompt": "x", "options": {"a": ' + "[" * 5000 + "]" * 5000 + "}}",
        '{"prompt": "x", "timeout_s": NaN}',
        '{"prompt": "x", "options": {"temperature": Infinity}}',
    ],
)
def test_what_json_should_not_hold_is_refused(tmp_path: Path, text: str) -> None:
    async def story(darkroom: Darkroom) -> None:
        headers = {"authorization": "Bearer dk_test_of_the_tests"}
        for path in ("/generate", "/models/estimate"):
            answer = await darkroom.client.post(path, content=text, headers=headers)
            assert answer.status_code == 400, answer.text

    play(tmp_path, story)


def test_a_lost_picture_is_none_and_not_empty(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {**PRO, "delivery": "b64_json"}
        first = (await darkroom.post("/generate", body, idempotency_key="k")).json()
        await darkroom.app.storage.delete(f"images/{first['id']}/0")
        again = (await darkroom.post("/generate", body, idempotency_key="k")).json()
        assert again["images"][0]["b64_json"] is None

    play(tmp_path, story)


def test_who_leaves_the_choice_to_us_pays_for_the_first_choice_at_most(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=0)
        caller = await darkroom.app.accounts.authenticate(key)
        await darkroom.grant(caller.account_id, 40_000)
        made = (await darkroom.post("/generate", {"prompt": "a cup"}, key)).json()
        assert made["cost"]["usd"] == made["cost"]["estimated_usd"] == "0.033600"
        short = await darkroom.post("/generate", {"prompt": "a cup"}, key)
        assert short.json()["error"]["details"] == {
            "needed_usd": "0.033600",
            "available_usd": "0.006400",
        }

    play(tmp_path, story, picture())


def test_a_body_of_very_many_values_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        many = '{"prompt": "x", "options": {"a": [' + "[]," * 200_000 + "[]]}}"
        flood = "{" + ",".join(f'"{n}": 1' for n in range(50_000)) + "}"
        headers = {"authorization": f"Bearer {TEST_KEY}"}
        answer = await darkroom.client.post("/generate", content=many, headers=headers)
        assert answer.status_code == 413
        for path in ("/generate", "/models/estimate"):
            answer = await darkroom.client.post(path, content=flood, headers=headers)
            assert answer.json()["error"]["param"] == "0"
        large = await darkroom.client.post("/models/estimate", content=bytes(2**21))
        assert large.status_code == 413

    play(tmp_path, story)


def test_an_idempotency_key_knows_a_body_again_in_any_order(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        first = {**PRO, "metadata": {"a": "1", "b": "2"}, "seed": None}
        again = {"metadata": {"b": "2", "a": "1"}, **PRO}
        one = await darkroom.post("/generate", first, idempotency_key="k")
        two = await darkroom.post("/generate", again, idempotency_key="k")
        assert two.status_code == 200, two.text
        assert one.json()["id"] == two.json()["id"]

    play(tmp_path, story)


def test_an_output_quality_is_kept_even_in_the_providers_own_format(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        sizes = []
        for quality in (10, 95):
            body = {**PRO, "seed": 1, "output_format": "jpeg", "output_quality": quality}
            sizes.append((await darkroom.post("/generate", body)).json()["images"][0]["bytes"])
        assert sizes[0] < sizes[1]
        alone = await darkroom.post("/generate", {**PRO, "output_quality": 10})
        assert alone.json()["error"]["param"] == "output_quality"

    play(tmp_path, story)


def test_the_first_seed_there_is_stands_on_record(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        made = (await darkroom.post("/generate", {**PRO, "seed": 0})).json()
        assert made["parameters"]["seed"] == 0
        assert "mask" not in made["parameters"] and "images" not in made["parameters"]

    play(tmp_path, story)

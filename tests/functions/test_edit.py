"""`POST /edit`: images in every way they may come, masks, and conversations."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.darkroom import TEST_KEY, Darkroom, mask, photo, play
from tests.upstream import picture

pytestmark = pytest.mark.pictures

EDIT = {"model": "nano-banana-pro", "prompt": "make it night"}
AUTH = {"authorization": f"Bearer {TEST_KEY}"}


def b64(data: bytes) -> dict[str, str]:
    """An image in JSON."""
    return {"b64_json": base64.b64encode(data).decode()}


def test_a_camera_photo_is_edited_the_way_it_is_seen(tmp_path: Path) -> None:
    # 12 megapixels, held upright: 4000x3000 on the sensor, 3000x4000 on the screen.
    camera = photo((4000, 3000), orientation=6)

    async def story(darkroom: Darkroom) -> None:
        edited = await darkroom.post("/edit", {**EDIT, "images": [b64(camera)]})
        assert edited.status_code == 200, edited.text
        (image,) = edited.json()["images"]
        assert (image["width"], image["height"]) == (896, 1200)

    play(tmp_path, story)


def test_a_mask_fits_the_photo_the_way_it_is_seen(tmp_path: Path) -> None:
    camera = photo((400, 300), orientation=6)

    async def story(darkroom: Darkroom) -> None:
        upright = {**EDIT, "images": [b64(camera)], "mask": b64(mask((300, 400)))}
        assert (await darkroom.post("/edit", upright)).status_code == 200
        lying = {**EDIT, "images": [b64(camera)], "mask": b64(mask((400, 300)))}
        refused = await darkroom.post("/edit", lying)
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "mask"

    play(tmp_path, story)


def test_multipart_is_taken_too(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        files = [
            ("image[]", ("a.jpg", photo(), "image/jpeg")),
            ("image[]", ("b.png", photo(kind="PNG"), "image/png")),
            ("mask", ("m.png", mask(), "image/png")),
        ]
        data = {"prompt": "blend", "model": "nano-banana-pro", "n": "2", "metadata": '{"a": "b"}'}
        answer = await darkroom.client.post("/edit", data=data, files=files, headers=AUTH)
        assert answer.status_code == 200, answer.text
        made = answer.json()
        assert len(made["images"]) == 2
        assert made["metadata"] == {"a": "b"}
        assert made["parameters"]["images"] == 2
        wrong = await darkroom.client.post(
            "/edit", data={"prompt": "x"}, files={"photo": ("a", photo())}, headers=AUTH
        )
        assert wrong.json()["error"]["param"] == "photo"

    play(tmp_path, story)


def test_a_conversation_goes_on_for_three_turns_with_what_the_provider_wants_back(
    tmp_path: Path,
) -> None:
    async def story(darkroom: Darkroom) -> None:
        first = (await darkroom.post("/edit", {**EDIT, "images": [b64(photo())]})).json()
        turn = {**EDIT, "prompt": "add a moon", "previous_request_id": first["id"]}
        second = await darkroom.post("/edit", turn)
        assert second.status_code == 200, second.text
        third = await darkroom.post(
            "/edit", {**EDIT, "prompt": "and stars", "previous_request_id": second.json()["id"]}
        )
        assert third.status_code == 200, third.text
        assert third.json()["previous_request_id"] == second.json()["id"]

    # The sandbox refuses an earlier picture without the signature it made for it.
    play(tmp_path, story)


def test_the_providers_answer_is_given_back_word_for_word(tmp_path: Path) -> None:
    signed = picture()
    answered = json.loads(signed.content)
    answered["candidates"][0]["content"]["parts"][0]["thoughtSignature"] = "c2lnbmVk"
    answered["candidates"][0]["content"]["parts"].insert(0, {"text": "draft", "thought": True})

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        first = (await darkroom.post("/generate", {**EDIT, "prompt": "a cup"}, key)).json()
        await darkroom.post("/edit", {**EDIT, "previous_request_id": first["id"]}, key)
        contents: Any = darkroom.upstream.bodies[1]["contents"]
        assert [c["role"] for c in contents] == ["user", "model", "user"]
        assert contents[0]["parts"] == [{"text": "a cup"}]
        assert contents[1]["parts"] == answered["candidates"][0]["content"]["parts"][1:]
        assert contents[2]["parts"] == [{"text": "make it night"}]

    play(tmp_path, story, httpx.Response(200, json=answered))


def test_a_conversation_may_change_models(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        first = await darkroom.post("/generate", {**EDIT, "model": "nano-banana"})
        turn = {**EDIT, "previous_request_id": first.json()["id"]}
        second = await darkroom.post("/edit", turn)
        assert second.status_code == 200, second.text
        back = {**EDIT, "model": "nano-banana-2.1", "previous_request_id": second.json()["id"]}
        assert (await darkroom.post("/edit", back)).status_code == 200

    play(tmp_path, story)


def test_an_earlier_image_and_an_upload_can_be_edited(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        first = (await darkroom.post("/generate", EDIT)).json()
        by_id = {"image_id": first["images"][0]["id"]}
        announced = {"filename": "../a b.jpg", "content_type": "image/jpeg", "bytes": len(photo())}
        leave = (await darkroom.post("/account/uploads", announced)).json()
        put = await darkroom.client.put(leave["url"], content=photo(), headers=leave["headers"])
        assert put.status_code == 204
        again = await darkroom.client.put(leave["url"], content=photo(), headers=leave["headers"])
        assert again.status_code == 400
        images = [by_id, {"upload_id": leave["upload_id"]}]
        answer = await darkroom.post("/edit", {**EDIT, "images": images})
        assert answer.status_code == 200, answer.text

    play(tmp_path, story)


def test_what_belongs_to_another_account_cannot_be_edited(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        mine = (await darkroom.post("/generate", EDIT)).json()
        announced = {"filename": "a", "content_type": "image/jpeg", "bytes": len(photo())}
        leave = (await darkroom.post("/account/uploads", announced)).json()
        await darkroom.client.put(leave["url"], content=photo(), headers=leave["headers"])
        other = await darkroom.live_key()
        for body in (
            {"images": [{"image_id": mine["images"][0]["id"]}]},
            {"images": [{"upload_id": leave["upload_id"]}]},
            {"previous_request_id": mine["id"]},
        ):
            answer = await darkroom.post("/edit", {**EDIT, **body}, other)
            assert answer.status_code == 404, body
        assert (await darkroom.get(f"/account/requests/{mine['id']}", other)).status_code == 404
        assert darkroom.upstream.calls == []

    play(tmp_path, story, picture())


def bomb() -> bytes:
    """A PNG of 900 million black pixels in some 100 kB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return len(data).to_bytes(4, "big") + kind + data + check.to_bytes(4, "big")

    side = (30_000).to_bytes(4, "big")
    packer, row = zlib.compressobj(9), bytes(1 + 30_000 // 8)
    rows = b"".join(packer.compress(row * 100) for _ in range(300)) + packer.flush()
    header = chunk(b"IHDR", side + side + bytes([1, 0, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def gif() -> bytes:
    out = io.BytesIO()
    Image.new("P", (8, 8)).save(out, "GIF")
    return out.getvalue()


@pytest.mark.parametrize(
    ("image", "status", "code"),
    [
        (b64(photo()[:-200]), 415, "unsupported_image"),
        (b64(gif()), 415, "unsupported_image"),
        (b64(b"just text"), 415, "unsupported_image"),
        (b64(b""), 415, "unsupported_image"),
        ({"url": "data:image/png;base64,AAAA"}, 415, "unsupported_image"),
        ({"url": "http://169.254.169.254/computeMetadata/v1/"}, 400, "invalid_request"),
        ({"url": "https://169.254.169.254/"}, 400, "invalid_request"),
        ({"url": "https://127.0.0.1:8443/"}, 400, "invalid_request"),
        ({"url": "file:///etc/passwd"}, 400, "invalid_request"),
        ({"image_id": "img_unknown_0"}, 404, "not_found"),
        ({"upload_id": "upl_unknown"}, 404, "not_found"),
    ],
)
def test_a_bad_image_is_named_and_leaves_nothing_behind(
    tmp_path: Path, image: dict[str, str], status: int, code: str
) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        answer = await darkroom.post("/edit", {**EDIT, "images": [b64(photo()), image]}, key)
        assert answer.status_code == status, answer.text
        error = answer.json()["error"]
        assert error["code"] == code
        assert error["param"].startswith("images[1]")
        assert (await darkroom.get("/account/requests", key)).json()["data"] == []
        assert await darkroom.balance_micros(key) == 1_000_000
        assert not list((tmp_path / "objects").rglob("*/*"))
        assert darkroom.upstream.calls == []

    play(tmp_path, story, picture())


def test_a_picture_too_large_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        data = bomb()
        assert len(data) < 200_000
        answer = await darkroom.post("/edit", {**EDIT, "images": [b64(data)]})
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "payload_too_large"
        assert answer.json()["error"]["param"] == "images[0]"

    play(tmp_path, story)


def test_a_body_too_large_is_refused(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        answer = await darkroom.client.post("/edit", content=bytes(40 * 2**20), headers=AUTH)
        assert answer.status_code == 413
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == ("payload_too_large", "body")

    play(tmp_path, story)


def test_a_mask_where_the_model_has_none_names_the_models_that_do(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text('[[model]]\nid = "gemini-3-pro-image"\nmask = false\n')

    async def story(darkroom: Darkroom) -> None:
        body = {**EDIT, "images": [b64(photo())], "mask": b64(mask())}
        answer = await darkroom.post("/edit", body)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error["param"] == "mask"
        assert "gemini-nano-banana-2.1" in error["details"]["models"]

    play(tmp_path / "data", story, env={"DARKROOM_CATALOGUE": str(overlay)})


def test_a_replay_does_not_fetch_its_images_again(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        made = (await darkroom.post("/generate", EDIT)).json()
        body = {**EDIT, "images": [{"image_id": made["images"][0]["id"]}]}
        first = await darkroom.post("/edit", body, idempotency_key="k")
        await darkroom.client.delete(f"/account/requests/{made['id']}", headers=AUTH)
        again = await darkroom.post("/edit", body, idempotency_key="k")
        assert again.status_code == 200
        assert again.json()["id"] == first.json()["id"]

    play(tmp_path, story)


def test_many_edits_at_once_each_get_their_own(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        async def one(n: int) -> str:
            body = {**EDIT, "model": "nano-banana", "prompt": f"cup {n}", "seed": 1}
            made = await darkroom.post("/edit", {**body, "images": [b64(photo())]})
            return str(made.json()["images"][0]["sha256"])

        hashes = await asyncio.gather(*map(one, range(6)))
        assert len(set(hashes)) == 6

    play(tmp_path, story)


def test_a_multipart_body_cut_off_or_with_a_part_twice_is_refused(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        painted = ("mask", ("m.png", mask(), "image/png"))
        files = [("image", ("a.jpg", photo(), "image/jpeg")), painted]
        whole = darkroom.client.build_request(
            "POST", "/edit", data={"prompt": "x"}, files=files, headers=AUTH
        )
        content = whole.read()
        headers = {**AUTH, "content-type": whole.headers["content-type"].replace("multi", "Multi")}
        for body, status in ((content, 200), (content[:-60], 400)):
            answer = await darkroom.client.post("/edit", content=body, headers=headers)
            assert answer.status_code == status, answer.text
        twice = await darkroom.client.post("/edit", files=[*files, painted], headers=AUTH)
        assert twice.json()["error"]["param"] == "mask"

    play(tmp_path, story)


def test_base64_may_be_wrapped_and_marked(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        wrapped = base64.encodebytes(photo()).decode()
        for text in (wrapped, f"data:image/jpeg;base64,{wrapped}"):
            answer = await darkroom.post("/edit", {**EDIT, "images": [{"b64_json": text}]})
            assert answer.status_code == 200, answer.text

    play(tmp_path, story)


def test_who_cannot_be_admitted_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=0)
        unreadable = {**EDIT, "images": [b64(b"not looked at")]}
        assert (await darkroom.post("/edit", unreadable, key)).status_code == 402

    play(tmp_path, story, picture())


def test_images_that_take_longer_than_the_callers_time_begin_nothing(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)

        async def slow(url: str, field: str, *, own: bool = False) -> bytes:
            await asyncio.sleep(30)
            return photo()

        darkroom.app.fetcher.fetch = slow  # type: ignore[method-assign] # a slow host
        body = {**EDIT, "images": [{"url": "https://slow.example/a.png"}], "timeout_s": 1}
        answer = await darkroom.post("/edit", body, key)
        assert answer.json()["error"]["param"] == "timeout_s"
        assert darkroom.upstream.calls == []
        assert await darkroom.balance_micros(key) == 1_000_000

    play(tmp_path, story, picture())

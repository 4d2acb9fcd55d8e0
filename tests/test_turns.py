"""What is kept of a conversation: where, how much, and given back word for word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pybase64
import pytest

from shared import names, turns
from shared.domain import Picture, Turn
from tests.darkroom import Darkroom, photo, play
from tests.upstream import picture

CUP = {"model": "nano-banana", "prompt": "a cup"}


def answer(
    signature: str | None = None, data: bytes | None = None, text: str = ""
) -> httpx.Response:
    """An answer with one picture, of a model that signs it or does not."""
    said: dict[str, Any] = json.loads(picture().content)
    [part] = said["candidates"][0]["content"]["parts"]
    if data is not None:
        blob = {"mimeType": "image/jpeg", "data": pybase64.b64encode_as_string(data)}
        part["inlineData"] = blob
    if signature is not None:
        part["thoughtSignature"] = signature
    if text:
        said["candidates"][0]["content"]["parts"].insert(0, {"text": text})
    return httpx.Response(200, json=said)


def continued(
    tmp_path: Path, said: httpx.Response, asked: dict[str, Any], places: list[str]
) -> None:
    """Ask, see where the turn lies, go on, and see that the answer is given back as it came."""
    parts = json.loads(said.content)["candidates"][0]["content"]["parts"]

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        first = (await darkroom.post("/generate", asked, key)).json()
        assert list(await darkroom.app.storage.list("turns/")) == [
            place.format(names.turn(first["id"])) for place in places
        ]
        await darkroom.post("/edit", {**CUP, "previous_request_id": first["id"]}, key)
        contents: Any = darkroom.upstream.bodies[1]["contents"]
        assert contents[1] == {"role": "model", "parts": parts}

    play(tmp_path, story, said)


def test_a_short_turn_lies_in_its_record(tmp_path: Path) -> None:
    continued(tmp_path, answer("c2lnbmVk"), CUP, [])


def test_one_with_a_long_signature_is_an_object_without_the_picture(tmp_path: Path) -> None:
    signature = "A" * (2 * turns.LITTLE_BYTES)
    continued(tmp_path, answer(signature), CUP, ["{}"])


def test_a_picture_that_was_converted_is_given_back_as_it_came(tmp_path: Path) -> None:
    asked = {**CUP, "output_format": "webp"}
    continued(tmp_path, answer("c2lnbmVk", photo((640, 480))), asked, [])


def test_a_model_that_writes_our_mark_is_given_back_its_words(tmp_path: Path) -> None:
    text = 'see "data":"\0picture\0" and \\u0000picture\\u0000'
    continued(tmp_path, answer("c2lnbmVk", text=text), CUP, [])


def test_a_reply_whose_picture_is_gone_is_none() -> None:
    turn = Turn("p", (), (), reply=("a", 0, "b"))
    assert turns.whole(turn) is None
    assert turns.whole(
        Turn("p", (), (Picture(b"\0\0\0", "image/png", 1, 1),), reply=turn.reply)
    ) == ("aAAAAb")
    assert turns.whole(Turn("p", (), ())) is None


def test_a_turn_kept_as_one_text_is_still_read() -> None:
    kept = json.loads(turns.encode(Turn("p", (), (), reply=("{}",)), None))
    turn, _ = turns.decode(json.dumps({**kept, "reply": "{}"}))
    assert turns.whole(turn) == "{}"


@pytest.mark.parametrize("deleted", [True, False])
def test_a_deleted_request_leaves_no_turn(tmp_path: Path, deleted: bool) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        first = (await darkroom.post("/generate", CUP, key)).json()
        if deleted:
            auth = {"authorization": f"Bearer {key}"}
            await darkroom.client.delete(f"/account/requests/{first['id']}", headers=auth)
        caller = await darkroom.app.accounts.authenticate(key)
        standing = await darkroom.app.records.look(caller.account_id, first["id"])
        assert standing.request is not None
        assert (standing.request.turn is None) == deleted

    play(tmp_path, story, answer())

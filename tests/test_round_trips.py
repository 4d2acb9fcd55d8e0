"""What a request costs in round trips, counted on the wire of each client: at most two
calls to Firestore to admit it and one to end it, and one to Cloud Storage a picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.darkroom import Darkroom, photo, play
from tests.emulators.firestore_wire import Wire
from tests.emulators.storage import new_bucket, seen
from tests.functions.test_edit import b64
from tests.upstream import picture, refusal, withheld

pytestmark = pytest.mark.emulator


class Cloud:
    """A Darkroom on the emulators of Firestore and Cloud Storage, and what it sends to both."""

    def __init__(self, url: str, wire: Wire, patch: pytest.MonkeyPatch) -> None:
        self.wire = wire
        bucket = new_bucket(url)
        self.env = {
            "DARKROOM_FIRESTORE_DATABASE": "(default)",
            "DARKROOM_BUCKET": bucket,
            "STORAGE_EMULATOR_HOST": url,
            "GOOGLE_CLOUD_PROJECT": f"demo-{bucket[-12:]}",
        }
        patch.setenv("GOOGLE_CLOUD_PROJECT", self.env["GOOGLE_CLOUD_PROJECT"])
        self._seen = seen(url, patch)

    @property
    def sent(self) -> list[str]:
        """The methods of the requests to Cloud Storage."""
        return [sent.line.partition(" ")[0] for sent in self._seen]

    def begin(self) -> None:
        """Count from here."""
        self.wire.calls.clear()
        self._seen.clear()


@pytest.fixture
def cloud(storage_emulator: str, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(storage_emulator, wire, monkeypatch)


ADMIT, END = ["BatchGetDocuments", "Commit"], ["Commit"]
CUP = {"model": "nano-banana", "prompt": "a cup"}


def test_a_request_takes_three_calls_to_firestore_and_one_to_storage_a_picture(
    tmp_path: Path, cloud: Cloud
) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(shards=8)
        await darkroom.get("/account", key)
        cloud.begin()
        answer = await darkroom.post("/generate", {**CUP, "n": 3}, key, idempotency_key="k")
        assert len(answer.json()["images"]) == 3
        assert cloud.wire.calls == ADMIT + END
        # What a later edit continues from is on the record.
        assert cloud.sent == ["POST"] * 3
        cloud.begin()
        replay = await darkroom.post("/generate", {**CUP, "n": 3}, key, idempotency_key="k")
        assert replay.headers["idempotent-replayed"] == "true"
        assert (cloud.wire.calls, cloud.sent) == (["BatchGetDocuments"], [])
        cloud.begin()
        image = await darkroom.client.get(answer.json()["images"][0]["url"])
        assert image.status_code == 200
        assert (cloud.wire.calls, cloud.sent) == ([], ["GET"])
        await darkroom.check()

    play(tmp_path, story, picture(), env=cloud.env)


def test_an_edit_costs_no_more(tmp_path: Path, cloud: Cloud) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        await darkroom.get("/account", key)
        cloud.begin()
        answer = await darkroom.post("/edit", {**CUP, "images": [b64(photo())]}, key)
        assert answer.status_code == 200
        assert (cloud.wire.calls, cloud.sent) == (ADMIT + END, ["POST"])

    play(tmp_path, story, picture(), env=cloud.env)


def test_a_failure_costs_three_calls_to_firestore_and_none_to_storage(
    tmp_path: Path, cloud: Cloud
) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        await darkroom.get("/account", key)
        cloud.begin()
        assert (await darkroom.post("/generate", CUP, key)).status_code == 422
        assert (cloud.wire.calls, cloud.sent) == (ADMIT + END, [])
        cloud.begin()
        assert (await darkroom.post("/generate", {**CUP, "n": 0}, key)).status_code == 400
        assert (cloud.wire.calls, cloud.sent) == ([], [])

    play(tmp_path, story, withheld(), env=cloud.env)


def test_what_was_tried_of_a_queued_request_is_one_call_more_a_pause(
    tmp_path: Path, cloud: Cloud
) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        answer = await darkroom.post("/generate", CUP, key, prefer="respond-async")
        assert answer.status_code == 202
        cloud.begin()
        await darkroom.deliver()
        # That it runs, what was tried, its end.
        assert cloud.wire.calls.count("Commit") == 3
        await darkroom.check()

    busy = refusal(429, "RESOURCE_EXHAUSTED")
    play(tmp_path, story, busy, picture(), env=cloud.env)


def test_a_key_not_seen_lately_costs_one_call_more(tmp_path: Path, cloud: Cloud) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        cloud.begin()
        await darkroom.post("/generate", CUP, key)
        assert cloud.wire.calls == ["BatchGetDocuments", *ADMIT, *END]

    play(tmp_path, story, picture(), env=cloud.env)


def test_what_died_in_the_cloud_is_settled_if_its_picture_is_there_and_released_if_not(
    tmp_path: Path, cloud: Cloud
) -> None:
    async def story(darkroom: Darkroom) -> None:
        from tests.test_sweep import abandoned_mid_flight

        await abandoned_mid_flight(darkroom)

    play(tmp_path, story, picture(), env=cloud.env)

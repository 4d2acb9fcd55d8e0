"""What an uploaded file sets off, how often, and what is left of one that cannot be taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shared import local, pixels, upload_trigger
from shared.app import App, build
from shared.batch_domain import Batch
from shared.domain import Account, Limits, Record
from shared.errors import InvalidRequest, QuotaExceeded, RateLimited
from shared.events import Event
from shared.records import RequestFilter
from shared.settings import Settings
from shared.storage import Missing
from tests.darkroom import START, photo
from tests.upstream import Upstream

FOLDER = "uploads/acc_1/upl_1"
PHOTO = f"{FOLDER}/photo.jpg"
LINES = f"{FOLDER}/night.jsonl"
TEST = {"darkroom-test": "1"}
CUP = {**TEST, "darkroom-prompt": "a cup", "darkroom-model": "nano-banana"}


@dataclass
class Scene:
    """An App with one account, whose requests stay in the queue."""

    app: App
    announced: list[Event] = field(default_factory=list)

    async def upload(self, name: str, data: bytes, labels: Mapping[str, str]) -> None:
        """Store an object and say that it has come."""
        assert await self.app.storage.put(name, data, "application/octet-stream", labels)
        await upload_trigger.finalized(self.app, name)

    async def requests(self) -> tuple[Record, ...]:
        """Whatever is on record."""
        return (await self.app.records.requests("acc_1", RequestFilter(), 100, None)).items

    async def batches(self) -> tuple[Batch, ...]:
        """Whatever is on record."""
        return (await self.app.records.batches("acc_1", None, 100, None)).items


def play(
    tmp_path: Path,
    story: Callable[[Scene], Awaitable[None]],
    limits: Limits = Limits(),  # noqa: B008 # frozen
) -> None:
    """Run a story."""

    async def played() -> None:
        env = {"DARKROOM_DATA": str(tmp_path), "GEMINI_API_KEY": "k"}
        settings = local.completed(Settings.from_env(env))
        app = build(settings, clock=lambda: START, live=Upstream([]))
        await app.records.create_account(Account("acc_1", "shop", START, limits))
        try:
            scene = Scene(app)

            async def published(event: Event) -> None:
                scene.announced.append(event)

            app.events.publish = published  # type: ignore[method-assign]
            await story(scene)
        finally:
            await app.close()

    asyncio.run(played())


def test_an_image_with_a_prompt_becomes_one_edit_however_often_it_is_told_of(
    tmp_path: Path,
) -> None:
    async def story(scene: Scene) -> None:
        await scene.upload(PHOTO, photo(), {**CUP, "darkroom-seed": "7", "color": "red"})
        await asyncio.gather(*(upload_trigger.finalized(scene.app, PHOTO) for _ in range(3)))
        (made,) = await scene.requests()
        assert (made.status, made.operation, made.prompt) == ("queued", "edit", "a cup")
        assert (made.key_id, made.sandbox, made.deferred) == ("upload", True, True)
        assert made.parameters["images"] == 1
        assert made.parameters["seed"] == 7
        assert made.metadata == {"upload_id": "upl_1"}
        # Another object of that name is another job.
        await scene.app.storage.delete(PHOTO)
        await scene.upload(PHOTO, photo(), CUP)
        assert len(await scene.requests()) == 2

    play(tmp_path, story)


def test_two_files_of_one_folder_are_two_edits(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.upload(f"{FOLDER}/a.jpg", photo(), CUP)
        await scene.upload(f"{FOLDER}/b.jpg", b"no picture", CUP)
        assert {record.status for record in await scene.requests()} == {"queued", "failed"}

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("data", "labels", "code", "param"),
    [
        (b"no picture", CUP, "unsupported_image", "images[0]"),
        (photo(), {"darkroom-model": "nano-banana"}, "invalid_request", "prompt"),
        (photo(), {**CUP, "darkroom-model": "no-such"}, "not_found", "model"),
        (photo(), {**CUP, "darkroom-n": "many"}, "invalid_request", "darkroom-n"),
        (photo(), {**CUP, "darkroom-promt": "x"}, "invalid_request", "darkroom-promt"),
        (photo(), {**TEST, "darkroom-template": "no-such"}, "not_found", "template.name"),
        (photo(), {**CUP, "darkroom-test": "0"}, "insufficient_credit", None),
    ],
)
def test_a_bad_image_leaves_the_reason(
    tmp_path: Path, data: bytes, labels: Mapping[str, str], code: str, param: str | None
) -> None:
    async def story(scene: Scene) -> None:
        await scene.upload(PHOTO, data, labels)
        await upload_trigger.finalized(scene.app, PHOTO)
        (left,) = await scene.requests()
        assert left.status == "failed"
        assert left.error is not None
        assert (left.error.code, left.error.param) == (code, param)
        assert left.metadata == {"upload_id": "upl_1"}

    play(tmp_path, story)


def test_of_a_large_file_no_more_is_read_than_an_image_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(scene: Scene) -> None:
        monkeypatch.setattr(pixels, "MAX_BYTES", 100)
        await scene.upload(PHOTO, photo(), CUP)
        (left,) = await scene.requests()
        assert left.error is not None
        assert (left.error.code, left.error.param) == ("payload_too_large", "images")

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        (PHOTO, {}),
        (PHOTO, TEST),
        (PHOTO, {"color": "red"}),
        (PHOTO, {**CUP, "darkroom-trigger": "off"}),
        (LINES, {"darkroom-trigger": "off"}),
        ("uploads/acc_2/upl_1/photo.jpg", CUP),
        ("uploads/acc_1/photo.jpg", CUP),
        ("uploads/acc_1/upl_1", CUP),
        ("images/acc_1/upl_1/photo.jpg", CUP),
    ],
)
def test_what_asks_for_nothing_is_let_be(
    tmp_path: Path, name: str, labels: Mapping[str, str]
) -> None:
    async def story(scene: Scene) -> None:
        await scene.upload(name, photo(), labels)
        assert not await scene.requests()
        assert not await scene.batches()

    play(tmp_path, story)


def test_what_is_gone_or_has_a_name_of_no_object_is_let_be(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        for name in (
            "gone.jpg",
            "my photo.jpg",
            "folder/",
            "../photo.jpg",
            "\ud800.jpg",
            "a" * 600,
        ):
            await upload_trigger.finalized(scene.app, f"{FOLDER}/{name}")
        assert not await scene.requests()

    play(tmp_path, story)


def test_what_goes_before_it_is_read_is_put_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(scene: Scene) -> None:
        async def gone(name: str) -> AsyncIterator[bytes]:
            if name:
                raise Missing
            yield b""

        monkeypatch.setattr(scene.app.storage, "stream", gone)
        await scene.upload(PHOTO, photo(), CUP)
        (left,) = await scene.requests()
        assert left.error is not None and left.error.code == "not_found"

    play(tmp_path, story)


def test_a_bad_file_is_told_of_where_its_metadata_says(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        hook = {"darkroom-webhook-url": "https://shop.example/done"}
        await scene.upload(PHOTO, b"no picture", {**CUP, **hook})
        await upload_trigger.finalized(scene.app, PHOTO)
        (left,) = await scene.requests()
        (notice,) = await scene.app.records.notices("due", 9)
        assert (notice.subject, notice.type, notice.url) == (
            left.id,
            "request.failed",
            "https://shop.example/done",
        )
        assert left.webhook_url == notice.url
        assert scene.announced == [Event("requests", "acc_1", left.id)]

    play(tmp_path, story)


@pytest.mark.parametrize("url", ["http://shop.example/", "https://10.0.0.1/", "https://xn--a/"])
def test_where_nothing_can_be_sent_nothing_is(tmp_path: Path, url: str) -> None:
    async def story(scene: Scene) -> None:
        await scene.upload(PHOTO, photo(), {**CUP, "darkroom-webhook-url": url})
        lines = b'{"custom_id": "a", "prompt": "a cup"}'
        await scene.upload(LINES, lines, {**TEST, "darkroom-webhook-url": url})
        (request,), (batch,) = await scene.requests(), await scene.batches()
        assert request.error is not None and batch.error is not None
        assert (request.error.param, batch.error.param) == ("webhook_url", "webhook_url")
        assert request.webhook_url is None and batch.webhook_url is None
        assert not await scene.app.records.notices("due", 9)
        assert not scene.announced

    play(tmp_path, story)


def test_a_bad_jsonl_keeps_its_webhook(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        hook = {"darkroom-webhook-url": "https://shop.example/done", "darkroom-mode": "slow"}
        await scene.upload(LINES, b"", {**TEST, **hook})
        (batch,) = await scene.batches()
        assert (batch.status, batch.webhook_url) == ("failed", "https://shop.example/done")

    play(tmp_path, story)


def test_what_passes_is_told_of_again_and_what_lasts_is_put_on_record(tmp_path: Path) -> None:
    async def busy(scene: Scene) -> None:
        await scene.upload(PHOTO, photo(), CUP)
        with pytest.raises(RateLimited):
            await scene.upload(f"{FOLDER}/b.jpg", photo(), CUP)
        assert len(await scene.requests()) == 1

    async def spent(scene: Scene) -> None:
        await scene.upload(PHOTO, photo(), CUP)
        await scene.upload(f"{FOLDER}/b.jpg", photo(), CUP)
        failed = [record.error for record in await scene.requests() if record.error]
        assert [error.code for error in failed] == [QuotaExceeded.code]

    play(tmp_path / "busy", busy, Limits(concurrency=1))
    play(tmp_path / "spent", spent, Limits(rpd=1))


def test_a_jsonl_becomes_one_batch(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        lines = b'{"custom_id": "a", "prompt": "a cup"}\n{"custom_id": "b", "prompt": "a fish"}\n'
        labels = {**TEST, "darkroom-model": "nano-banana", "darkroom-mode": "fanout"}
        await scene.upload(LINES, lines, labels)
        await upload_trigger.finalized(scene.app, LINES)
        (batch,) = await scene.batches()
        assert (batch.status, batch.counts.total, batch.mode) == ("accepted", 2, "fanout")
        assert (batch.model, batch.sandbox, batch.key_id) == ("nano-banana", True, "upload")
        assert batch.metadata == {"upload_id": "upl_1"}
        await scene.upload(f"{FOLDER}/B.JSONL", lines, {})
        assert [batch.error.code for batch in await scene.batches() if batch.error] == [
            "insufficient_credit"
        ]

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("lines", "labels", "param"),
    [
        (b'{"custom_id": "a"}\n', TEST, "items"),
        (b"", TEST, "items"),
        (b'{"custom_id": "a", "prompt": "a cup"}', {**TEST, "darkroom-mode": "slow"}, None),
        (b'{"custom_id": "a", "prompt": "a cup"}', {**TEST, "darkroom-color": "red"}, None),
    ],
)
def test_a_bad_jsonl_leaves_the_reason(
    tmp_path: Path, lines: bytes, labels: Mapping[str, str], param: str | None
) -> None:
    async def story(scene: Scene) -> None:
        await scene.upload(LINES, lines, labels)
        await upload_trigger.finalized(scene.app, LINES)
        (batch,) = await scene.batches()
        assert batch.status == "failed"
        assert batch.error is not None
        assert batch.error.code == "invalid_request"
        assert param is None or batch.error.param == param

    play(tmp_path, story)


@pytest.mark.parametrize(
    "value", ["a cup", "eine Tasse mit Öl", "一只杯子", "a\nb", " a ", "=?x?="]
)
def test_any_text_goes_through_a_header(value: str) -> None:
    header = upload_trigger.encoded(value)
    assert header.isascii() and header.isprintable() and header == header.strip()
    assert upload_trigger._decoded(header) == value


def test_metadata_is_checked_before_the_file_is_there() -> None:
    upload_trigger.check("a.jpg", {"darkroom-prompt": "a cup", "darkroom-n": "2"}, {})
    upload_trigger.check("a.jsonl", {"darkroom-mode": "provider", "darkroom-model": "auto"}, {})
    for filename, metadata in (
        ("a.jpg", {"darkroom-model": "auto"}),
        ("a.jpg", {"darkroom-prompt": "a cup", "darkroom-mode": "auto"}),
        ("a.jpg", {"darkroom-prompt": "a cup", "darkroom-template": "b"}),
        ("a.jsonl", {"darkroom-mode": "slow"}),
        ("a.jsonl", {"darkroom-seed": "-1"}),
    ):
        with pytest.raises(InvalidRequest):
            upload_trigger.check(filename, metadata, {})

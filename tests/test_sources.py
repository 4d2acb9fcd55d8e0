"""From what a caller names to checked bytes: whose they are, in what order, and how much of it."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from urllib.parse import quote

import httpx
import pytest
from PIL import Image as Pillow

from shared import pixels, sources
from shared.app import App
from shared.domain import (
    Hold,
    Image,
    ImageRef,
    ImageRequest,
    Picture,
    Quote,
    Record,
    Source,
    Status,
    Turn,
)
from shared.errors import (
    DarkroomError,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    UnsupportedImage,
)
from shared.fetch import Fetcher
from shared.files import KEPT_FOR, begin, receive
from shared.records import Records
from shared.sources import Loader, load
from shared.storage.disk import Disk
from shared.turns import decode as decode_turn
from shared.turns import encode as encode_turn

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ME = "acc_me"


def png(colour: str, size: tuple[int, int] = (40, 20), mode: str = "RGB") -> bytes:
    """A plain picture."""
    buffer = io.BytesIO()
    Pillow.new(mode, size, colour).save(buffer, "png")
    return buffer.getvalue()


def record(request_id: str, status: Status = "succeeded", images: int = 0) -> Record:
    """A request of ours that ended, with its pictures."""
    name = request_id.removeprefix("req_")
    return Record(
        id=request_id,
        account_id=ME,
        key_id="key_1",
        operation="generate",
        status=status,
        model="m",
        prompt="p",
        parameters={},
        fingerprint="f",
        sandbox=True,
        quote=Quote({}, 0, 0),
        hold=Hold(0, (), 0, "2026-11"),
        created_at=NOW,
        lease_until=NOW,
        images=tuple(
            Image(f"img_{name}_{n}", f"images/req_{name}/{n}", "image/png", 40, 20, 1, "")
            for n in range(images)
        ),
    )


@dataclass
class FakeRecords:
    """Looks requests up as the backends do."""

    known: Mapping[str, Record]

    async def request(self, account_id: str, request_id: str) -> Record | None:
        assert request_id.replace("_", "").isalnum(), "a backend may choke on other characters"
        found = self.known.get(request_id)
        return found if found and found.account_id == account_id else None


@dataclass
class World:
    """Storage, records and a web of one account."""

    folder: Path
    records: Sequence[Record] = ()
    objects: Mapping[str, bytes] = field(default_factory=dict)
    web: Mapping[str, bytes] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    now: datetime = NOW
    fetched: list[str] = field(default_factory=list)

    def load(self, request: ImageRequest, account_id: str = ME) -> ImageRequest:
        """Load a request's images."""
        return asyncio.run(self._load(request, account_id))

    async def _load(self, request: ImageRequest, account_id: str) -> ImageRequest:
        disk = Disk(self.folder)
        for name, data in self.objects.items():
            await disk.put(name, data, "image/png", {})
        app = cast(App, SimpleNamespace(storage=disk, clock=lambda: NOW))
        for file_id, data in self.files.items():
            kept = {"file_id": file_id, "display_name": "", "mime_type": "", "size_bytes": None}
            await receive(app, await begin(app, ME, **kept), 0, data, last=True)  # type: ignore[arg-type] # by name
        known = FakeRecords({found.id: found for found in self.records})
        fetcher = Fetcher(transport=httpx.MockTransport(self._answer), resolve=_public)
        return await load(
            request, Loader(cast(Records, known), disk, fetcher, account_id, True, self.now)
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.fetched.append(request.url.path)
        data = self.web.get(request.url.path)
        if data is None:
            return httpx.Response(404)
        return httpx.Response(200, stream=httpx.ByteStream(data))


async def _public(_host: str, _port: int) -> Sequence[str]:
    return ["93.184.216.34"]


def edit(*refs: ImageRef, mask: ImageRef | None = None, after: str | None = None) -> ImageRequest:
    """An edit of those images."""
    return ImageRequest(
        operation="edit",
        model="m",
        prompt="p",
        refs=refs,
        mask_ref=mask,
        previous_request_id=after,
    )


def refused(world: World, request: ImageRequest, account_id: str = ME) -> DarkroomError:
    """The error that a request meets."""
    with pytest.raises(DarkroomError) as caught:
        world.load(request, account_id)
    return caught.value


def test_a_request_that_names_nothing_is_left_as_it_is(tmp_path: Path) -> None:
    request = replace(edit(), operation="generate")
    assert World(tmp_path).load(request) == request


def test_every_kind_of_reference_becomes_a_source_in_the_callers_order(tmp_path: Path) -> None:
    data = [png(colour) for colour in ("red", "lime", "blue", "black", "white", "grey")]
    world = World(
        tmp_path,
        records=[record("req_abc", images=2)],
        objects={"images/req_abc/1": data[0], "uploads/acc_me/upl_1/photo.png": data[1]},
        web={"/c.png": data[2]},
        files={"mine": data[5]},
    )
    loaded = world.load(
        edit(
            ImageRef(image_id="img_abc_1"),
            ImageRef(upload_id="upl_1"),
            ImageRef(url="https://pictures.example/c.png"),
            ImageRef(data=data[3]),
            ImageRef(url="data:image/png;base64," + base64.b64encode(data[4]).decode()),
            ImageRef(file_id="mine"),
        )
    )
    assert loaded.sources == tuple(Source(item, "image/png", 40, 20) for item in data)
    assert loaded.mask is None
    assert loaded.turns == ()


@pytest.mark.parametrize(
    ("image_id", "account_id"),
    [
        ("img_abc_0", "acc_other"),
        ("img_xyz_0", ME),
        ("img_abc_7", ME),
        ("img_abc", ME),
        ("img_../../x_0", ME),
        ("abc_0", ME),
        ("img_gone_0", ME),
        ("img_abc_0\n", ME),
    ],
)
def test_an_image_that_is_not_ones_own_is_not_found(
    tmp_path: Path, image_id: str, account_id: str
) -> None:
    world = World(
        tmp_path,
        records=[record("req_abc", images=1), record("req_gone", images=1)],
        objects={"images/req_abc/0": png("red")},
    )
    error = refused(world, edit(ImageRef(image_id=image_id)), account_id)
    assert isinstance(error, NotFound)
    assert error.param == "images[0].image_id"


@pytest.mark.parametrize(
    ("upload_id", "account_id"),
    [
        ("upl_1", "acc_other"),
        ("upl_2", ME),
        ("upl_", ME),
        ("1", ME),
        ("upl_1/..", ME),
        ("upl_../acc_me/upl_1", ME),
    ],
)
def test_an_upload_that_is_not_ones_own_is_not_found(
    tmp_path: Path, upload_id: str, account_id: str
) -> None:
    world = World(tmp_path, objects={"uploads/acc_me/upl_1/photo.png": png("red")})
    error = refused(
        world, edit(ImageRef(data=png("red")), ImageRef(upload_id=upload_id)), account_id
    )
    assert isinstance(error, NotFound)
    assert error.param == "images[1].upload_id"


@pytest.mark.parametrize(
    ("file_id", "account_id", "age"),
    [
        ("mine", "acc_other", timedelta()),
        ("other", ME, timedelta()),
        ("", ME, timedelta()),
        ("../acc_me/mine", ME, timedelta()),
        ("mine", ME, KEPT_FOR),
    ],
)
def test_a_file_that_is_not_there_for_one_is_not_found(
    tmp_path: Path, file_id: str, account_id: str, age: timedelta
) -> None:
    world = World(tmp_path, files={"mine": png("red")}, now=NOW + age)
    error = refused(world, edit(ImageRef(file_id=file_id)), account_id)
    assert isinstance(error, NotFound)
    assert error.param == "images[0].file_id"


def test_a_file_that_is_larger_than_an_image_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "MAX_BYTES", len(png("red")) - 1)
    error = refused(World(tmp_path, files={"mine": png("red")}), edit(ImageRef(file_id="mine")))
    assert isinstance(error, PayloadTooLarge)
    assert error.param == "images[0].file_id"


def test_a_file_put_into_the_bucket_under_an_odd_name_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "objects" / "uploads" / ME / "upl_1"
    folder.mkdir(parents=True)
    (folder / "my photo.png").write_bytes(png("red"))
    error = refused(World(tmp_path), edit(ImageRef(upload_id="upl_1")))
    assert isinstance(error, InvalidRequest)
    assert error.param == "images[0].upload_id"


def test_an_upload_is_not_mistaken_for_one_whose_id_it_begins(tmp_path: Path) -> None:
    world = World(tmp_path, objects={"uploads/acc_me/upl_11/photo.png": png("red")})
    assert isinstance(refused(world, edit(ImageRef(upload_id="upl_1"))), NotFound)


@pytest.mark.parametrize(
    "url", ["data:image/png;base64,!!!", "data:image/png;base64", "data:image/png;base64,YQ"]
)
def test_a_broken_data_url_is_refused(tmp_path: Path, url: str) -> None:
    error = refused(World(tmp_path), edit(ImageRef(url=url)))
    assert isinstance(error, InvalidRequest)
    assert error.param == "images[0].url"


def test_a_data_url_may_be_written_in_any_of_its_ways(tmp_path: Path) -> None:
    data = png("red")
    code = base64.b64encode(data).decode()
    for url in (
        f"DATA:image/png;BASE64,{code}",
        f"data:;base64,{quote(code)}",
        f"data:image/png;base64,{code[:40]}\n{code[40:]}",
        f"data:image/png,{quote(data)}",
    ):
        assert World(tmp_path).load(edit(ImageRef(url=url))).sources[0].data == data


def test_what_is_fetched_must_be_a_picture_whatever_it_is_called(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Pillow.new("P", (4, 4)).save(buffer, "gif")
    world = World(tmp_path, web={"/a.png": buffer.getvalue()})
    error = refused(world, edit(ImageRef(url="https://pictures.example/a.png")))
    assert isinstance(error, UnsupportedImage)
    assert error.param == "images[0]"
    assert "GIF" in error.message


def test_a_url_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    refs = [ImageRef(data=png("red")), ImageRef(url="https://pictures.example/none.png")]
    error = refused(World(tmp_path), edit(*refs))
    assert isinstance(error, InvalidRequest)
    assert error.param == "images[1].url"


def test_a_mask_is_checked_against_the_first_source(tmp_path: Path) -> None:
    first, second = ImageRef(data=png("red")), ImageRef(data=png("red", (20, 20)))
    fits = ImageRef(data=png("#ffffff80", mode="RGBA"))
    loaded = World(tmp_path).load(edit(first, second, mask=fits))
    assert loaded.mask == Source(fits.data or b"", "image/png", 40, 20)
    assert len(loaded.sources) == 2
    error = refused(World(tmp_path), edit(second, first, mask=fits))
    assert isinstance(error, InvalidRequest)
    assert error.param == "mask"


def test_a_mask_alone_is_refused(tmp_path: Path) -> None:
    error = refused(World(tmp_path), edit(mask=ImageRef(data=png("red"))))
    assert isinstance(error, InvalidRequest)
    assert error.param == "mask"


def test_a_masks_reference_is_named_in_errors(tmp_path: Path) -> None:
    request = edit(ImageRef(data=png("red")), mask=ImageRef(image_id="img_no_0"))
    assert refused(World(tmp_path), request).param == "mask.image_id"


def test_the_bytes_of_a_request_are_limited_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = png("red")
    monkeypatch.setattr(sources, "MAX_TOTAL_BYTES", 3 * len(data))
    World(tmp_path).load(edit(*[ImageRef(data=data)] * 3))
    error = refused(World(tmp_path), edit(*[ImageRef(data=data)] * 4))
    assert isinstance(error, PayloadTooLarge)


def test_the_first_error_stops_the_other_fetches(tmp_path: Path) -> None:
    world = World(tmp_path, web={f"/{n}": png("red") for n in range(20)})
    refs = [ImageRef(url=f"https://pictures.example/{n}") for n in range(20)]
    refs[0] = ImageRef(data=b"no picture")
    assert isinstance(refused(world, edit(*refs)), UnsupportedImage)
    assert len(world.fetched) < 20


def turn(prompt: str) -> Turn:
    """An exchange with every field set."""
    source = Source(png("red"), "image/png", 40, 20)
    image = Picture(png("blue"), "image/png", 40, 20)
    return Turn(prompt, (source,), (image,), "gemini", "model-1", ('{"parts": ["é', 0, '"]}'))


def test_a_turn_comes_back_as_it_was_kept() -> None:
    for kept in (turn("é"), Turn("p", (), ())):
        assert decode_turn(encode_turn(kept, "req_0")) == (replace(kept, images=()), "req_0")


def test_a_providers_copy_of_a_source_is_not_kept() -> None:
    source = replace(turn("p").sources[0], uri="https://files.example/1")
    kept, _ = decode_turn(encode_turn(Turn("p", (source,), ()), None))
    assert kept.sources[0].uri is None


def chain(count: int) -> dict[str, bytes]:
    """The objects of a conversation: req_1 began it."""
    turns = {
        f"turns/req_{n}": encode_turn(turn(f"prompt {n}"), f"req_{n - 1}" if n > 1 else None)
        for n in range(1, count + 1)
    }
    return turns | {f"images/req_{n}/0": png("blue") for n in range(1, count + 1)}


def test_a_conversation_is_loaded_oldest_first(tmp_path: Path) -> None:
    world = World(tmp_path, records=[record("req_3")], objects=chain(3))
    loaded = world.load(edit(after="req_3"))
    assert loaded.turns == (turn("prompt 1"), turn("prompt 2"), turn("prompt 3"))


def test_a_conversation_may_be_continued_from_its_middle(tmp_path: Path) -> None:
    world = World(tmp_path, records=[record("req_2")], objects=chain(3))
    assert len(world.load(edit(after="req_2")).turns) == 2


def test_a_conversation_has_sixteen_turns_at_most(tmp_path: Path) -> None:
    world = World(tmp_path, records=[record("req_16"), record("req_17")], objects=chain(17))
    assert len(world.load(edit(after="req_16")).turns) == 16
    error = refused(world, edit(after="req_17"))
    assert isinstance(error, InvalidRequest)
    assert error.param == "previous_request_id"


def test_a_conversations_bytes_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, records=[record("req_3")], objects=chain(3))
    monkeypatch.setattr(sources, "MAX_TOTAL_BYTES", sum(map(len, chain(2).values())))
    error = refused(world, edit(after="req_3"))
    assert isinstance(error, PayloadTooLarge)
    assert error.param == "previous_request_id"


@pytest.mark.parametrize(
    ("request_id", "account_id"),
    [("req_1", "acc_other"), ("req_2", ME), ("../req_1", ME), ("req_a/b", ME), ("", ME)],
)
def test_a_request_that_is_not_ones_own_cannot_be_continued(
    tmp_path: Path, request_id: str, account_id: str
) -> None:
    world = World(tmp_path, records=[record("req_1")], objects=chain(2))
    error = refused(world, edit(after=request_id), account_id)
    assert isinstance(error, NotFound)
    assert error.param == "previous_request_id"


def test_a_live_request_does_not_continue_a_sandbox_one(tmp_path: Path) -> None:
    made_live = replace(record("req_1"), sandbox=False)
    error = refused(World(tmp_path, records=[made_live], objects=chain(1)), edit(after="req_1"))
    assert isinstance(error, InvalidRequest)
    assert error.param == "previous_request_id"


@pytest.mark.parametrize("status", ["queued", "running", "failed", "cancelled"])
def test_only_a_request_that_succeeded_can_be_continued(tmp_path: Path, status: Status) -> None:
    world = World(tmp_path, records=[record("req_1", status)], objects=chain(1))
    error = refused(world, edit(after="req_1"))
    assert isinstance(error, InvalidRequest)
    assert status in error.message
    assert error.param == "previous_request_id"


def test_a_request_that_kept_no_turn_cannot_be_continued(tmp_path: Path) -> None:
    error = refused(World(tmp_path, records=[record("req_1")]), edit(after="req_1"))
    assert isinstance(error, InvalidRequest)
    assert error.param == "previous_request_id"


def test_a_conversation_with_a_deleted_turn_cannot_be_continued(tmp_path: Path) -> None:
    objects = chain(3)
    del objects["turns/req_2"]
    error = refused(
        World(tmp_path, records=[record("req_3")], objects=objects), edit(after="req_3")
    )
    assert isinstance(error, InvalidRequest)
    assert "req_2" in error.message


@pytest.mark.parametrize(
    ("most", "lost", "short_by", "found"),
    [
        (2, "", 0, ["prompt 2", "prompt 3"]),
        (9, "", 0, ["prompt 1", "prompt 2", "prompt 3"]),
        (9, "turns/req_1", 0, ["prompt 2", "prompt 3"]),
        (9, "", 1, ["prompt 2", "prompt 3"]),
    ],
)
def test_who_says_how_many_turns_count_gets_those_that_are_there_and_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, lost: str, short_by: int,
    found: list[str],
) -> None:  # fmt: skip
    objects = chain(3)
    given_back = 3 * len(base64.b64encode(png("blue")))
    most_bytes = sum(map(len, objects.values())) + given_back - short_by
    monkeypatch.setattr(sources, "MAX_TOTAL_BYTES", most_bytes)
    objects.pop(lost, None)
    world = World(tmp_path, records=[record("req_3")], objects=objects)
    loaded = world.load(replace(edit(after="req_3"), max_turns=most))
    assert [turn.prompt for turn in loaded.turns] == found


def test_the_last_turn_has_to_be_there_however_many_count(tmp_path: Path) -> None:
    world = World(tmp_path, records=[record("req_1")])
    error = refused(world, replace(edit(after="req_1"), max_turns=1))
    assert isinstance(error, InvalidRequest)

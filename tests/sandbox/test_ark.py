"""Ark as it serves Seedream: strict fields, PascalCase errors, one failed picture among several."""

from __future__ import annotations

import base64
import json
import math
from datetime import timedelta
from typing import Any

import httpx
import pytest

from shared import errors
from shared.catalogue import Catalogue
from shared.domain import Endpoint, ImageRequest
from shared.domain import Source as Reference
from shared.providers import Done, ark
from shared.sandbox import Sandbox
from shared.sandbox.ark import TRAITS
from shared.sandbox.painter import Picture
from tests.faults import ANSWERED
from tests.sandbox.conftest import Clock, opened, packed, photo

pytestmark = pytest.mark.pictures

OLD, PRO, LITE = (
    "seedream-4-0-250828",
    "dola-seedream-5-0-pro-260628",
    "seedream-5-0-lite-260128",
)
ADDRESS = "http://sandbox/ark/v3/images/generations"


class Ark:
    """Calls to the sandbox's Ark, with a key unless told otherwise. Pictures are small and packed
    in the answer, where nothing else is asked for."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def send(
        self, content: bytes, key: str | None = "sandbox", address: str = ADDRESS
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        request = httpx.Request("POST", address, headers=headers, content=content)
        return self.sandbox.handle(request)

    def make(self, prompt: object = "A red bicycle", **fields: Any) -> httpx.Response:
        body = {
            "model": OLD,
            "size": "1024x1024",
            "response_format": "b64_json",
            "watermark": False,
        }
        asked = body | {"prompt": prompt} | fields
        return self.send(json.dumps({k: v for k, v in asked.items() if v != ...}).encode())

    def fetch(self, url: str, **headers: str) -> httpx.Response:
        return self.sandbox.handle(httpx.Request("GET", url, headers=headers))


@pytest.fixture
def server(rows: Catalogue, clock: Clock) -> Ark:
    return Ark(Sandbox(rows, clock))


def group(most: int) -> dict[str, Any]:
    options = {"max_images": most}
    return {
        "sequential_image_generation": "auto",
        "sequential_image_generation_options": options,
    }


def uri(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{packed(data)}"


def items(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    found = response.json()["data"]
    assert isinstance(found, list)
    return found


def picture(response: httpx.Response) -> bytes:
    (item,) = items(response)
    return base64.b64decode(item["b64_json"], validate=True)


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error of an answer, its form checked."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert isinstance(error, dict)
    assert set(error) == {"code", "message", "param", "type"}
    assert error["message"].endswith(f"Request id: {response.headers['x-request-id']}")
    assert error["code"] == code
    return error


def test_a_picture_comes_with_its_size_and_the_tokens_of_its_pixels(server: Ark) -> None:
    answer = server.make()
    seen = opened(picture(answer))
    assert (seen.size, seen.format) == ((1024, 1024), "JPEG")
    body = answer.json()
    assert set(body) == {"model", "created", "data", "usage"}
    assert body["data"][0]["size"] == "1024x1024"
    assert body["usage"] == {"generated_images": 1, "output_tokens": 4096, "total_tokens": 4096}


def test_no_two_pictures_are_alike(server: Ark) -> None:
    assert picture(server.make()) != picture(server.make())


def test_the_vendors_whole_path_is_taken_too(server: Ark) -> None:
    body = {"model": OLD, "prompt": "A cat", "size": "1K", "response_format": "b64_json"}
    address = "http://sandbox/ark/api/v3/images/generations"
    assert picture(server.send(json.dumps(body).encode(), address=address))


def test_without_a_size_the_vendors_default_is_made(server: Ark) -> None:
    assert opened(picture(server.make(size=...))).size == (2048, 2048)


def test_a_resolution_alone_leaves_the_ratio_to_the_first_reference(server: Ark) -> None:
    tall = uri(photo(90, 160))
    assert opened(picture(server.make(size="1K", image=tall))).size == (736, 1312)
    assert opened(picture(server.make(size="1K", image=[tall, uri(photo())]))).size == (736, 1312)


def test_a_new_model_encodes_png_and_says_so(server: Ark) -> None:
    answer = server.make(model=PRO, output_format="png")
    assert opened(picture(answer)).format == "PNG"
    assert items(answer)[0]["output_format"] == "png"


def test_the_older_name_of_a_model_is_known(server: Ark) -> None:
    answer = server.make(model="seedream-5-0-260128", size="1920x1920")
    assert opened(picture(answer)).size == (1920, 1920)


def test_by_default_a_picture_is_marked(server: Ark, monkeypatch: pytest.MonkeyPatch) -> None:
    painted: list[str] = []

    def paint(picture: Picture) -> bytes:
        painted.append(picture.caption)
        return b"x"

    monkeypatch.setattr("shared.sandbox.ark.paint", paint)
    server.make(watermark=...)
    server.make(watermark=True)
    server.make(watermark=False)
    assert painted == ["AI generated  A red bicycle"] * 2 + ["A red bicycle"]


def test_an_address_serves_its_picture_for_a_day_without_a_key(server: Ark, clock: Clock) -> None:
    (item,) = items(server.make(response_format=...))
    assert item["url"].startswith("http://sandbox/ark/files/")
    clock.now += timedelta(hours=24) - timedelta(seconds=1)
    answer = server.fetch(item["url"])
    assert answer.headers["content-type"] == "image/jpeg"
    assert opened(answer.content).size == (1024, 1024)
    assert server.fetch(item["url"], authorization="Bearer sandbox").status_code == 400
    clock.now += timedelta(seconds=1)
    assert server.fetch(item["url"]).status_code == 403
    assert server.fetch(item["url"].replace("/files/", "/files/0")).status_code == 404


def test_a_group_has_as_many_pictures_as_it_may(server: Ark) -> None:
    found = items(server.make(**group(3)))
    assert len({item["b64_json"] for item in found}) == 3


def test_one_of_a_group_can_fail_in_its_place(server: Ark) -> None:
    answer = server.make("A robot [sandbox:partial]", **group(2))
    good, failed = items(answer)
    assert "b64_json" in good
    assert failed == {
        "error": {
            "code": "OutputImageSensitiveContentDetected",
            "message": "The request failed because the output image may contain sensitive "
            "information.",
        }
    }
    assert answer.json()["usage"]["generated_images"] == 1


def test_if_all_fail_it_is_an_error(server: Ark) -> None:
    answer = server.make("A robot [sandbox:partial]")
    refused(answer, 400, "OutputImageSensitiveContentDetected")


def test_a_stream_tells_each_picture_and_then_the_usage(server: Ark) -> None:
    answer = server.make("A robot [sandbox:partial]", stream=True, **group(2))
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = answer.text.removesuffix("\n\n").split("\n\n")
    assert blocks.pop() == "data: [DONE]"
    told = [block.split("\n") for block in blocks]
    events = [json.loads(data.removeprefix("data: ")) for _, data in told]
    assert [name.removeprefix("event: ") for name, _ in told] == [e["type"] for e in events]
    first, second, last = events
    assert first["type"] == "image_generation.partial_succeeded"
    assert (first["image_index"], first["size"]) == (0, "1024x1024")
    assert second["type"] == "image_generation.partial_failed"
    assert second["error"]["code"] == "OutputImageSensitiveContentDetected"
    assert last["type"] == "image_generation.completed"
    assert last["usage"]["generated_images"] == 1


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"n": 2}, "n", "`n`"),
        ({"seed": 7}, "seed", "`seed`"),
        ({"prompt": ""}, "prompt", "`prompt`"),
        ({"prompt": ["a"]}, "prompt", "`prompt`"),
        ({"size": "2K ", "model": LITE}, "size", "2K, 3K, 4K or WIDTHxHEIGHT"),
        ({"size": "1024*1024"}, "size", "WIDTHxHEIGHT"),
        ({"size": "960x959"}, "size", "at least 921600 pixels"),
        ({"size": "1919x1920", "model": LITE}, "size", "at least 3686400 pixels"),
        ({"size": "4097x4096"}, "size", "at most 16777216 pixels"),
        ({"size": "2151x2151", "model": PRO}, "size", "at most 4624220 pixels"),
        ({"size": "4097x256"}, "size", "aspect ratio"),
        ({"response_format": "png"}, "response_format", "`response_format`"),
        ({"output_format": "png"}, "output_format", "`output_format`"),
        ({"output_format": "webp", "model": PRO}, "output_format", "`output_format`"),
        ({"watermark": "false"}, "watermark", "`watermark`"),
        (group(2) | {"model": PRO}, "sequential_image_generation", "does not support"),
        (group(16), "sequential_image_generation_options.max_images", "max_images"),
        (
            {"optimize_prompt_options": {"mode": "fast"}, "model": LITE, "size": "2K"},
            "optimize_prompt_options.mode",
            "does not support",
        ),
        ({"image": "https://example.com/a.png"}, "image", "data:image/"),
        ({"image": "data:image/PNG;base64,AAAA"}, "image", "data:image/"),
        ({"image": "data:image/png;base64,AAAA"}, "image", "cannot be decoded"),
        ({"image": "data:image/png;base64,!"}, "image", "cannot be decoded"),
        ({"image": [uri(photo())] * 15}, "image", "at most 14 images"),
        ({"image": [uri(photo())] * 11, "model": PRO}, "image", "at most 10 images"),
        (
            {"image": [uri(photo())] * 10} | group(6),
            "sequential_image_generation_options",
            "more than 15",
        ),
    ],
)
def test_what_ark_does_not_take_is_refused(
    server: Ark, fields: dict[str, Any], param: str, words: str
) -> None:
    error = refused(server.make(**fields), 400, "InvalidParameter")
    assert error["param"] == param
    assert words in error["message"]


def test_a_reference_of_more_than_ten_megabytes_is_refused(server: Ark) -> None:
    error = refused(server.make(image=uri(bytes(10 * 2**20 + 1))), 400, "InvalidParameter")
    assert "10 MB" in error["message"]


def test_a_body_without_its_fields_is_refused(server: Ark) -> None:
    assert refused(server.make(prompt=...), 400, "MissingParameter")["param"] == "prompt"
    for content in (b"{", b"[]", b"", b"[" * 100_000):
        refused(
            server.send(content), 400, "MissingParameter" if not content else "InvalidParameter"
        )


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        (None, 401, "AuthenticationError"),
        ("bad-key", 401, "AuthenticationError"),
        ("overdue-key", 403, "AccountOverdueError"),
        ("closed-key", 404, "ModelNotOpen"),
    ],
)
def test_a_key_can_be_refused(server: Ark, key: str | None, status: int, code: str) -> None:
    refused(server.send(b"{}", key), status, code)


def test_unknown_models_and_paths_are_not_found(server: Ark) -> None:
    error = refused(server.make(model="seedream-9"), 404, "InvalidEndpointOrModel.NotFound")
    assert "seedream-9" in error["message"]
    refused(server.send(b"{}", address="http://sandbox/ark/v3/models"), 404, "NotFound")


def test_a_directive_that_means_nothing_is_refused(server: Ark) -> None:
    error = refused(server.make("[sandbox:explode]"), 400, "InvalidParameter")
    assert "not a sandbox directive" in error["message"]


def test_every_size_of_the_rows_is_one_that_ark_takes(rows: Catalogue) -> None:
    mine = [m for m in rows.models.values() if any(r.provider == "ark" for r in m.routes)]
    assert len(mine) == 4
    for model in mine:
        (wire,) = (r.wire_model for r in model.routes if r.provider == "ark")
        traits = next(t for part, t in TRAITS.items() if part in wire)
        for sizes in model.sizes.values():
            for size in sizes.values():
                assert traits.least <= math.prod(size) <= traits.most
                assert max(size) <= 16 * min(size)
        free = model.options.get("size")
        if free:
            assert (free.min, free.max, free.widest) == (traits.least, traits.most, 16)
        assert model.max_sources <= traits.references


# ------------------------------------------------------------------------- through the adapter


def through(server: Ark, prompt: str, **fields: Any) -> Done:
    """What the adapter makes of the sandbox's answer."""
    fields = {"size": (1024, 1024), **fields}
    asked = ImageRequest("generate", "seedream-4-0", prompt, **fields)
    request = ark.submit(asked, Endpoint("http://sandbox/ark", "v3", OLD, "sandbox"))
    answer = server.sandbox.handle(request)
    answer.request = request
    return ark.read(answer)


def test_pictures_come_through_the_adapter(server: Ark) -> None:
    reference = Reference(photo(), "image/png", 64, 64)
    done = through(server, "A red bicycle", n=2, sources=(reference,))
    assert len(done.images) == 2
    assert (done.usage.images, done.usage.output_tokens) == (2, 8192)


def test_a_failed_picture_is_counted_as_withheld(server: Ark) -> None:
    done = through(server, "A robot [sandbox:partial]", n=3)
    assert (len(done.images), done.withheld) == (2, 1)
    assert done.reason and "sensitive" in done.reason


@pytest.mark.parametrize(("directive", "error"), ANSWERED)
def test_every_directive_ends_as_the_error_it_stands_for(
    server: Ark, directive: str, error: type[errors.DarkroomError]
) -> None:
    with pytest.raises(error) as caught:
        through(server, f"A robot [sandbox:{directive}@ark]")
    assert type(caught.value) is error
    assert caught.value.details["http_status"]


def test_directives_that_leave_a_picture_leave_a_picture(server: Ark) -> None:
    done = through(server, "A robot [sandbox:wrong_mime][sandbox:bytes=900000][sandbox:slow=3]")
    (image,) = done.images
    assert len(getattr(image, "data", b"")) >= 900_000
    assert through(server, "A robot [sandbox:blocked@google]").images


def test_faults_of_the_line_are_left_to_the_front_end(server: Ark) -> None:
    for fault in ("timeout", "truncated"):
        answer = server.make(f"A robot [sandbox:{fault}]")
        assert answer.extensions["fault"] == fault
    assert server.make("A robot [sandbox:slow=2.5]").extensions["delay_s"] == 2.5

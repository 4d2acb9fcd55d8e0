"""The sandbox's OpenAI: pictures, edits, streams, and what is refused about them."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image

from shared.catalogue import Catalogue
from shared.sandbox import Sandbox
from tests.sandbox.conftest import Clock, opened, packed, photo
from tests.sandbox.openai_client import FLARE, MINI, SECOND, OpenAI, events, pictures, refused

pytestmark = pytest.mark.pictures


@pytest.fixture
def openai(rows: Catalogue, clock: Clock) -> OpenAI:
    return OpenAI(Sandbox(rows, clock))


def mask(width: int = 64, height: int = 64, mode: str = "RGBA") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, "PNG")
    return file.getvalue()


def data_url(data: bytes) -> dict[str, str]:
    return {"image_url": f"data:image/png;base64,{packed(data)}"}


def edit_json(openai: OpenAI, **fields: object) -> Any:
    body = {"model": FLARE, "prompt": "Add a cat", "quality": "low", **fields}
    return openai.send("POST", "/v1/images/edits", body)


def test_an_answer_says_what_it_made(openai: OpenAI) -> None:
    response = openai.generate("A cat", size="1536x864", output_format="webp")
    (picture,) = pictures(response)
    assert (opened(picture).size, opened(picture).format) == ((1536, 864), "WEBP")
    said = response.json()
    del said["data"]
    assert said == {
        "created": 1795255200,
        "background": "opaque",
        "output_format": "webp",
        "quality": "low",
        "size": "1536x864",
        "usage": {
            "input_tokens": 8,
            "input_tokens_details": {"text_tokens": 8, "image_tokens": 0},
            "output_tokens": 120,
            "output_tokens_details": {"image_tokens": 120, "text_tokens": 0},
            "total_tokens": 128,
        },
    }


def test_what_is_left_open_is_chosen_and_said(openai: OpenAI) -> None:
    said = openai.generate(quality="auto", size="auto", background="auto").json()
    assert (said["size"], said["quality"], said["background"], said["output_format"]) == (
        "1024x1024",
        "high",
        "opaque",
        "png",
    )
    assert said["usage"]["output_tokens"] == 1756


def test_several_pictures_differ_and_are_counted(openai: OpenAI) -> None:
    response = openai.generate(n=2)
    made = pictures(response)
    assert len(set(made) | set(pictures(openai.generate()))) == 3
    assert response.json()["usage"]["output_tokens"] == 2 * 196


def test_a_free_size_is_counted_as_it_was_seen_to_be(openai: OpenAI) -> None:
    usage = openai.generate(size="1536x864").json()["usage"]
    assert usage["output_tokens"] == 120


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_a_transparent_picture_has_holes(openai: OpenAI, kind: str) -> None:
    (picture,) = pictures(openai.generate(background="transparent", output_format=kind))
    assert opened(picture).convert("RGBA").getpixel((0, 0))[3] == 0  # type: ignore[index]


def test_compression_makes_a_smaller_file(openai: OpenAI) -> None:
    for kind in ("jpeg", "webp"):
        small, large = (
            pictures(openai.generate(output_format=kind, output_compression=q))[0] for q in (20, 95)
        )
        assert len(small) < len(large)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"response_format": "url"}, "response_format", "unknown_parameter"),
        ({"seed": 7}, "seed", "unknown_parameter"),
        ({"style": "vivid"}, "style", "unknown_parameter"),
        ({"images": []}, "images", "unknown_parameter"),
        ({"input_fidelity": "low"}, "input_fidelity", "unknown_parameter"),
        ({"complexity": "low"}, "complexity", "unknown_parameter"),
        ({"prompt": None}, "prompt", "missing_required_parameter"),
        ({"prompt": ["x"]}, "prompt", "invalid_type"),
        ({"prompt": "x" * 32001}, "prompt", "string_above_max_length"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"n": 11}, "n", "integer_above_max_value"),
        ({"n": "2"}, "n", "invalid_type"),
        ({"n": True}, "n", "invalid_type"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"partial_images": 4}, "partial_images", "integer_above_max_value"),
        ({"quality": "hd"}, "quality", "invalid_value"),
        ({"quality": "max", "model": SECOND}, "quality", "invalid_value"),
        ({"quality": {}}, "quality", "invalid_type"),
        ({"moderation": "none"}, "moderation", "invalid_value"),
        ({"output_format": "gif"}, "output_format", "invalid_value"),
        ({"size": "512x512", "model": MINI}, "size", "invalid_value"),
        ({"size": "1792x936"}, "size", "invalid_value"),
        ({"size": "3856x2160"}, "size", "invalid_value"),
        ({"size": "3200x1024"}, "size", "invalid_value"),
        ({"size": "3840x2176"}, "size", "invalid_value"),
        ({"size": "512x512"}, "size", "invalid_value"),
        ({"size": "large"}, "size", "invalid_value"),
        ({"size": 1024}, "size", "invalid_type"),
        ({"background": "transparent", "model": SECOND}, "background", "invalid_value"),
        ({"background": "transparent", "output_format": "jpeg"}, "background", "invalid_value"),
        ({"output_compression": 50}, None, "invalid_png_output_compression"),
    ],
)
def test_what_it_does_not_take_is_refused_by_name(
    openai: OpenAI, fields: dict[str, Any], param: str | None, code: str
) -> None:
    error = refused(openai.generate(**fields), 400)
    assert (error["param"], error["code"]) == (param, code)


def test_nulls_are_as_if_left_out(openai: OpenAI) -> None:
    nothing: dict[str, Any] = dict.fromkeys(
        ("n", "size", "background", "output_format", "stream", "user")
    )
    assert len(pictures(openai.generate(**nothing))) == 1


def test_a_body_that_cannot_be_read_is_refused(openai: OpenAI) -> None:
    path = "/v1/images/generations"
    for content, kind in ((b"{", "application/json"), (b"[]", "application/json")):
        headers = {"content-type": kind}
        refused(openai.send("POST", path, content=content, headers=headers), 400)
    form = {"content-type": "multipart/form-data; boundary=x"}
    error = refused(openai.send("POST", path, content=b"--x--", headers=form), 400)
    assert error["code"] == "unsupported_content_type"
    for content in (b"", b"--x\r\n\r\n", b"--y--\r\n"):
        refused(openai.send("POST", "/v1/images/edits", content=content, headers=form), 400)


@pytest.mark.parametrize("name", ["image", "image[]", "image[0]", "images", "images[]"])
def test_images_come_under_many_names(openai: OpenAI, name: str) -> None:
    response = openai.edit([(name, photo(90, 160))], n="2", size="auto", stream="false")
    assert [opened(p).size for p in pictures(response)] == [(864, 1536)] * 2
    assert response.json()["usage"]["input_tokens_details"]["image_tokens"] == 1450


def test_the_parts_of_a_form_come_in_any_order(openai: OpenAI) -> None:
    parts = [
        ("mask", ("blob", mask(), "image/png")),
        ("n", (None, b"2")),
        ("image[]", ("blob", photo(), "image/jpeg")),
        ("model", (None, FLARE.encode())),
        ("image[]", ("blob", photo(kind="WEBP"), "image/png")),
        ("prompt", (None, "Größer".encode())),
        ("quality", (None, b"low")),
    ]
    response = openai.send("POST", "/v1/images/edits", files=parts)
    assert len(pictures(response)) == 2
    assert response.json()["usage"]["input_tokens_details"]["image_tokens"] == 2900


def test_a_part_may_say_its_file_name_first(openai: OpenAI) -> None:
    def part(said: str, data: bytes) -> bytes:
        return f"--x\r\nContent-Disposition: form-data; {said}\r\n\r\n".encode() + data + b"\r\n"

    texts = {"model": FLARE, "prompt": "Add a cat", "quality": "low"}
    body = part('filename="photo"; name="image"', photo())
    body += b"".join(part(f'name="{name}"', text.encode()) for name, text in texts.items())
    headers = {"content-type": 'multipart/form-data; boundary="x"'}
    path = "/v1/images/edits"
    response = openai.send("POST", path, content=body + b"--x--\r\n", headers=headers)
    assert len(pictures(response)) == 1


def test_an_edit_can_be_asked_in_json(openai: OpenAI) -> None:
    response = edit_json(
        openai, images=[data_url(photo())] * 2, mask=data_url(mask()), moderation="low", n=1
    )
    assert len(pictures(response)) == 1


@pytest.mark.parametrize(
    ("images", "code"),
    [
        (None, "missing_required_parameter"),
        ([], "missing_required_parameter"),
        ("data:image/png;base64,AAAA", "invalid_type"),
        (["data:image/png;base64,AAAA"], "invalid_value"),
        ([{"file_id": "file-1"}], "invalid_value"),
        ([{"image_url": "https://pictures.test/1.png"}], "invalid_value"),
        ([{**data_url(b"x"), "file_id": "file-1"}], "invalid_value"),
        ([{"type": "image_url", "url": "data:image/png;base64,AAAA"}], "invalid_value"),
        ([{"image_url": "data:image/png;base64,A"}], "invalid_value"),
        ([data_url(b"no picture")], "invalid_image_file"),
        ([data_url(photo())] * 17, "array_above_max_length"),
    ],
)
def test_images_in_json_are_refused_unless_they_are_some(
    openai: OpenAI, images: object, code: str
) -> None:
    assert refused(edit_json(openai, images=images), 400)["code"] == code


@pytest.mark.parametrize(
    ("files", "param", "code"),
    [
        ([("mask", mask())], "image", "missing_required_parameter"),
        ([("picture", photo())], "picture", "unknown_parameter"),
        ([("image", b"no picture")], "image", "invalid_image_file"),
        ([("image", photo()), ("mask", mask(mode="RGB"))], "mask", "invalid_mask_image_format"),
        ([("image", photo()), ("mask", mask(64, 63))], "mask", "invalid_mask_image_format"),
        ([("image", photo()), ("mask", b"x")], "mask", "invalid_mask_image_format"),
        ([("image", photo()), ("mask", mask()), ("markup", mask())], None, "invalid_value"),
    ],
)
def test_files_in_a_form_are_refused_unless_they_fit(
    openai: OpenAI, files: list[tuple[str, bytes]], param: str | None, code: str
) -> None:
    error = refused(openai.edit(files), 400)
    assert (error["param"], error["code"]) == (param, code)


def test_fields_of_an_edit_depend_on_its_form_and_model(openai: OpenAI) -> None:
    files = [("image", photo())]
    assert refused(openai.edit(files, moderation="low"), 400)["code"] == "unknown_parameter"
    error = refused(openai.edit(files, input_fidelity="low"), 400)
    assert error["code"] == "invalid_input_fidelity_model"
    assert openai.edit(files, input_fidelity="low", model=MINI).status_code == 200
    assert refused(openai.edit(files, n="two"), 400)["code"] == "invalid_type"


def test_a_stream_ends_with_the_picture(openai: OpenAI) -> None:
    first, second, last = events(openai.generate("A cat", stream=True, partial_images=2))
    look = {
        "created_at": 1795255200,
        "size": "1024x1024",
        "quality": "low",
        "background": "opaque",
        "output_format": "png",
    }
    for index, event in enumerate((first, second)):
        sketch = base64.b64decode(event.pop("b64_json"))
        assert opened(sketch).size == (1024, 1024)
        kind = "image_generation.partial_image"
        assert event == {"type": kind, "partial_image_index": index, **look}
    assert opened(base64.b64decode(last.pop("b64_json"))).size == (1024, 1024)
    usage = {
        "input_tokens": 8,
        "output_tokens": 396,
        "total_tokens": 404,
        "input_tokens_details": {"text_tokens": 8, "image_tokens": 0},
    }
    assert last == {"type": "image_generation.completed", "usage": usage, **look}


def test_a_stream_of_an_edit_says_so(openai: OpenAI) -> None:
    response = openai.edit([("image", photo())], stream="true", partial_images="1")
    assert [event["type"] for event in events(response)] == [
        "image_edit.partial_image",
        "image_edit.completed",
    ]


def test_a_stream_is_of_one_picture(openai: OpenAI) -> None:
    error = refused(openai.generate("A cat", stream=True, n=2), 400)
    assert (error["code"], error["param"]) == ("unsupported_parameter", "input")


def test_a_stream_that_cannot_begin_is_an_error_as_ever(openai: OpenAI) -> None:
    error = refused(openai.generate("A cat [sandbox:blocked]", stream=True), 400)
    assert error["code"] == "moderation_blocked"

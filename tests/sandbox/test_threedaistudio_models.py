"""3D AI Studio's 3D models: what may be asked for, what it costs, and that the file is one."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from shared import errors, glb
from shared.catalogue import Catalogue
from shared.domain import Endpoint, ImageRequest, Json, Source
from shared.providers import Done, Pending, Remote, threed_ai_studio
from shared.sandbox.directives import Calls
from shared.sandbox.threedaistudio import ThreeDAIStudio
from shared.sandbox.threedaistudio_tasks import CREDITS
from tests.sandbox.conftest import Clock, packed, photo

HUNYUAN, TEXTURE, TRELLIS = "tencent/generate/pro", "tencent/texture-edit", "trellis2/generate"
BASE = "http://sandbox"
PHOTO = photo(8, 8)
IMAGE = f"data:image/png;base64,{packed(PHOTO)}"
FBX = "https://files.test/model.fbx"
VIEWS = [{"view_type": view, "view_image": IMAGE} for view in ("front", "left")]


@dataclass
class Studio:
    """Calls to the sandbox's 3D AI Studio, by hand or through our own adapter."""

    speaker: ThreeDAIStudio
    rows: Catalogue

    def send(self, request: httpx.Request) -> httpx.Response:
        answer = self.speaker.handle(request, request.url.path)
        answer.request = request
        return answer

    def submit(self, path: str, **body: Json) -> httpx.Response:
        keyed = {"authorization": "Bearer key"}
        url = f"{BASE}/v1/3d-models/{path}/"
        return self.send(httpx.Request("POST", url, headers=keyed, json=body))

    def results(self, path: str, **body: Json) -> list[dict[str, str]]:
        """The results of a new task, looked at twice."""
        begun = self.submit(path, **body)
        assert begun.status_code == 201, begun.text
        url = f"{BASE}/v1/generation-request/{begun.json()['task_id']}/status/"
        keyed = {"authorization": "Bearer key"}
        late, done = (self.send(httpx.Request("GET", url, headers=keyed)).json() for _ in range(2))
        assert {one["asset"] for one in late["results"]} == {None}
        assert [one["asset_type"] for one in late["results"]] == [
            one["asset_type"] for one in done["results"]
        ]
        results: list[dict[str, str]] = done["results"]
        return results

    def model(self, path: str, **body: Json) -> bytes:
        """The GLB of a new task."""
        (found,) = (o for o in self.results(path, **body) if o["asset_type"] == "3D_MODEL")
        answer = self.send(httpx.Request("GET", found["asset"]))
        assert answer.headers["content-type"] == "model/gltf-binary"
        return answer.content

    def spent(self) -> int:
        """Credits that are gone."""
        wallet = threed_ai_studio.balance(Endpoint(BASE, "v1", "", "key"))
        return int(CREDITS - threed_ai_studio.read_balance(self.send(wallet)))

    def made(self, name: str, prompt: str = "", **asked: Any) -> tuple[Remote, bytes]:
        """What our adapter gets for a request, and the bytes that lie there. Raises
        DarkroomError."""
        (route,) = self.rows.models[name].routes
        endpoint = Endpoint(BASE, "v1", route.wire_model, "key")
        request = ImageRequest("three_d", name, prompt, **asked)
        outcome = threed_ai_studio.read(self.send(threed_ai_studio.submit(request, endpoint)))
        for _ in range(20):
            if isinstance(outcome, Done):
                break
            looked = self.send(threed_ai_studio.poll(outcome.token, endpoint))
            outcome = threed_ai_studio.read(looked)
        assert not isinstance(outcome, Pending)
        (remote,) = outcome.images
        assert isinstance(remote, Remote)
        return remote, self.send(httpx.Request("GET", remote.url)).content


@pytest.fixture
def studio(rows: Catalogue, clock: Clock) -> Studio:
    return Studio(ThreeDAIStudio(rows, clock, Calls()), rows)


def refused(answer: httpx.Response, status: int = 400, code: str = "validation_failed") -> str:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return str(answer.json()["message"])


def test_the_file_is_a_whole_gltf_2_model(studio: Studio) -> None:
    """Read by hand, after sections 3 and 4.4 of the glTF 2.0 specification."""
    data = studio.model(HUNYUAN, model="3.1", prompt='A "red" bicycle')
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON" and size % 4 == 0
    document = json.loads(data[20 : 20 + size])
    room, kind = struct.unpack_from("<I4s", data, 20 + size)
    assert kind == b"BIN\0" and 28 + size + room == len(data)
    buffer = data[28 + size :]
    assert document["asset"]["version"] == "2.0"
    assert document["nodes"][document["scenes"][0]["nodes"][0]]["name"].startswith("Sandbox: A ")
    assert document["buffers"] == [{"byteLength": room}]
    (primitive,) = document["meshes"][0]["primitives"]
    widths = {5126: ("f", 4), 5121: ("B", 1), 5123: ("H", 2)}
    parts = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
    read = []
    for accessor in document["accessors"]:
        view = document["bufferViews"][accessor["bufferView"]]
        letter, width = widths[accessor["componentType"]]
        count = accessor["count"] * parts[accessor["type"]]
        assert view["byteLength"] == count * width and view["byteOffset"] % width == 0
        read.append(struct.unpack_from(f"<{count}{letter}", buffer, view["byteOffset"]))
    points, colours, faces = read
    assert (primitive["attributes"], primitive["indices"]) == ({"POSITION": 0, "COLOR_0": 1}, 2)
    assert (min(points), max(points)) == (-1.0, 1.0)
    assert set(colours[3::4]) == {255}
    # Every edge is in two faces, in both directions: the surface is closed.
    triangles = [faces[at : at + 3] for at in range(0, 12, 3)]
    edges = {(t[n], t[(n + 1) % 3]) for t in triangles for n in range(3)}
    assert len(edges) == 12 and edges == {(b, a) for a, b in edges}


def test_models_differ_and_a_seed_makes_one_again(studio: Studio) -> None:
    made = [studio.model(TRELLIS, image=IMAGE, seed=seed) for seed in (7, 7, 8)]
    assert made[0] == made[1] != made[2]
    assert studio.model(TRELLIS, image=IMAGE) != studio.model(TRELLIS, image=IMAGE)


def test_hunyuan_has_an_archive_too_and_the_others_have_none(studio: Studio) -> None:
    archive, model = studio.results(HUNYUAN, model="3.0", image=IMAGE)
    assert (archive["asset_type"], model["asset_type"]) == ("ARCHIVE", "3D_MODEL")
    file = studio.send(httpx.Request("GET", archive["asset"]))
    assert file.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(file.content)) as found:
        assert found.read("model.obj").count(b"\nf ") == 4
    assert len(studio.results(TRELLIS, image=IMAGE)) == 1
    assert len(studio.results(TEXTURE, file_url=FBX, prompt="Copper")) == 1


@pytest.mark.parametrize(
    ("path", "body", "credits"),
    [
        (HUNYUAN, {"model": "3.1", "prompt": "x"}, 60),
        (HUNYUAN, {"model": "3.1", "prompt": "x", "enable_pbr": True}, 80),
        (HUNYUAN, {"model": "3.0", "multi_view_images": VIEWS, "enable_pbr": True}, 100),
        (TEXTURE, {"file_url": FBX, "prompt": "x", "enable_pbr": True}, 80),
        (TRELLIS, {"image": IMAGE}, 20),
        (TRELLIS, {"image": IMAGE, "resolution": "512", "texture_size": 4096}, 15),
        (TRELLIS, {"image": IMAGE, "resolution": "1536", "textures": True}, 40),
        (
            TRELLIS,
            {"image": IMAGE, "resolution": "1536", "textures": True, "texture_size": 4096},
            55,
        ),
    ],
)
def test_credits_go_by_the_options(
    studio: Studio, path: str, body: dict[str, Json], credits: int
) -> None:
    assert studio.submit(path, **body).status_code == 201
    assert studio.spent() == credits


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (HUNYUAN, {"prompt": "x"}, "model: this field is required"),
        (HUNYUAN, {"model": "3.5", "prompt": "x"}, "'3.0' or '3.1'"),
        (HUNYUAN, {"model": "3.1"}, "required if no image"),
        (HUNYUAN, {"model": "3.1", "prompt": "x" * 1025}, "prompt"),
        (HUNYUAN, {"model": "3.1", "prompt": "x", "image": IMAGE}, "only with generate_type"),
        (HUNYUAN, {"model": "3.1", "prompt": "x", "generate_type": "LowPoly"}, "not available"),
        (HUNYUAN, {"model": "3.1", "image": IMAGE, "generate_type": "Sketch"}, "not available"),
        (HUNYUAN, {"model": "3.0", "prompt": "x", "face_count": 39_999}, "face_count"),
        (HUNYUAN, {"model": "3.0", "prompt": "x", "face_count": 1_500_001}, "face_count"),
        (HUNYUAN, {"model": "3.0", "multi_view_images": VIEWS[1:]}, "front view"),
        (HUNYUAN, {"model": "3.0", "multi_view_images": VIEWS * 2}, "once"),
        (HUNYUAN, {"model": "3.0", "image": "https://x.test/1.png"}, "must be data URIs"),
        (HUNYUAN, {"model": "3.0", "prompt": "x", "multi_view": True}, "unknown field"),
        (TEXTURE, {"prompt": "x"}, "file_url: this field is required"),
        (TEXTURE, {"file_url": FBX}, "exactly one of image and prompt"),
        (TEXTURE, {"file_url": FBX, "prompt": "x", "image": IMAGE}, "exactly one"),
        (TEXTURE, {"file_url": FBX, "image": IMAGE, "enable_pbr": True}, "using a prompt"),
        (TRELLIS, {}, "exactly one of image and image_url"),
        (TRELLIS, {"image": IMAGE, "image_url": FBX}, "exactly one of image and image_url"),
        (TRELLIS, {"image": IMAGE, "prompt": "x"}, "unknown field 'prompt'"),
        (TRELLIS, {"image": IMAGE, "resolution": 512}, "resolution"),
        (TRELLIS, {"image": IMAGE, "steps": 51}, "steps"),
        (TRELLIS, {"image": IMAGE, "texture_size": 512}, "texture_size"),
        (TRELLIS, {"image": IMAGE, "decimation_target": 999}, "decimation_target"),
    ],
)
def test_a_wrong_field_is_refused_and_costs_nothing(
    studio: Studio, path: str, body: dict[str, Json], words: str
) -> None:
    assert words in refused(studio.submit(path, **body))
    assert studio.spent() == 0


def test_other_endpoints_are_not_there(studio: Studio) -> None:
    for path in ("tencent/generate/rapid", "tripo/text-to-3d", "trellis2"):
        refused(studio.submit(path, prompt="x"), 404, "not_found")
    looked = httpx.Request(
        "GET", f"{BASE}/v1/3d-models/{TRELLIS}/", headers={"authorization": "Bearer key"}
    )
    refused(studio.send(looked), 405, "method_not_allowed")


SOURCE = Source(PHOTO, "image/png", 8, 8)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("hunyuan-3d-3.1", {"prompt": "A bicycle", "options": {"enable_pbr": True}}),
        ("hunyuan-3d-3.1", {"sources": (SOURCE,) * 4, "options": {"multi_view": True}}),
        (
            "hunyuan-3d-3.0",
            {"prompt": "A", "sources": (SOURCE,), "options": {"generate_type": "Sketch"}},
        ),
        ("hunyuan-3d-texture", {"prompt": "Copper", "options": {"file_url": FBX}}),
        ("trellis-2", {"sources": (SOURCE,), "options": {"textures": True, "seed": 1}}),
    ],
)
def test_the_adapter_finds_the_model_among_what_was_made(
    studio: Studio, name: str, asked: dict[str, Any]
) -> None:
    remote, data = studio.made(name, **asked)
    assert remote.url.endswith(".glb")
    assert glb.measure(data) is not None
    route = studio.rows.models[name].routes[0]
    price = route.price.of_options(asked["options"], studio.rows.offer(route).options)
    assert price is not None and studio.spent() == price // 1_000_000


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("rate_limited", errors.RateLimited),
        ("unavailable", errors.ProviderUnavailable),
        ("blocked", errors.ContentBlocked),
        ("partial", errors.ContentBlocked),
        ("no_image", errors.NoImage),
        ("text_only", errors.NoImage),
    ],
)
def test_a_directive_ends_as_its_error(
    studio: Studio, fault: str, kind: type[errors.DarkroomError]
) -> None:
    with pytest.raises(errors.DarkroomError) as caught:
        studio.made("hunyuan-3d-3.1", f"A bicycle [sandbox:{fault}]")
    assert type(caught.value) is kind
    if fault in ("blocked", "partial"):
        assert studio.spent() == 0


def test_a_model_can_be_large_late_or_none_at_all(studio: Studio) -> None:
    large = studio.made("hunyuan-3d-3.1", "A bicycle [sandbox:bytes=500000]")[1]
    assert 500_000 <= len(large) <= 500_010
    assert glb.measure(large) is not None
    late = studio.submit(HUNYUAN, model="3.1", prompt="A bicycle [sandbox:slow=2]")
    assert late.extensions["delay_s"] == 2.0
    remote, named = studio.made("hunyuan-3d-3.1", "A bicycle [sandbox:wrong_mime]")
    assert remote.url.endswith(".jpeg") and glb.measure(named) is not None
    torn = studio.made("hunyuan-3d-3.1", "A bicycle [sandbox:bad_base64]")[1]
    assert glb.measure(torn) is None

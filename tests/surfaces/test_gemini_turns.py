"""A signature is short, ours, one account's, and of one picture; a conversation brings it back."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from shared.domain import Image, ImageRef
from shared.links import Links
from shared.surfaces.conversation import Said
from shared.surfaces.gemini_messages import GenerateContentRequest
from shared.surfaces.gemini_turns import Conversation, Reference, Signer, conversation
from shared.surfaces.google_json import Refusal, validated

ROOT = "https://host.test"
LINKS = Links(ROOT, b"a secret")
SIGNER = Signer(LINKS, "acc_1")
ID = "a" * 26
REQUEST = f"req_{ID}"
PICTURE = b"a picture"


def image(data: bytes = PICTURE, number: int = 0) -> Image:
    digest = hashlib.sha256(data).hexdigest()
    return Image(f"img_{ID}_{number}", "", "image/png", 8, 8, len(data), digest)


def signature(number: int = 0, data: bytes = PICTURE) -> str:
    return SIGNER.sign(REQUEST, number, image(data, number))


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"text": words, **more}


def inline(data: bytes = PICTURE, kind: str = "image/png", **more: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": kind, "data": base64.b64encode(data).decode()}, **more}


def file(uri: str, kind: str = "", **more: Any) -> dict[str, Any]:
    return {"fileData": {"fileUri": uri, "mimeType": kind}, **more}


def read(*contents: tuple[str, list[dict[str, Any]]], signer: Signer = SIGNER) -> Conversation:
    body = {"contents": [{"role": role, "parts": parts} for role, parts in contents]}
    message = validated(GenerateContentRequest, body, "v1")
    return conversation(message.contents, signer)


def refused(*contents: tuple[str, list[dict[str, Any]]], signer: Signer = SIGNER) -> str:
    with pytest.raises(Refusal) as caught:
        read(*contents, signer=signer)
    assert caught.value.code == 400
    return caught.value.message


def test_a_signature_is_short_and_standard_base64_and_reads_back() -> None:
    for number in range(20):
        said = signature(number)
        assert len(said) < 200
        decoded = base64.b64decode(said, validate=True)
        assert SIGNER.read(decoded) == Reference(REQUEST, number, image().sha256)


@pytest.mark.parametrize("change", ["another account", "another secret", "a bit", "nothing"])
def test_a_signature_that_was_not_given_here_is_none(change: str) -> None:
    said, signer = bytearray(base64.b64decode(signature())), SIGNER
    if change == "another account":
        signer = Signer(LINKS, "acc_2")
    elif change == "another secret":
        signer = Signer(Links(ROOT, b"another"), "acc_1")
    elif change == "a bit":
        said[0] ^= 1
    else:
        said.clear()
    with pytest.raises(Refusal, match="Corrupted thought signature"):
        signer.read(bytes(said))


def test_a_signed_picture_is_its_requests() -> None:
    model = [text("Here", thoughtSignature=signature()), inline(thoughtSignature=signature())]
    found = read(("user", [text("A cat")]), ("model", model), ("user", [text("Blue")]))
    assert found.messages == (
        Said("user", "A cat"),
        Said("model", "Here", (ImageRef(data=PICTURE),), REQUEST),
        Said("user", "Blue"),
    )
    assert found.last == Reference(REQUEST, 0, image().sha256)


def test_the_contents_of_one_stream_are_one_turn() -> None:
    first = [text("Here", thoughtSignature=signature())]
    second = [inline(thoughtSignature=signature())]
    found = read(("user", [text("A cat")]), ("model", first), ("model", second))
    assert found.messages[1:] == (Said("model", "Here", (ImageRef(data=PICTURE),), REQUEST),)
    assert found.last == Reference(REQUEST, 0, image().sha256)


def test_a_turn_whose_words_alone_came_back_still_has_its_picture() -> None:
    found = read(("model", [text("Here", thoughtSignature=signature())]))
    assert found.messages[0].images == (ImageRef(image_id=f"img_{ID}_0"),)


def test_the_number_of_another_candidate_is_kept() -> None:
    found = read(("model", [inline(thoughtSignature=signature(2))]))
    assert found.last is not None
    assert found.last.number == 2


def test_a_later_picture_that_is_not_ours_is_the_last() -> None:
    found = read(("model", [inline(thoughtSignature=signature())]), ("model", [inline(b"other")]))
    assert found.last is None
    assert [said.request_id for said in found.messages] == [REQUEST, None]


def test_another_picture_beside_a_signature_is_refused() -> None:
    model = [inline(b"another", thoughtSignature=signature())]
    assert refused(("model", model)) == "Corrupted thought signature."
    assert "Corrupted" in refused(("model", [inline(thoughtSignature="AAAA")]))


def test_a_picture_given_as_a_file_is_known_by_its_address() -> None:
    uri = f"{ROOT}/gemini/v1beta/files/img{ID}n0"
    found = read(("model", [file(uri, "image/png", thoughtSignature=signature())]))
    assert found.messages[0].images == (ImageRef(image_id=f"img_{ID}_0"),)
    other = file(uri.replace("n0", "n1"), thoughtSignature=signature())
    assert refused(("model", [other])) == "Corrupted thought signature."


def test_thoughts_and_the_users_signatures_count_for_nothing() -> None:
    thought = inline(b"a sketch", thought=True, thoughtSignature="AAAA")
    found = read(("model", [thought, text("Here")]), ("user", [inline(thoughtSignature="AAAA")]))
    shown = Said("user", "", (ImageRef(data=PICTURE),))
    assert found == Conversation((Said("model", "Here"), shown))


@pytest.mark.parametrize(
    ("uri", "ref"),
    [
        ("files/abc-1", ImageRef(file_id="abc-1")),
        (f"{ROOT}/gemini/v1/files/abc", ImageRef(file_id="abc")),
        (f"files/img{ID}n3", ImageRef(image_id=f"img_{ID}_3")),
        ("https://else.test/v1/files/abc", ImageRef(url="https://else.test/v1/files/abc")),
        ("https://else.test/cat.png", ImageRef(url="https://else.test/cat.png")),
    ],
)
def test_files_are_named_by_their_address(uri: str, ref: ImageRef) -> None:
    assert read(("", [file(uri)])).messages == (Said("user", "", (ref,)),)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (inline(kind="video/mp4"), "Unsupported MIME type: video/mp4"),
        (file("files/abc", "application/pdf"), "Unsupported MIME type: application/pdf"),
        (file("gs://bucket/cat.png"), "Cannot fetch content"),
        ({"functionCall": {"name": "f"}}, "function_call"),
    ],
)
def test_what_is_no_picture_is_refused(part: dict[str, Any], words: str) -> None:
    assert words in refused(("user", [part]))

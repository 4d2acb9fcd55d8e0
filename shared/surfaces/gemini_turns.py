"""Thought signatures as we give them: not megabytes of a model's thoughts, which are stored with
the turn, but a signed reference to that turn; and a conversation that brings them back.

What they are at Google: ai.google.dev/gemini-api/docs/thought-signatures, 2026-10.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shared import names
from shared.domain import Image, ImageRef
from shared.errors import Forbidden
from shared.links import Links
from shared.surfaces.conversation import Said
from shared.surfaces.gemini_checks import BAD_SIGNATURE, check_type
from shared.surfaces.gemini_files import image_of
from shared.surfaces.gemini_messages import Blob, Content, FileData, Part
from shared.surfaces.google_json import Refusal, cut

_PURPOSE = "turn"
_FILE = re.compile(r"files/([a-z0-9-]+)")


@dataclass(frozen=True)
class Reference:
    """What a signature says: the picture of that number which a request made."""

    request_id: str
    number: int
    sha256: str


@dataclass(frozen=True)
class Signer:
    """Signs the turns of one account; another's signatures are none to it."""

    links: Links
    account_id: str

    def sign(self, request_id: str, number: int, image: Image) -> str:
        """The signature of a request's picture, or of the words beside it, in standard base64."""
        text = f"{request_id} {number} {image.sha256}"
        token = self.links.seal(self._purpose, text)
        return base64.b64encode(base64.urlsafe_b64decode(_padded(token))).decode("ascii")

    def read(self, signature: bytes) -> Reference:
        """What a signature refers to. Raises Refusal for one that was not made here."""
        token = base64.urlsafe_b64encode(signature).decode("ascii").rstrip("=")
        try:
            request_id, number, sha256 = self.links.unseal(self._purpose, token).split(" ")
        except Forbidden as error:
            raise Refusal(400, BAD_SIGNATURE) from error
        return Reference(request_id, int(number), sha256)

    @property
    def _purpose(self) -> str:
        return f"{_PURPOSE} {self.account_id}"


@dataclass(frozen=True)
class Conversation:
    """Everything that was said. `last` is the signature beside the last picture: that picture can
    be gone on from only if it is the first of its request, whose turn is what was stored."""

    messages: tuple[Said, ...]
    last: Reference | None = None


def conversation(contents: Sequence[Content], signer: Signer) -> Conversation:
    """The contents of a request as messages. Raises Refusal."""
    messages: list[Said] = []
    last: Reference | None = None
    for content in contents:
        said, reference = _said(content, signer)
        earlier = messages[-1] if messages else None
        if earlier and reference and earlier.request_id == reference.request_id:
            # A stream's chunks, each kept as a content of its own.
            messages[-1] = _together(earlier, said)
        else:
            messages.append(said)
        if said.role == "model" and (said.images or said.request_id):
            same = last and reference and last.request_id == reference.request_id
            last = last if same else reference
    return Conversation(tuple(map(_with_picture, messages)), last)


def _with_picture(said: Said) -> Said:
    """A turn of ours with its picture, if only its words came back."""
    if said.request_id is None or said.images:
        return said
    return replace(said, images=(ImageRef(image_id=names.image_id(said.request_id, 0)),))


def _together(earlier: Said, later: Said) -> Said:
    text = "\n".join(filter(None, (earlier.text, later.text)))
    return replace(earlier, text=text, images=(*earlier.images, *later.images))


def _said(content: Content, signer: Signer) -> tuple[Said, Reference | None]:
    """One content, and the first reference in it where a model said it."""
    parts = [part for part in content.parts if not part.thought]
    images = tuple(_images(parts, signer.links.public_url))
    if content.role != "model":
        return Said("user", content.text(), images), None
    references = [_reference(part, signer) for part in parts if part.thought_signature]
    first = references[0] if references else None
    return Said("model", content.text(), images, first.request_id if first else None), first


def _reference(part: Part, signer: Signer) -> Reference:
    """A part's signature, checked against the picture beside it. Raises Refusal."""
    reference = signer.read(part.thought_signature)
    blob, file = part.inline_data, part.file_data
    if blob and hashlib.sha256(blob.data).hexdigest() != reference.sha256:
        raise Refusal(400, BAD_SIGNATURE)
    if file:
        found = file_id(file.file_uri, signer.links.public_url) or ""
        if image_of(found) != names.image_id(reference.request_id, reference.number):
            raise Refusal(400, BAD_SIGNATURE)
    return reference


def _images(parts: Sequence[Part], public_url: str) -> Iterator[ImageRef]:
    for part in parts:
        if part.inline_data is not None:
            yield _inline(part.inline_data)
        elif part.file_data is not None:
            yield _by_address(part.file_data, public_url)
        elif part.text is None:
            kind = part.data_fields()[0]
            raise Refusal(400, f"Parts with {kind} are not supported by this model.")


def _inline(blob: Blob) -> ImageRef:
    check_type(blob.mime_type)
    return ImageRef(data=blob.data)


def _by_address(file: FileData, public_url: str) -> ImageRef:
    if file.mime_type:
        check_type(file.mime_type)
    found = file_id(file.file_uri, public_url)
    if found is not None:
        made = image_of(found)
        return ImageRef(image_id=made) if made else ImageRef(file_id=found)
    if not file.file_uri.startswith(("https://", "http://")):
        raise Refusal(400, f"Cannot fetch content from the provided URL: {cut(file.file_uri)}")
    return ImageRef(url=file.file_uri)


def file_id(uri: str, public_url: str) -> str | None:
    """The id in the address of a file kept here, or in its bare name; None for any other
    address."""
    here = re.sub(r"^/gemini/v1(beta)?/", "", uri.removeprefix(public_url))
    found = _FILE.fullmatch(here)
    return found[1] if found else None


def _padded(token: str) -> str:
    return token + "=" * (-len(token) % 4)

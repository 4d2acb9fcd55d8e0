"""What callers send, as pydantic models, and its translation into an ImageRequest. Unknown fields
and loose types are refused; what a model can do is checked later, against the catalogue."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from shared import rendering
from shared.catalogue.templates import Template
from shared.choice import DOLLARS, Choose, Wish, limit_micros
from shared.domain import ImageRef, ImageRequest, Operation, Preference
from shared.errors import InvalidRequest, PayloadTooLarge

MAX_TEXT_BYTES = 800_000
"""Of prompt, options and metadata as JSON: what is kept of a request is one document of 1 MiB."""
MAX_IMAGES = 32
MAX_NAME = 200
"""Characters of what names or chooses something: it is echoed where there is no such thing."""
MAX_ENTRIES = 100
MAX_PICTURES = 1000
"""Of one request; far beyond what any model makes."""
MAX_MESSAGE = 500
"""Characters of an error's text, which may have the caller's in it; its `param` has MAX_NAME."""
_MOST_ERRORS = 1000


B = TypeVar("B", bound="Body")
G = TypeVar("G", bound="GenerateBody")


class Body(BaseModel):
    """Strict JSON: no unknown fields, no numbers in strings."""

    # Each is built when it is first used: a function uses few of them.
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


class ImageBody(Body):
    """An image to work from: exactly one of the four."""

    url: str | None = Field(None, description="https:// or data: URL")
    b64_json: str | None = Field(None, description="The bytes in base64; a data: URL is taken too")
    image_id: str | None = Field(None, max_length=100, description="An image made before: img_…")
    upload_id: str | None = Field(None, max_length=100, description="A file uploaded: upl_…")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in self.__dict__.values()) != 1:
            raise ValueError("give exactly one of url, b64_json, image_id, upload_id")
        return self


def _few(most: int) -> BeforeValidator:
    """Refuse an object of more entries before each of them becomes an error of its own."""

    def check(value: object) -> object:
        if isinstance(value, dict) and len(value) > most:
            raise ValueError(f"There are at most {most} entries")
        return value

    return BeforeValidator(check)


Name = Annotated[str, Field(max_length=MAX_NAME)]
Options = Annotated[dict[Name, Any], Field(max_length=MAX_ENTRIES), _few(MAX_ENTRIES)]


class TemplateBody(Body):
    """A prompt template, one of `GET /models/templates`, and its variables."""

    name: Name
    variables: Annotated[dict[str, str], Field(max_length=MAX_ENTRIES), _few(MAX_ENTRIES)] = Field(
        default_factory=dict
    )


class RouteBody(Body):
    """Which providers may serve the request, and in what order they are tried."""

    prefer: Preference = "order"
    providers: list[Name] = Field(default_factory=list, max_length=32)
    fallback: bool = True


Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=16),
    _few(16),
]


class GenerateBody(Body):
    """`POST /generate`."""

    model: Name = Field(
        "auto", description="A catalogue id, an alias, or auto; left out, a template's own"
    )
    prompt: str | None = Field(None, min_length=1)
    template: TemplateBody | None = None
    n: int = Field(1, ge=1, le=MAX_PICTURES, description="How many pictures")
    aspect_ratio: str | None = Field(
        None, max_length=MAX_NAME, description="Such as 16:9; see the model's list"
    )
    resolution: str | None = Field(
        None, max_length=MAX_NAME, description="512, 1K, 2K or 4K; see the model's list"
    )
    seed: int | None = Field(None, ge=0, lt=2**31)
    quality: str | None = Field(None, max_length=MAX_NAME)
    background: str | None = Field(None, max_length=MAX_NAME)
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_quality: int | None = Field(None, ge=1, le=100)
    route: RouteBody = Field(default_factory=RouteBody)
    delivery: Literal["url", "b64_json"] = "url"
    cache: bool = Field(
        False,
        description="An identical earlier request's pictures for nothing; they go when it does",
    )
    timeout_s: float = Field(300.0, ge=1, le=900, description="How long you want to wait")
    webhook_url: str | None = Field(None, max_length=2000, description="Told when it has ended")
    metadata: Metadata = Field(default_factory=dict)
    options: Options = Field(default_factory=dict)


class EditBody(GenerateBody):
    """`POST /edit`: a picture to start from, or an earlier request to go on with."""

    images: list[ImageBody] = Field(default_factory=list, max_length=MAX_IMAGES)
    mask: ImageBody | None = Field(None, description="PNG; transparent where it may change")
    previous_request_id: str | None = Field(None, min_length=1, max_length=100)


Limit = Annotated[
    int,
    BeforeValidator(limit_micros),
    WithJsonSchema({"type": "string", "pattern": DOLLARS}),
]


class ThreeDBody(Body):
    """`POST /three_d`: a prompt or images to make a 3D model of; some models take both."""

    model: Name = Field(description="A catalogue id or an alias of a model that makes 3D models")
    prompt: str | None = Field(None, min_length=1)
    images: list[ImageBody] = Field(default_factory=list, max_length=MAX_IMAGES)
    webhook_url: str | None = Field(None, max_length=2000, description="Told when it has ended")
    metadata: Metadata = Field(default_factory=dict)
    options: Options = Field(default_factory=dict)


class EstimateBody(EditBody):
    """`POST /models/estimate`: a generate, edit or 3D body, and how many of them. `source_count`
    and `masked` stand for images and a mask without sending them."""

    operation: Operation | None = Field(None, description="Guessed from the images if not given")
    count: int = Field(1, ge=1, le=100_000_000)
    source_count: int = Field(0, ge=0, le=MAX_IMAGES)
    masked: bool = False
    max_unit_usd: Limit | None = Field(None, description="The most a picture may cost")
    can_wait: bool = Field(False, description="24 hours: a batch's price counts where it is lower")
    choose: Choose = Field("cheapest", description="What the answer's `choice` is")


@dataclass(frozen=True)
class Files:
    """What a multipart body carried beside its fields."""

    images: tuple[bytes, ...] = ()
    mask: bytes | None = None


@dataclass(frozen=True)
class Parsed:
    """A body understood: the request, and the hash that recognises the same body again."""

    request: ImageRequest
    fingerprint: str
    count: int = field(default=1)
    wish: Wish = field(default=Wish())


def generate(fields: Mapping[str, Any], templates: Mapping[str, Template]) -> Parsed:
    """Read a `/generate` body. Raises InvalidRequest naming the field, NotFound for a template."""
    body = _complete(GenerateBody, fields)
    request = _asked("generate", body, Files(), templates)
    return Parsed(request, _fingerprint("generate", body, Files()))


def edit(fields: Mapping[str, Any], files: Files, templates: Mapping[str, Template]) -> Parsed:
    """Read an `/edit` body. Raises InvalidRequest naming the field, NotFound for a template."""
    body = _complete(EditBody, fields)
    if not (body.images or files.images or body.previous_request_id):
        raise InvalidRequest("Send at least one image to edit.", param="images")
    if (body.mask or files.mask) and not (body.images or files.images):
        raise InvalidRequest("A mask goes with an image in the same request.", param="mask")
    return Parsed(_asked("edit", body, files, templates), _fingerprint("edit", body, files))


def three_d(fields: Mapping[str, Any]) -> Parsed:
    """Read a `/three_d` body. Raises InvalidRequest naming the field."""
    body = validated(ThreeDBody, fields)
    if body.prompt is None and not body.images:
        raise InvalidRequest("Give a prompt or an image.", param="prompt")
    asked = EditBody(
        model=body.model,
        prompt=body.prompt,
        images=body.images,
        webhook_url=body.webhook_url,
        metadata=body.metadata,
        options=body.options,
    )
    fingerprint = _fingerprint("three_d", body, Files())
    return Parsed(_kept(_request("three_d", asked, Files())), fingerprint)


def estimate(fields: Mapping[str, Any], templates: Mapping[str, Template]) -> Parsed:
    """Read a `/models/estimate` body: neither prompt nor variables nor images have to be there."""
    body = validated(EstimateBody, fields)
    if body.prompt is not None and body.template is not None:
        raise InvalidRequest("Give prompt or template, not both.", param="prompt")
    wish = Wish(body.choose, body.max_unit_usd, body.can_wait)
    sources = body.source_count or int(body.masked and not body.images)
    edits = body.images or body.mask or sources or body.previous_request_id
    if edits and body.operation == "generate":
        raise InvalidRequest("What works on images is an edit.", param="operation")
    stand_ins = Files(images=(b"",) * sources, mask=b"" if body.masked else None)
    if body.template is None:
        operation = body.operation or ("edit" if edits else "generate")
        return Parsed(_encodable(_request(operation, body, stand_ins)), "", body.count, wish)
    template = rendering.find(body.template.name, templates)
    if body.operation not in (None, *template.operations):
        does = " or ".join(template.operations)
        raise InvalidRequest(f"The template {template.name} is to {does}.", param="operation")
    there = len(body.images) + sources + (body.previous_request_id is not None)
    missing = max(0, template.min_sources - there)
    stand_ins = replace(stand_ins, images=(b"",) * (sources + missing))
    operation = body.operation or ("edit" if edits or missing else "generate")
    said = {**rendering.examples(template), **body.template.variables}
    request = _request(operation, body, stand_ins)
    request = rendering.filled(request, template, said, body.model_fields_set)
    return Parsed(_encodable(request), "", body.count, wish)


def validated(kind: type[B], fields: Mapping[str, Any]) -> B:
    """A body of that kind. Raises InvalidRequest naming the first wrong field."""
    for name in fields:
        # One by one, or a body of a million unknown fields becomes a million errors.
        if name not in kind.model_fields:
            raise InvalidRequest(f"{name[:100]}: There is no such field.", param=name[:100])
    try:
        # A null says the same as leaving the field out.
        return kind.model_validate({k: v for k, v in fields.items() if v is not None})
    except ValidationError as error:
        raise _refusal(error) from error


def _complete(kind: type[G], fields: Mapping[str, Any]) -> G:
    """A request's body with what the fields' types cannot say checked too."""
    body = validated(kind, fields)
    if (body.prompt is None) == (body.template is None):
        raise InvalidRequest("Give exactly one of prompt and template.", param="prompt")
    return body


def _asked(
    operation: Operation, body: GenerateBody, files: Files, templates: Mapping[str, Template]
) -> ImageRequest:
    """The request of a body that has a prompt or names what makes one."""
    request = _request(operation, body, files)
    if body.template is not None:
        template = rendering.find(body.template.name, templates)
        said, own = body.template.variables, body.model_fields_set
        request = rendering.filled(request, template, said, own)
    return _kept(_encodable(request))


def _kept(request: ImageRequest) -> ImageRequest:
    """The request, if its texts can be kept."""
    if request.prompt and not request.prompt.strip():
        raise InvalidRequest("The prompt is empty.", param="prompt")
    texts = [request.prompt, request.template, request.options, request.metadata]
    if len(json.dumps(texts, ensure_ascii=False).encode()) > MAX_TEXT_BYTES:
        raise PayloadTooLarge(
            f"Prompt, options and metadata have at most {MAX_TEXT_BYTES} bytes together.",
            param="prompt",
        )
    return request


def _encodable(request: ImageRequest) -> ImageRequest:
    """Refuse what cannot be honoured rather than pass over it."""
    if request.output_quality is not None and request.output_format not in ("jpeg", "webp"):
        raise InvalidRequest(
            "output_quality goes with the output_format jpeg or webp.", param="output_quality"
        )
    return request


def _refusal(error: ValidationError) -> InvalidRequest:
    if error.error_count() > _MOST_ERRORS:
        # There is no way to the first that does not list them all.
        return InvalidRequest(f"More than {_MOST_ERRORS} fields are wrong.")
    first = error.errors(include_url=False, include_input=False)[0]
    param = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}"
        for part in first["loc"]
        if part != "[key]"
    ).lstrip(".")
    reason = {
        "extra_forbidden": "There is no such field",
        "missing": "This field is missing",
        "model_type": "This has to be an object",
        "dict_type": "This has to be an object",
        "too_short": "There are too few of these",
    }.get(first["type"], first["msg"].removeprefix("Value error, "))
    return _wrong(f"{param[:MAX_NAME]}: {reason}." if param else f"{reason}.", param)


def _wrong(message: str, param: str) -> InvalidRequest:
    """An error with the caller's text in it, cut."""
    return InvalidRequest(message[:MAX_MESSAGE], param=param[:MAX_NAME] or None)


def _request(operation: Operation, body: GenerateBody, files: Files) -> ImageRequest:
    edit_body = body if isinstance(body, EditBody) else EditBody(prompt=body.prompt)
    refs = [_ref(image, f"images[{n}]") for n, image in enumerate(edit_body.images)]
    refs += [ImageRef(data=data) for data in files.images]
    mask = ImageRef(data=files.mask) if files.mask is not None else None
    if edit_body.mask is not None:
        mask = _ref(edit_body.mask, "mask")
    return ImageRequest(
        operation=operation,
        model=body.model,
        prompt=body.prompt or "",
        n=body.n,
        aspect_ratio=body.aspect_ratio,
        resolution=body.resolution,
        seed=body.seed,
        quality=body.quality,
        background=body.background,
        output_format=body.output_format,
        output_quality=body.output_quality,
        prefer=body.route.prefer,
        providers=tuple(body.route.providers),
        fallback=body.route.fallback,
        delivery=body.delivery,
        timeout_s=body.timeout_s,
        webhook_url=body.webhook_url,
        metadata=body.metadata,
        options=body.options,
        cache=body.cache,
        refs=tuple(refs),
        mask_ref=mask,
        previous_request_id=edit_body.previous_request_id,
    )


def _ref(image: ImageBody, param: str) -> ImageRef:
    if image.b64_json is None:
        return ImageRef(url=image.url, image_id=image.image_id, upload_id=image.upload_id)
    inline = "".join(image.b64_json.rpartition(";base64,")[2].split())
    try:
        return ImageRef(data=base64.b64decode(inline, validate=True))
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("This is not valid base64.", param=f"{param}.b64_json") from error


def fingerprint(operation: str, fields: Mapping[str, Any], files: Files) -> str:
    """SHA-256 of everything the caller sent, each part with its length before it."""
    digest = hashlib.sha256()
    said = json.dumps(fields, sort_keys=True).encode()
    for part in (operation.encode(), said, files.mask or b"", *files.images):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def _fingerprint(operation: Operation, body: Body, files: Files) -> str:
    said = body.model_dump(mode="json")
    if said.get("template") and "model" not in body.model_fields_set:
        # Left out it is the template's, which "auto" is not.
        said["model"] = None
    return fingerprint(operation, said, files)

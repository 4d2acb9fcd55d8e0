"""What a model can and cannot do of a request, pure. The catalogue is the only source; nothing is
ever clamped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from shared import sizes
from shared.catalogue import Catalogue
from shared.catalogue.rows import Model, Option
from shared.domain import ImageRequest, Json, Size
from shared.errors import InvalidRequest

_VERBS = {"three_d": "make 3D models"}
_FIELDS = {"prompt": "a prompt", "images": "images"}
"""What an option may be tied to beside other options, in words."""
_LINK = re.compile(r"https://[^\s/?#@\\]{1,255}(?:[/?#][!-~]{0,1700})?", re.ASCII)


@dataclass(frozen=True)
class Misfit:
    """One thing of a request that a model cannot do: the field, and what the model allows."""

    param: str
    reason: str


def check(request: ImageRequest, model: Model, catalogue: Catalogue, today: date) -> None:
    """Raise InvalidRequest for the first misfit, naming the live models that have none."""
    misfit = min(misfits(request, model), key=lambda found: found.param != "model", default=None)
    if misfit is None:
        return
    others = [
        other.id
        for other in catalogue.models.values()
        if other.live(today) and next(misfits(request, other), None) is None
    ]
    raise InvalidRequest(
        f"{model.id} {misfit.reason}."
        + (f" Models that can: {', '.join(others)}." if others else ""),
        param=misfit.param,
        details={"model": model.id, "models": others},
    )


def misfits(request: ImageRequest, model: Model) -> Iterator[Misfit]:
    """Everything of the request that the model cannot do. That it makes 3D models and no pictures,
    or the reverse, comes last: it says nothing about what all the others lack."""
    cannot = Misfit("model", f"cannot {_VERBS.get(request.operation, request.operation)}")
    alike = model.three_d == (request.operation == "three_d")
    if alike and request.operation not in model.operations:
        yield cannot
    if request.n > model.max_images:
        yield Misfit("n", f"makes at most {model.max_images} images a request")
    if len(request.prompt) > model.prompt_limit > 0:
        yield Misfit("prompt", f"takes prompts of at most {model.prompt_limit} characters")
    yield from _choice(request.aspect_ratio, model.aspect_ratios, "aspect_ratio", "aspect ratios")
    yield from _choice(request.resolution, model.resolutions, "resolution", "resolutions")
    yield from _choice(request.quality, model.qualities, "quality", "qualities")
    yield from _choice(request.background, model.backgrounds, "background", "backgrounds")
    yield from _choice(request.output_format, model.output_formats, "output_format", "formats")
    if request.background == "transparent" and request.output_format == "jpeg":
        yield Misfit(
            "output_format", "cannot make a transparent background in jpeg: use png or webp"
        )
    if request.seed is not None and not model.seed:
        yield Misfit("seed", "takes no seed")
    if "size" in request.options and (request.aspect_ratio or request.resolution):
        yield Misfit("options.size", "takes a size or an aspect ratio and resolution, not both")
    yield from _image_misfits(request, model)
    for name, value in request.options.items():
        yield from _option_misfits(name, value, model.options)
    yield from _combination_misfits(request, model)
    if request.operation == "three_d":
        yield from _three_d_misfits(request, model)
    if not alike:
        yield cannot


def _choice(
    value: str | None, allowed: tuple[str, ...], param: str, plural: str
) -> Iterator[Misfit]:
    if value is not None and value not in allowed:
        has = f"only {', '.join(allowed)}" if allowed else "none to choose from"
        yield Misfit(param, f"has no {param} {value!r}: of {plural} it has {has}")


def _image_misfits(request: ImageRequest, model: Model) -> Iterator[Misfit]:
    if request.mask_ref is not None and not model.mask:
        yield Misfit("mask", "takes no mask")
    if request.previous_request_id is not None and not model.multi_turn:
        yield Misfit("previous_request_id", "cannot continue an earlier request")
    images = len(request.refs) + (request.mask_ref is not None)
    if images > model.max_sources:
        yield Misfit("images", f"takes at most {model.max_sources} images, a mask included")


def _three_d_misfits(request: ImageRequest, model: Model) -> Iterator[Misfit]:
    """What a 3D model cannot be made of."""
    both = any(_has(request, model, name, values) for name, values in model.together.items())
    if request.prompt and not model.prompt_limit:
        yield Misfit("prompt", "takes no prompt: send an image")
    elif request.prompt and request.refs and not both:
        but = [f"unless {name} is {' or '.join(v)}" for name, v in model.together.items()]
        yield Misfit("prompt", " ".join(["takes a prompt or images, not both", *but]))
    if len(request.refs) > 1 and request.options.get(model.several) is not True:
        but = [f", or several with options.{model.several}"] if model.several else []
        yield Misfit("images", "".join(["takes one image", *but]))


def _combination_misfits(request: ImageRequest, model: Model) -> Iterator[Misfit]:
    """Options that lack another one, or what they go with. One that is false is as good as left
    out."""
    for name, option in model.options.items():
        if option.required and name not in request.options:
            yield Misfit(f"options.{name}", f"needs the option {name}")
        if request.options.get(name, False) is False:
            continue
        for other, values in option.only_with.items():
            if not _has(request, model, other, values):
                wanted = _FIELDS.get(other, f"{other} {' or '.join(values)}")
                yield Misfit(f"options.{name}", f"takes {name} only with {wanted}")


def _has(request: ImageRequest, model: Model, name: str, values: tuple[str, ...]) -> bool:
    """Whether the request has a prompt, images, or one of these values of an option."""
    if name in _FIELDS:
        return bool(request.prompt if name == "prompt" else request.refs)
    default = model.options[name].default if name in model.options else ""
    value = str(request.options.get(name, default))
    return (value.lower() if value in ("True", "False") else value) in values


def allows(option: Option, value: Json) -> bool:
    """Whether an option takes a value."""
    return _wrong(value, option) is None


def _option_misfits(name: str, value: Json, options: Mapping[str, Option]) -> Iterator[Misfit]:
    option = options.get(name)
    if option is None:
        known = ", ".join(options) or "none"
        yield Misfit(f"options.{name}", f"has no option {name!r}: it has {known}")
    elif reason := _wrong(value, option):
        yield Misfit(f"options.{name}", f"takes {reason} as {name}")


def _wrong(value: Json, option: Option) -> str | None:
    """What the option takes instead, if not this value."""
    if option.kind in ("number", "integer"):
        return _wrong_number(value, option)
    if option.kind == "list":
        return _wrong_list(value, option)
    if option.kind == "size":
        return _wrong_size(value, option)
    if option.kind == "url":
        linked = isinstance(value, str) and _LINK.fullmatch(value)
        return None if linked else "an https:// address, percent-encoded and without a password,"
    kinds: Mapping[str, type] = {"string": str, "boolean": bool, "object": dict}
    if not isinstance(value, kinds[option.kind]):
        return f"a {option.kind}"
    if option.values and value not in option.values:
        return _one_of(option)
    return None


def _one_of(option: Option) -> str:
    return f"one of {', '.join(option.values)}"


def _wrong_number(value: Json, option: Option) -> str | None:
    number = isinstance(value, int if option.kind == "integer" else (int, float))
    low = -float("inf") if option.min is None else option.min
    high = float("inf") if option.max is None else option.max
    if number and not isinstance(value, bool) and low <= value <= high:  # type: ignore[operator] # a number by now
        return None if not option.values or str(value) in option.values else _one_of(option)
    noun = "a whole number" if option.kind == "integer" else "a number"
    return f"{noun} from {low:g} to {high:g}"


def _wrong_size(value: Json, option: Option) -> str | None:
    if value in option.values:
        return None
    size = sizes.pixels(value) if isinstance(value, str) else None
    if size and _fits(size, option):
        return None
    most = f" to {option.max:.0f}" if option.max else ""
    words = [f"WIDTHxHEIGHT of {option.min or 1:.0f}{most} pixels in all"]
    words += [f"sides that divide by {option.step}"] if option.step > 1 else []
    words += [f"no side over {option.longest}"] if option.longest else []
    words += [f"no side over {option.widest:g} times the other"] if option.widest else []
    return ", ".join([*option.values, *words])


def _fits(size: Size, option: Option) -> bool:
    short, long = min(size), max(size)
    return (
        (option.min or 1) <= short * long <= (option.max or float("inf"))
        and long <= (option.longest or long)
        and long <= short * (option.widest or long)
        and not any(side % option.step for side in size)
    )


def _wrong_list(value: Json, option: Option) -> str | None:
    if not isinstance(value, list):
        return "a list"
    if option.max is not None and len(value) > option.max:
        return f"at most {option.max:g} values"
    for item in value:
        if not option.fields:
            if not isinstance(item, str) or (option.values and item not in option.values):
                return "a list of strings" + (f" from {option.values}" if option.values else "")
        elif not isinstance(item, dict) or set(item) != set(option.fields):
            return f"a list of objects with {' and '.join(option.fields)}"
        else:
            for field, allowed in option.fields.items():
                if item[field] not in allowed:
                    return f"one of {', '.join(allowed)} for {field}"
    return None

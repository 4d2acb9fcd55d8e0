"""predict, by any model."""

from __future__ import annotations

from typing import Any

import pytest

from shared.catalogue import load
from shared.domain import Problem
from shared.errors import ContentBlocked
from shared.surfaces.gemini_predict import SUPPORT, Wanted, body, filtered, wanted
from shared.surfaces.google_json import Refusal
from tests.surfaces.records import record, shown

CATALOGUE = load()
PRO = "gemini-3-pro-image"


def understood(name: str = PRO, **parameters: Any) -> Wanted:
    model = None if name == "auto" else CATALOGUE.find(name)
    fields = {"instances": [{"prompt": "A cat"}], "parameters": parameters}
    return wanted(fields, model, name, "b64_json", "v1beta")


def test_defaults_are_imagens() -> None:
    request = understood().request
    assert (request.n, request.aspect_ratio, request.resolution) == (4, "1:1", None)
    assert (request.output_format, request.output_quality) == ("png", None)
    assert (request.operation, request.prompt, request.options) == ("generate", "A cat", {})


def test_parameters_become_ours() -> None:
    found = understood(
        sampleCount=2,
        aspectRatio="16:9",
        sampleImageSize="2k",
        outputOptions={"mimeType": "image/jpeg", "compressionQuality": 80},
        includeRaiReason=True,
    )
    request = found.request
    assert (request.n, request.aspect_ratio, request.resolution) == (2, "16:9", "2K")
    assert (request.output_format, request.output_quality) == ("jpeg", 80)
    assert found.reasons
    assert found.ignored == ()


def test_what_only_imagen_has_is_taken_or_named() -> None:
    given: dict[str, Any] = {
        "personGeneration": "ALLOW_ADULT",
        "guidanceScale": 7.5,
        "language": "en",
    }
    assert understood("imagen-4.0-generate-001", **given).request.options == {
        "person_generation": "allow_adult",
        "guidance_scale": 7.5,
        "language": "en",
    }
    named = understood(**given, includeSafetyAttributes=True).ignored
    assert set(named) == {f"parameters.{n}" for n in (*given, "includeSafetyAttributes")}
    quality = {"compressionQuality": 80}
    assert understood(outputOptions=quality).ignored == (
        "parameters.outputOptions.compressionQuality",
    )


@pytest.mark.parametrize(
    "name",
    [
        name.removeprefix("parameters.")
        for fields in SUPPORT.values()
        for name, (treatment, _) in fields.items()
        if treatment == "refused"
    ],
)
def test_what_vertex_alone_takes_is_refused(name: str) -> None:
    with pytest.raises(Refusal, match=f"Unknown name \"{name}\" at 'parameters'"):
        understood(**{name: "x"})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"instances": []},
        {"instances": [{"prompt": "a"}, {"prompt": "b"}]},
        {"instances": [{"prompt": ""}]},
        {"instances": [{"prompt": "a"}], "parameters": {"sampleCount": 0}},
        {"instances": [{"prompt": "a"}], "parameters": {"outputOptions": {"mimeType": "x"}}},
        {
            "instances": [{"prompt": "a"}],
            "parameters": {"outputOptions": {"mimeType": "image/jpeg", "compressionQuality": 0}},
        },
    ],
)
def test_what_cannot_be_is_refused(fields: object) -> None:
    with pytest.raises(Refusal) as caught:
        wanted(fields, None, "auto", "b64_json", "v1beta")
    assert caught.value.code == 400


def test_predictions_are_pictures_and_reasons() -> None:
    files = "https://host.test/files"
    first, second = {"mimeType": "image/png"}, {"mimeType": "image/png"}
    assert body([shown(0), shown(1, None)], "one was", files, reasons=True) == {
        "predictions": [
            {**first, "bytesBase64Encoded": "AAAA"},
            {**second, "fileUri": f"{files}/imgabcn1"},
            {"raiFilteredReason": "one was"},
        ]
    }
    assert body([], "all were", files, reasons=False) == {}


def test_only_what_a_filter_kept_back_has_a_reason() -> None:
    assert filtered(record(), ContentBlocked("no")) == "no"
    assert filtered(record(error=Problem("partially_blocked", "some")), None) == "some"
    assert filtered(record(error=Problem("provider_error", "broken")), None) is None
    assert filtered(record(), None) is None

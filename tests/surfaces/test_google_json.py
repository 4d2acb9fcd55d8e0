"""A body that is wrong is refused in few words, whatever stands in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.surfaces.gemini_errors import Place, unknown_model
from shared.surfaces.gemini_files import StartMessage, no_permission
from shared.surfaces.gemini_messages import GenerateContentRequest
from shared.surfaces.google_json import ECHO, MOST_VIOLATIONS, Message, Refusal, read

SHORT = 12_000


def refused(kind: type[Message], content: bytes) -> Any:
    """The error that a body meets, as JSON that can be sent."""
    with pytest.raises(Refusal) as caught:
        read(kind, content, "v1beta")
    assert caught.value.code == 400
    sent = json.dumps(caught.value.body(), ensure_ascii=False).encode()
    assert len(sent) < SHORT
    return json.loads(sent)["error"]


@pytest.mark.parametrize(
    "content",
    [
        rb'{"\ud800": 1}',
        rb'{"file": {"\ud800": 1}}',
        rb'{"file": {"name": "\udfff"}}',
        rb'{"file": {"sizeBytes": ["\ud800"]}}',
        b'{"file": {"name": "\xff"}}',
        b'{"file": {"sizeBytes": NaN}}',
        b"{",
        b"[" * 100_000,
    ],
)
def test_what_is_no_json_is_refused(content: bytes) -> None:
    assert refused(StartMessage, content)["message"].startswith("Invalid JSON payload received.")


def test_a_long_name_is_repeated_in_part() -> None:
    message = refused(StartMessage, json.dumps({"x" * 2**20: 1}).encode())["message"]
    assert f'Unknown name "{"x" * ECHO}…": Cannot find field.' in message
    assert len(message) < 2 * ECHO


@pytest.mark.parametrize(
    "value", ["ü" * 2**20, ["x" * 2**20], {"x" * 2**20: 1}, list(range(10**5)), [[{"a": "b"}] * 99]]
)
def test_a_long_value_is_repeated_in_part(value: object) -> None:
    (fault,) = refused(StartMessage, json.dumps({"file": value}).encode())["details"][0][
        "fieldViolations"
    ][:1]
    assert len(fault["description"]) < 3 * ECHO


def test_a_value_is_repeated_as_json() -> None:
    message = refused(StartMessage, b'{"file": {"name": {"a": [1, "\xc3\xbc"]}}}')["message"]
    assert message == 'Invalid value at \'file.name\' (TYPE_STRING), {"a": [1, "ü"]}'


@pytest.mark.thorough
@pytest.mark.parametrize(
    "body",
    [
        {f"f{n}": n for n in range(100_000)},
        {"contents": [{f"f{n}": n for n in range(100_000)}]},
        {"contents": list(range(20_000))},
    ],
)
def test_the_first_faults_are_named(body: dict[str, object]) -> None:
    error = refused(GenerateContentRequest, json.dumps(body).encode())
    assert len(error["details"][0]["fieldViolations"]) == MOST_VIOLATIONS
    paths = [fault.get("field", "") for fault in error["details"][0]["fieldViolations"]]
    assert len(set(paths)) in (1, MOST_VIOLATIONS)
    assert error["message"].count("\n") == MOST_VIOLATIONS - 1


def test_a_known_field_after_many_unknown_ones_is_still_read() -> None:
    class Known(Message):
        first_one: int = 0

    unknown = {f"f{n}": n for n in range(MOST_VIOLATIONS - 1)}
    faults = refused(Known, json.dumps({**unknown, "firstOne": "x"}).encode())["message"]
    assert "first_one" in faults


def test_names_in_the_address_are_repeated_in_part() -> None:
    for refusal in (
        unknown_model(Place("v1", "m" * 10_000, "v" * 10_000)),
        no_permission("f" * 999),
    ):
        assert len(refusal.message) < 4 * ECHO

"""How many values a JSON text may have before anybody reads it."""

from __future__ import annotations

import pytest

from shared import json_size
from shared.errors import PayloadTooLarge


@pytest.mark.parametrize("text", [b"[" * 11, b"{" * 11, b"[" + b"1," * 10, b"[[{" * 4])
def test_more_values_than_there_may_be_are_refused(text: bytes) -> None:
    with pytest.raises(PayloadTooLarge) as refused:
        json_size.check_values(text, 10, param="body")
    assert refused.value.param == "body"
    json_size.check_values(text, 12)


def test_a_long_text_is_one_value() -> None:
    json_size.check_values(b'{"b64_json": "' + b"aB+/" * 100_000 + b'"}', 1)
    json_size.check_values(b"[" + b"1," * 99_999)
    with pytest.raises(PayloadTooLarge):
        json_size.check_values(b"[" + b"1," * 100_000)

"""Which trace a request belongs to, and what is said of it to others."""

from __future__ import annotations

import re

import pytest

from shared import trace

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture(autouse=True)
def untraced() -> None:
    """Each test begins in no trace."""
    trace.current.set(None)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"traceparent": PARENT}, PARENT),
        ({"traceparent": PARENT, "x-cloud-trace-context": f"{'1' * 32}/7"}, PARENT),
        ({"x-cloud-trace-context": f"{TRACE}/255;o=1"}, f"00-{TRACE}-00000000000000ff-01"),
        ({"x-cloud-trace-context": f"{TRACE}/255;o=0"}, f"00-{TRACE}-00000000000000ff-00"),
        ({"traceparent": "nonsense", "x-cloud-trace-context": f"{TRACE}/1"}, f"00-{TRACE}-"),
        ({"x-cloud-trace-context": TRACE}, f"00-{TRACE}-"),
        ({"x-cloud-trace-context": f"{TRACE}/{2**64}"}, f"00-{TRACE}-"),
    ],
)
def test_a_request_may_say_its_trace_in_two_ways(headers: dict[str, str], found: str) -> None:
    read = trace.read(headers) or ""
    assert read.startswith(found)
    assert re.fullmatch("00-[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]", read)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"traceparent": PARENT.upper()},
        {"traceparent": f"{PARENT}-and-more"},
        {"traceparent": f"ff-{TRACE}-{SPAN}-01"},
        {"traceparent": f"00-{'0' * 32}-{SPAN}-01"},
        {"traceparent": f"00-{TRACE}-{'0' * 16}-01"},
        {"traceparent": f"{PARENT}\n"},
        {"x-cloud-trace-context": f"{TRACE}/"},
        {"x-cloud-trace-context": f"{'0' * 32}/1"},
        {"x-cloud-trace-context": f"{TRACE}/١"},
    ],
)
def test_what_names_no_trace_begins_one(headers: dict[str, str]) -> None:
    assert trace.read(headers) is None
    trace.begin(headers)
    begun = trace.current.get()
    trace.begin(headers)
    assert begun is not None
    assert trace.read({"traceparent": begun}) == begun != trace.current.get()


def test_what_was_put_off_goes_on_in_its_own_trace_if_it_is_known() -> None:
    other = PARENT.replace("0af", "fff")
    for followed, found in ((PARENT, PARENT), ("nonsense", PARENT), (None, PARENT), (other, other)):
        trace.follow(followed)
        assert trace.current.get() == found


def test_a_call_says_what_it_is_for() -> None:
    assert trace.headers(None) == {}
    trace.follow(PARENT)
    assert trace.headers("req_1") == {"traceparent": PARENT, "x-request-id": "req_1"}

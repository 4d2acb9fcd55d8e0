"""Events out of bytes, however they are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import sse

data = st.lists(st.binary(max_size=12).filter(lambda d: not {10, 13} & {*d}), min_size=1)
noise = st.sampled_from([b": a comment", b"event: x", b"id: 7", b"retry", b"dat: a", b"database"])
ends = st.sampled_from([b"\n", b"\r\n"])
streams = st.tuples(st.lists(st.tuples(data, noise), max_size=5), ends)
cuts = st.lists(st.integers(0, 400), max_size=8)


def written(events: list[tuple[list[bytes], bytes]], end: bytes) -> bytes:
    """Each event with one line that is none of its data."""
    return b"".join(
        b"".join(line + end for line in (noise, *(b"data: " + d for d in data), b""))
        for data, noise in events
    )


@given(streams, cuts)
def test_events_are_the_same_however_the_bytes_are_cut(
    stream: tuple[list[tuple[list[bytes], bytes]], bytes], cuts: list[int]
) -> None:
    body = written(*stream)
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    splitter = sse.Splitter()
    pieces = [body[a:b] for a, b in itertools.pairwise(places)]
    found = [event for piece in pieces for event in splitter.feed(piece)]
    assert found == [b"\n".join(data) for data, _ in stream[0]] == sse.events(body)


@given(st.binary(), cuts)
def test_any_bytes_are_cut_alike_whole_and_in_pieces(body: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    splitter = sse.Splitter()
    pieces = [*(body[a:b] for a, b in itertools.pairwise(places)), b"\n\n"]
    assert [event for piece in pieces for event in splitter.feed(piece)] == sse.events(body)


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"event: x\r\ndata: a\r\n\r\n", [b"a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data:a\n\ndata:  b\n\n", [b"a", b" b"]),
        (b"data\n\n", [b""]),
        (b": still here\n\nevent: x\n\n\n\ndata: a\n\n", [b"a"]),
        (b"data: cut o", [b"cut o"]),
        (b"data: cut\r", [b"cut"]),
        (b"", []),
    ],
)
def test_what_is_an_event(body: bytes, events: list[bytes]) -> None:
    assert sse.events(body) == events


def test_an_event_is_given_as_soon_as_it_has_ended() -> None:
    splitter = sse.Splitter()
    assert splitter.feed(b"data: a\n") == []
    assert splitter.feed(b"\n") == [b"a"]
    assert splitter.feed(b"data: b") == []


@pytest.mark.parametrize("body", [b"data: {}", b"\n event: x", b": hello", b"id: 1\ndata: {}"])
def test_a_stream_is_known_by_its_first_line(body: bytes) -> None:
    assert sse.is_stream(body)
    assert not sse.is_stream(b'{"data": []}')

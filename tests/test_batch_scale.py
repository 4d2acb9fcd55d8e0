"""What keeps a batch of a hundred thousand items as quick and as small, for each, as one of ten."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from shared import batch_collect, batch_jobs, batch_lines
from shared.batch_intake import _Names
from shared.batch_items import ItemResult
from shared.batch_lines import Kept
from shared.batch_shift import Ended, Shift
from shared.domain import ImageRef, ImageRequest, Picture, Problem
from shared.results import Result
from tests.batch_upstream import Google
from tests.darkroom import Darkroom, play
from tests.functions.test_batch import created, unused
from tests.test_batch_faults import all_made, pictures
from tests.test_batch_intake import asked, given, lines_of, refused

CUP = ImageRequest(operation="generate", model="nano-banana", prompt="a cup", resolution="1K")


def test_names_that_were_there_are_known_whatever_place_they_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_Names, "_PLACES", 16)
    names, some = _Names(), [f"name {n}" for n in range(10)] + ["", "\ud800", "x" * 300]
    assert all(names.add(name) for name in some)
    assert not any(names.add(name) for name in some)
    assert names.add("another")


def test_requests_are_alike_if_only_their_words_differ() -> None:
    kind = batch_lines.alike(CUP)
    assert batch_lines.alike(replace(CUP, prompt="a mug", metadata={"a": "b"})) == kind
    others = [
        replace(CUP, prompt="a bowl"),
        # As many letters, but more bytes.
        replace(CUP, prompt="a cüp"),
        replace(CUP, model="nano-banana-pro"),
        replace(CUP, resolution="2K"),
        replace(CUP, seed=7),
        replace(CUP, n=2),
        replace(CUP, options={"temperature": 0.5}),
        replace(CUP, previous_request_id="req_a"),
    ]
    kinds = {batch_lines.alike(other) for other in others}
    assert len(kinds | {kind}) == len(others) + 1


def test_what_waits_of_items_is_shared_and_only_of_those_without_a_result() -> None:
    asked = [replace(CUP, prompt=f"a cup {n}") for n in range(4)]
    asked[3] = replace(asked[3], refs=(ImageRef(url="https://example.com/a.png"),))
    items = [Kept(n, f"i{n}", 5, request) for n, request in enumerate(asked)]
    chunk = b"\n".join(map(batch_lines.keep, items))
    assert batch_lines.kept(chunk, b"\0", whole=True) == items
    first, third, fourth = batch_lines.kept(chunk, b"\2", whole=False)
    assert [one.index for one in (first, third, fourth)] == [0, 2, 3]
    assert first.request is third.request
    assert (first.request.prompt, first.request.resolution) == ("", "1K")
    assert len(fourth.request.refs) == 1


def test_results_are_kept_whatever_is_in_them() -> None:
    why = Problem("provider_error", "It broke\u2028.", details={"count": 2**70, "of": [1.5, None]})
    some = [ItemResult(0, "a\x85b", "failed", error=why), ItemResult(1, "é", "succeeded", text="x")]
    data = batch_lines.keep_results(some)
    assert batch_lines.kept_results(data) == some
    assert [json.loads(line)["index"] for line in data.splitlines()] == [0, 1]


@pytest.mark.pictures
def test_a_line_is_judged_by_its_own_words(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        words = ["a cup", "x" * 500_000, "a mug", "y" * 500_000]
        items = [{"custom_id": f"i{n}", "model": "nano-banana", "prompt": w}
                 for n, w in enumerate(words)]  # fmt: skip
        data = b"".join(json.dumps(item).encode() + b"\n" for item in items)
        error = await refused(darkroom, await asked(darkroom, given([data])))
        assert [(one["line"], one["param"]) for one in lines_of(error)] == [
            (2, "prompt"),
            (4, "prompt"),
        ]

    play(tmp_path, story, unused)


@pytest.mark.pictures
def test_a_job_has_no_more_lines_than_are_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_jobs, "JOB_LINES", 8)
    google = Google(pictures)

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        batch = await created(darkroom, key, 21)
        await all_made(darkroom, batch, key, 21)
        sent = [one.prompt for n in range(len(google.batches)) for one in google.asked(n)]
        assert sorted(sent) == sorted(f"cup {n}" for n in range(21))
        assert [len(google.asked(n)) for n in range(len(google.batches))] == [8, 8, 5]

    play(tmp_path, story, google)


@pytest.mark.pictures
@pytest.mark.parametrize(("weight", "most"), [(1, 2), (2**24, 8)])
def test_as_many_pictures_are_in_hand_as_are_light_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weight: int, most: int
) -> None:
    monkeypatch.setattr(batch_collect, "AT_ONCE", 8)
    monkeypatch.setattr(batch_collect, "AT_ONCE_BYTES", weight)
    stored, storing, reached = batch_collect.stored, 0, 0

    async def slowly(shift: Shift, item: Kept, result: Result, drawn: tuple[Picture, ...]) -> Ended:
        nonlocal storing, reached
        storing += 1
        reached = max(reached, storing)
        for _ in range(1_000):
            await asyncio.sleep(0)
        storing -= 1
        return await stored(shift, item, result, drawn)

    monkeypatch.setattr(batch_collect, "stored", slowly)

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        batch = await created(darkroom, key, 12)
        await all_made(darkroom, batch, key, 12)
        assert reached == most

    play(tmp_path, story, Google(pictures))

"""Pictures as OpenAI's clients name them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import ImageRef
from shared.errors import InvalidRequest
from shared.surfaces.openai_refs import Marked, of_file, of_url, own, unmarked

LINK = "https://host.test/account/images/img_abc_0?expires=1&signature=s"
DATA = "data:image/png;base64,AAAA"
OTHER = "https://host.test/cat.png"


@pytest.mark.parametrize(
    "link",
    [
        LINK,
        "http://127.0.0.1:8080/account/images/img_abc_0",
        "https://other.test/behind/account/images/img_abc_0?x=1#y",
    ],
)
def test_a_link_of_ours_is_known_on_any_host(link: str) -> None:
    assert own(link) == "img_abc_0"
    assert of_url(link, "messages") == ImageRef(image_id="img_abc_0")


@pytest.mark.parametrize(
    "url",
    [
        OTHER,
        DATA,
        "https://host.test/account/images/",
        "https://host.test/account/images/img_abc",
        "https://host.test/account/images/img_abc_0/more",
        "https://host.test/x?to=/account/images/img_abc_0",
        "https://[host.test/account/images/img_abc_0",
        "ftp://host.test/account/images/img_abc_0",
    ],
)
def test_any_other_address_is_somebody_elses(url: str) -> None:
    assert own(url) is None


def test_other_addresses_are_fetched_or_unpacked_later() -> None:
    assert of_url(OTHER, "x") == ImageRef(url=OTHER)
    assert of_url("DATA:image/png;base64,AAAA", "x").url == "DATA:image/png;base64,AAAA"
    for wrong in ("", "cat.png", "ftp://host.test/x", "AAAA"):
        with pytest.raises(InvalidRequest) as caught:
            of_url(wrong, "messages[0]")
        assert caught.value.param == "messages[0]"


def test_a_file_is_an_upload_or_a_kept_one() -> None:
    assert of_file("upl_1") == ImageRef(upload_id="upl_1")
    assert of_file("file-1") == ImageRef(file_id="file-1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Words", Marked("Words")),
        ("", Marked("")),
        (f"Here: ![image]({LINK})", Marked("Here:", (LINK,))),
        (f'![]({DATA})\n\nand ![a [b] c]( {OTHER} "title") !', Marked("and  !", (DATA, OTHER))),
        (f"[a link]({OTHER})", Marked(f"[a link]({OTHER})")),
        ("![nothing](cat.png)", Marked("![nothing](cat.png)")),
        (f"![open]({OTHER}", Marked(f"![open]({OTHER}")),
        (f"![x](y) ![image]({DATA})", Marked("![x](y)", (DATA,))),
        ("![ ](", Marked("![ ](")),
    ],
)
def test_pictures_are_taken_out_of_the_words(text: str, expected: Marked) -> None:
    assert unmarked(text) == expected


@given(st.lists(st.sampled_from(["![", "](", ")", "[", "]", "x", DATA, " "]), max_size=30))
def test_nothing_is_lost_of_any_words(pieces: list[str]) -> None:
    text = "".join(pieces)
    found = unmarked(text)
    assert text.count(DATA) >= len(found.targets)
    assert len(found.text) + sum(map(len, found.targets)) <= len(text)
    if not found.targets:
        assert found.text == text.strip()


def test_many_brackets_are_read_once() -> None:
    marks = "![](" * 200_000
    assert unmarked(marks) == Marked(marks)
    assert unmarked("![](x)" * 100_000).targets == ()

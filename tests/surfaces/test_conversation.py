"""A vendor's whole conversation becomes one request of ours."""

from __future__ import annotations

from shared.domain import ImageRef
from shared.surfaces.conversation import Folded, Said, fold, last_request

LOGO, CAT, DOG = (ImageRef(url=f"https://host.test/{name}.png") for name in ("logo", "cat", "dog"))
MADE = ImageRef(image_id="img_1_0")


def user(text: str, *images: ImageRef) -> Said:
    return Said("user", text, images)


def made(request_id: str | None = "req_1", text: str = "") -> Said:
    return Said("model", text, (MADE,), request_id)


def test_one_message_is_the_prompt() -> None:
    assert fold([user("A cat", LOGO)], continued=True) == Folded("A cat", (LOGO,))


def test_a_picture_of_ours_is_continued() -> None:
    said = [user("A cat", LOGO), made(), user("Make it blue", DOG)]
    assert last_request(said) == "req_1"
    assert fold(said, continued=True) == Folded("Make it blue", (DOG,), "req_1", 1)


def test_only_the_turns_that_were_sent_count() -> None:
    whole = [user("A cat"), made("req_1"), user("Blue"), made("req_2"), user("At night")]
    assert fold(whole, continued=True).max_turns == 2
    assert fold(whole[2:], continued=True) == Folded("At night", (), "req_2", 1)


def test_what_cannot_be_continued_is_one_more_picture_before_the_users_own() -> None:
    said = [user("A cat", LOGO), made(), user("Make it blue", DOG)]
    assert fold(said, continued=False) == Folded("Make it blue", (MADE, DOG), left_out=True)
    assert fold(said[1:], continued=False) == Folded("Make it blue", (MADE, DOG))


def test_a_picture_that_somebody_else_made_is_one_more_picture() -> None:
    said = [user("A cat"), made(None), user("Make it blue")]
    assert last_request(said) is None
    assert fold(said, continued=True) == Folded("Make it blue", (MADE,), left_out=True)


def test_words_since_the_last_picture_are_told_with_who_said_them() -> None:
    said = [user("Here is our logo", LOGO), Said("model", "What shall I do?"), user("Blue")]
    prompt = "User: Here is our logo\n\nAssistant: What shall I do?\n\nUser: Blue"
    assert fold(said, continued=True) == Folded(prompt, (LOGO,))


def test_words_beside_a_picture_are_of_the_turn_that_is_stored() -> None:
    said = [user("A cat"), made(text="Here it is."), Said("model", " "), user("Blue")]
    assert fold(said, continued=True).prompt == "Blue"

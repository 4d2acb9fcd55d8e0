"""Standard Webhooks signatures: the reference's own example, and everything that must not pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared import signatures
from shared.errors import Unauthenticated

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
"""What standardwebhooks' own tests expect for these (python library 1.1.0)."""
NOW = datetime.fromtimestamp(AT, UTC)


def headers(**changed: str) -> dict[str, str]:
    """Those of the example; `timestamp="…"` changes webhook-timestamp, an empty one is left out."""
    given = {"id": ID, "timestamp": str(AT), "signature": SIGNATURE, **changed}
    return {f"webhook-{name}": value for name, value in given.items() if value}


def test_the_references_example_is_signed_and_verified_alike() -> None:
    assert signatures.sign(SECRET, ID, AT, BODY) == SIGNATURE
    signatures.verify(SECRET, headers(), BODY, NOW)


def test_a_secret_without_the_prefix_is_the_key_itself() -> None:
    signature = signatures.sign("raw secret", ID, AT, BODY)
    assert signature != SIGNATURE
    signatures.verify("raw secret", headers(signature=signature), BODY, NOW)
    with pytest.raises(Unauthenticated):
        signatures.verify(SECRET, headers(signature=signature), BODY, NOW)


@pytest.mark.parametrize(
    "given", [f"v1,AAAA {SIGNATURE}", f"{SIGNATURE} v1,AAAA", f"v1a,x  {SIGNATURE}", SIGNATURE]
)
def test_one_good_signature_of_several_is_enough(given: str) -> None:
    signatures.verify(SECRET, headers(signature=given), BODY, NOW)


@pytest.mark.parametrize(
    "changed",
    [
        {"signature": ""},
        {"signature": " "},
        {"signature": "v1,"},
        {"signature": SIGNATURE.removeprefix("v1,")},
        {"signature": SIGNATURE.replace("v1,", "v2,")},
        {"signature": SIGNATURE[:-4]},
        {"signature": SIGNATURE.lower()},
        {"signature": "v1,ü"},
        {"id": "msg_other"},
        {"id": ""},
        {"timestamp": str(AT + 1)},
        {"timestamp": ""},
        {"timestamp": "soon"},
        {"timestamp": f"{AT}.0"},
        {"timestamp": f"-{AT}"},
        {"timestamp": f" {AT}"},
        {"timestamp": "٣"},
        {"timestamp": "9" * 30},
    ],
)
def test_headers_that_are_changed_do_not_pass(changed: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        signatures.verify(SECRET, headers(**changed), BODY, NOW)


def test_a_body_that_is_changed_does_not_pass() -> None:
    with pytest.raises(Unauthenticated, match="does not fit"):
        signatures.verify(SECRET, headers(), BODY + b" ", NOW)


@pytest.mark.parametrize("sign", [1, -1])
def test_five_minutes_off_is_still_good_and_no_more(sign: int) -> None:
    signatures.verify(SECRET, headers(), BODY, NOW + sign * timedelta(seconds=300))
    with pytest.raises(Unauthenticated, match="too far"):
        signatures.verify(SECRET, headers(), BODY, NOW + sign * timedelta(seconds=300.5))


@pytest.mark.parametrize("secret", ["whsec_", "whsec_?", "whsec_abc", ""])
def test_a_secret_that_gives_no_key_is_named_at_once(secret: str) -> None:
    with pytest.raises(ValueError, match=r"base64|empty"):
        signatures.sign(secret, ID, AT, BODY)

"""Directives: read from prompts, counted by request."""

from __future__ import annotations

import httpx
import pytest

from shared.sandbox.directives import BadDirective, Calls, Directive, parse, without


def request(body: str = "{}", request_id: str | None = None) -> httpx.Request:
    headers = {"x-request-id": request_id} if request_id else {}
    return httpx.Request("POST", "http://sandbox/google/x", headers=headers, content=body)


def faults(calls: Calls, prompt: str, times: int, request_id: str | None = None) -> list[str]:
    directives = parse(prompt)
    met = (calls.orders(directives, "google", request(prompt, request_id)) for _ in range(times))
    return [orders.fault or "" for orders in met]


@pytest.mark.parametrize(
    ("text", "directive"),
    [
        ("[sandbox:unavailable]", Directive("unavailable")),
        ("[sandbox:rate_limited*2]", Directive("rate_limited", calls=2)),
        ("[sandbox:unavailable@google]", Directive("unavailable", provider="google")),
        ("[sandbox:blocked*3@ark]", Directive("blocked", calls=3, provider="ark")),
        ("[sandbox:blocked@ark*3]", Directive("blocked", calls=3, provider="ark")),
        ("[sandbox:slow=2.5]", Directive("slow", value=2.5)),
        ("[sandbox:slow=60]", Directive("slow", value=60.0)),
        ("[sandbox:bytes=3000000*1]", Directive("bytes", value=3_000_000, calls=1)),
        ("[sandbox:partial]", Directive("partial", calls=1)),
    ],
)
def test_every_form_of_a_directive_is_read(text: str, directive: Directive) -> None:
    assert parse(f"A cat {text} on a mat") == (directive,)
    assert without(f"A cat {text} on a mat") == "A cat on a mat"


@pytest.mark.parametrize(
    "text",
    ["nope", "", "slow", "slow=x", "blocked=1", "blocked*0", "blocked*", "slow=60.1", "Blocked"],
)
def test_a_directive_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadDirective, match="sandbox:"):
        parse(f"[sandbox:{text}]")


def test_a_prompt_without_directives_has_none() -> None:
    assert parse("A sandbox: [sand] box") == ()


def test_a_limit_counts_the_calls_of_one_request() -> None:
    calls = Calls()
    prompt = "[sandbox:rate_limited*2]"
    limited = "rate_limited"
    assert faults(calls, prompt, 4, request_id="a") == [limited, limited, "", ""]
    assert faults(calls, prompt, 1, request_id="b") == [limited]


def test_a_request_without_an_id_starts_anew_after_a_call_that_went_through() -> None:
    expected = ["unavailable", "", "unavailable", ""]
    assert faults(Calls(), "[sandbox:unavailable*1]", 4) == expected


def test_the_first_fault_that_applies_wins() -> None:
    prompt = "[sandbox:rate_limited*1] [sandbox:unavailable*2]"
    assert faults(Calls(), prompt, 3) == ["rate_limited", "unavailable", ""]


def test_a_directive_for_another_provider_does_nothing() -> None:
    assert faults(Calls(), "[sandbox:unavailable@openai]", 2) == ["", ""]


def test_delay_and_size_go_along_with_a_fault() -> None:
    directives = parse("[sandbox:slow=1.5] [sandbox:bytes=10] [sandbox:truncated]")
    orders = Calls().orders(directives, "google", request())
    assert (orders.fault, orders.delay_s, orders.min_bytes) == ("truncated", 1.5, 10)


def test_only_the_latest_requests_are_remembered() -> None:
    calls = Calls(most=2)
    for request_id in ("a", "b", "c"):
        faults(calls, "[sandbox:unavailable*1]", 1, request_id)
    assert faults(calls, "[sandbox:unavailable*1]", 1, "c") == [""]
    assert faults(calls, "[sandbox:unavailable*1]", 1, "a") == ["unavailable"]

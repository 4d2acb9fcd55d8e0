"""Faults that look the same at every provider: answers that arrive late, torn, as a web page or not
at all, and pictures that are not what they seem."""

from __future__ import annotations

import base64

import httpx

from shared.sandbox.directives import Orders

PAGE = b"<!DOCTYPE html>\n<html><title>Sorry...</title><body>We're sorry.</body></html>\n"
TRANSPORT = ("timeout", "truncated")
"""Faults that only the front end of the sandbox can show: it finds them in the extensions."""


def disturbed(response: httpx.Response, orders: Orders) -> httpx.Response:
    """The answer as it is to travel: `extensions` tell the front end of a delay in seconds
    (`delay_s`) and of a transport fault (`fault`)."""
    if orders.fault == "not_json":
        kind = {"content-type": "text/html; charset=UTF-8"}
        response = httpx.Response(200, headers=kind, content=PAGE)
    if orders.delay_s:
        response.extensions["delay_s"] = orders.delay_s
    if orders.fault in TRANSPORT:
        response.extensions["fault"] = orders.fault
    return response


def packed(data: bytes, orders: Orders) -> str:
    """A picture in base64, spoilt if so ordered."""
    text = base64.b64encode(data).decode("ascii")
    return f"{text[:64]}*!*{text[64:]}" if orders.fault == "bad_base64" else text


def declared(kind: str, orders: Orders) -> str:
    """What the answer says the picture is: "png" or "jpeg", the wrong one if so ordered."""
    if orders.fault != "wrong_mime":
        return kind
    return "png" if kind == "jpeg" else "jpeg"

"""What the module promises of the load balancer before the functions: who is behind it, by which
paths, and what it turns away."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.routing import Mount

import main
from tests.infra.deployed import PRIVATE, Deployed, Promise

CATALOGUE = "models"
"""Who answers for what nobody is called."""
LAST = 2147483647
"""The priority of the rule that Google demands (cloud.google.com/armor/docs, 2026-11)."""
_PATH = re.compile(r"/[^*?#]*|(/[^*?#/]+)*/\*")
"""A path of a URL map: a * only as its last part
(cloud.google.com/load-balancing/docs/url-map-concepts, 2026-11)."""


def paths_lead_to_public_functions(deployed: Deployed) -> Iterator[str]:
    behind = _behind(deployed)
    matcher = _matcher(deployed)
    for name in (name for name in vars(main) if not name.startswith("_")):
        expected = CATALOGUE if name in PRIVATE else name
        for known in sorted(_known_as(name)):
            for path in (known, f"{known}/", f"{known}/one/two"):
                if (found := behind.get(_backend(matcher, path))) != expected:
                    yield f"{path} leads to {found}"
    for path in ("/", "/favicon.ico", "/generated", "/v1/images/generations"):
        if (found := behind.get(_backend(matcher, path))) != CATALOGUE:
            yield f"{path} leads to {found}"
    for name in sorted(PRIVATE & set(behind.values())):
        yield f"{name} can be reached from outside"
    (whole,) = deployed.each("google_compute_url_map", "edge").values()
    if [(rule["hosts"], rule["path_matcher"]) for rule in whole["host_rule"]] != [
        (["*"], matcher["name"])
    ]:
        yield "not every host has the functions"


def paths_are_possible(deployed: Deployed) -> Iterator[str]:
    for rule in _matcher(deployed)["path_rule"]:
        for path in rule["paths"]:
            if not _PATH.fullmatch(path):
                yield f"Google takes no path {path}"


def backends_are_guarded(deployed: Deployed) -> Iterator[str]:
    (policy,) = deployed.of("google_compute_security_policy").values()
    for address, backend in deployed.of("google_compute_backend_service").items():
        if backend["security_policy"] != policy["id"]:
            yield f"{address} lets floods through"
        if backend["load_balancing_scheme"] != "EXTERNAL_MANAGED":
            yield f"{address} belongs to another load balancer"
        if not any(log["enable"] and log["sample_rate"] for log in backend["log_config"]):
            yield f"{address} does not show whom it turned away"
        # What is made up for a number is 0.
        if backend["timeout_sec"] or backend["health_checks"] or backend["enable_cdn"]:
            yield f"Google refuses {address}, or keeps answers that are one caller's"


def floods_are_turned_away(deployed: Deployed) -> Iterator[str]:
    (policy,) = deployed.of("google_compute_security_policy").values()
    rules = sorted(policy["rule"], key=lambda rule: float(rule["priority"]))
    if [(rule["action"], _addresses(rule)) for rule in rules if rule["priority"] == LAST] != [
        ("allow", ["*"])
    ]:
        yield "Google demands a last rule, which lets everybody in"
    (limit, *_) = (option for rule in rules for option in rule["rate_limit_options"])
    if (
        _addresses(rules[0]) != ["*"]
        or rules[0]["preview"]
        or limit["exceed_action"] != "deny(429)"
    ):
        yield "a flood is let through"
    if limit["enforce_on_key"] != "IP" or limit["enforce_on_key_configs"]:
        yield "who floods chooses what is counted"
    (threshold,) = limit["rate_limit_threshold"]
    if threshold != {"count": 600, "interval_sec": 60}:
        yield "an address may ask for more or less than requests_per_minute"
    for rule in rules:
        if any(match["expr"] for match in rule["match"]):
            yield f"rule {rule['priority']} may turn an honest prompt away"


def everybody_speaks_https(deployed: Deployed) -> Iterator[str]:
    (address,) = deployed.of("google_compute_global_address").values()
    (secure,) = deployed.of("google_compute_target_https_proxy").values()
    (plain,) = deployed.of("google_compute_target_http_proxy").values()
    rules = deployed.of("google_compute_global_forwarding_rule").values()
    ways = {rule["port_range"]: (rule["ip_address"], rule["target"]) for rule in rules}
    if ways != {"443": (address["id"], secure["id"]), "80": (address["id"], plain["id"])}:
        yield "the address is not served on ports 80 and 443"
    (whole,) = deployed.each("google_compute_url_map", "edge").values()
    (redirect,) = deployed.each("google_compute_url_map", "redirect").values()
    if secure["url_map"] != whole["id"] or plain["url_map"] != redirect["id"]:
        yield "http reaches the functions"
    answers = [
        (to["https_redirect"], to["redirect_response_code"], to["strip_query"])
        for to in redirect["default_url_redirect"]
    ]
    # Of the permanent ones, the other makes a GET of a POST.
    if answers != [(True, "PERMANENT_REDIRECT", False)] or redirect["default_service"]:
        yield "http is not sent on to https as it is"
    (policy,) = deployed.of("google_compute_ssl_policy").values()
    if policy["min_tls_version"] not in ("TLS_1_2", "TLS_1_3") or (
        secure["ssl_policy"] != policy["id"]
    ):
        yield "old TLS is spoken"


def links_lead_to_the_domain(deployed: Deployed) -> Iterator[str]:
    (certificate,) = deployed.of("google_compute_managed_ssl_certificate").values()
    (secure,) = deployed.of("google_compute_target_https_proxy").values()
    if secure["ssl_certificates"] != [certificate["id"]]:
        yield "the domain has no certificate"
    (managed,) = certificate["managed"]
    for name, service in deployed.functions().items():
        url = service["environment_variables"]["DARKROOM_PUBLIC_URL"]
        if [url.removeprefix("https://")] != managed["domains"]:
            yield f"links of {name} go to {url}"


EDGE_PROMISES: tuple[Promise, ...] = (
    backends_are_guarded,
    everybody_speaks_https,
    floods_are_turned_away,
    links_lead_to_the_domain,
    paths_are_possible,
    paths_lead_to_public_functions,
)


def _known_as(name: str) -> set[str]:
    """Where a function answers but at /."""
    routes = importlib.import_module(f"functions.{name}").APP.routes
    return {route.path for route in routes if isinstance(route, Mount)}


def _behind(deployed: Deployed) -> dict[str, str]:
    """Backend → the function it leads to."""
    entry_points = {
        f["name"]: f["build_config"][0]["entry_point"]
        for f in deployed.of("google_cloudfunctions2_function").values()
    }
    groups = {
        group["id"]: entry_points.get(group["cloud_run"][0]["service"], "nobody")
        for group in deployed.of("google_compute_region_network_endpoint_group").values()
    }
    return {
        backend["id"]: groups[backend["backend"][0]["group"]]
        for backend in deployed.of("google_compute_backend_service").values()
    }


def _matcher(deployed: Deployed) -> Mapping[str, Any]:
    (whole,) = deployed.each("google_compute_url_map", "edge").values()
    (matcher,) = whole["path_matcher"]
    found: Mapping[str, Any] = matcher
    return found


def _backend(matcher: Mapping[str, Any], path: str) -> str:
    """As a URL map chooses: the longest path that fits."""
    by_path = {path: rule["service"] for rule in matcher["path_rule"] for path in rule["paths"]}
    above = (p for p in by_path if p.endswith("/*") and path.startswith(p[:-1]))
    longest = path if path in by_path else max(above, key=len, default="")
    backend: str = by_path.get(longest, matcher["default_service"])
    return backend


def _addresses(rule: Mapping[str, Any]) -> list[str]:
    return [
        address
        for match in rule["match"]
        for config in match["config"]
        for address in config["src_ip_ranges"]
    ]

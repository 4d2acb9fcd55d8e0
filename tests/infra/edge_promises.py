"""What the module promises of the load balancer before the functions: who is behind it, by which
paths, and what it turns away."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.routing import Mount

import main
from tests.infra.deployed import PRIVATE, Deployed, Promise

LAST = 2147483647
"""The priority of the rule that Google demands (cloud.google.com/armor/docs, 2026-11)."""


def paths_lead_to_public_functions(deployed: Deployed) -> Iterator[str]:
    """The first part of a path names the service: each is at its own, and refuses the load balancer
    unless it is public."""
    (whole,) = deployed.of("google_compute_url_map").values()
    (backend,) = deployed.of("google_compute_backend_service").values()
    (group,) = deployed.of("google_compute_region_network_endpoint_group").values()
    if (whole["default_service"], [b["group"] for b in backend["backend"]]) != (
        backend["id"],
        [group["id"]],
    ):
        yield "the functions are not behind the load balancer"
    if [run["url_mask"] for run in group["cloud_run"]] != ["/<service>"]:
        yield "a function is not where its name says"
    for function in deployed.of("google_cloudfunctions2_function").values():
        name = function["build_config"][0]["entry_point"]
        if name in main.FUNCTIONS and f"/{function['name']}" not in _known_as(name):
            yield f"{name} does not answer at /{function['name']}"
        if function["location"] != group["region"]:
            yield f"{name} is in another region than who looks for it"
        ingress = function["service_config"][0]["ingress_settings"]
        if (ingress == "ALLOW_INTERNAL_ONLY") != (name in PRIVATE):
            yield f"{name} can be reached from outside, or cannot and should"


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
    rules = deployed.of("google_compute_global_forwarding_rule").values()
    ways = [(rule["port_range"], rule["ip_address"], rule["target"]) for rule in rules]
    # A key that was sent to port 80 would be out before any redirect.
    if ways != [("443", address["id"], secure["id"])]:
        yield "the address is served on more or less than port 443"
    (whole,) = deployed.of("google_compute_url_map").values()
    if secure["url_map"] != whole["id"]:
        yield "https does not reach the functions"
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
    paths_lead_to_public_functions,
)


def _known_as(name: str) -> set[str]:
    """Where a function answers but at /."""
    routes = importlib.import_module(f"functions.{name}").APP.routes
    return {route.path for route in routes if isinstance(route, Mount)}


def _addresses(rule: Mapping[str, Any]) -> list[str]:
    return [
        address
        for match in rule["match"]
        for config in match["config"]
        for address in config["src_ip_ranges"]
    ]

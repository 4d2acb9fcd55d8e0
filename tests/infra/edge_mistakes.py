"""Mistakes before the functions (infra/edge.tf) that Terraform itself lets pass."""

from __future__ import annotations

from tests.infra import edge_promises
from tests.infra.mistakes import Mistake

MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        edge_promises.backends_are_guarded,
        file="edge.tf",
        right="security_policy       = google_compute_security_policy.edge[0].id",
        wrong="security_policy       = null",
        said="google_compute_backend_service.edge[0] lets floods through",
    ),
    Mistake(
        edge_promises.backends_are_guarded,
        file="edge.tf",
        right="sample_rate = 0.1",
        wrong="sample_rate = 0",
        said="edge[0] does not show whom it turned away",
    ),
    Mistake(
        edge_promises.backends_are_guarded,
        file="edge.tf",
        right="  backend {\n",
        wrong="  timeout_sec = 960\n\n  backend {\n",
        said="Google refuses google_compute_backend_service.edge[0]",
    ),
    Mistake(
        edge_promises.everybody_speaks_https,
        file="edge.tf",
        right='"443"',
        wrong='"80-443"',
        said="served on more or less than port 443",
    ),
    Mistake(
        edge_promises.everybody_speaks_https,
        file="edge.tf",
        right="TLS_1_2",
        wrong="TLS_1_0",
        said="old TLS is spoken",
    ),
    Mistake(
        edge_promises.floods_are_turned_away,
        file="edge.tf",
        right='enforce_on_key = "IP"',
        wrong='enforce_on_key = "XFF_IP"',
        said="who floods chooses what is counted",
    ),
    Mistake(
        edge_promises.floods_are_turned_away,
        file="edge.tf",
        right="priority    = 2147483647",
        wrong="priority    = 2000",
        said="Google demands a last rule",
    ),
    Mistake(
        edge_promises.links_lead_to_the_domain,
        file="edge.tf",
        right="domains = [var.domain]",
        wrong='domains = ["www.${var.domain}"]',
        said="links of account go to https://images.app.example",
    ),
    Mistake(
        edge_promises.paths_lead_to_public_functions,
        file="edge.tf",
        right='"/<service>"',
        wrong='"/api/<service>"',
        said="a function is not where its name says",
    ),
    Mistake(
        edge_promises.paths_lead_to_public_functions,
        file="functions.tf",
        right='= replace(each.key, "_", "-")',
        wrong='= "fn-${replace(each.key, "_", "-")}"',
        said="edit does not answer at /fn-edit",
    ),
)

"""What of infra/edge.tf shows in no plan and no state: in which order things go."""

from __future__ import annotations

import re

from tests.infra.terraform import INFRA

CODE = (INFRA / "edge.tf").read_text()


def test_a_backend_goes_after_the_url_map_has_let_go_of_it() -> None:
    """Else a function that is no longer public could not be taken away."""
    backend = CODE.partition('"google_compute_backend_service" "function"')[2].partition("\n}\n")[0]
    assert re.search(r"lifecycle \{\s+create_before_destroy = true\s+\}", backend)


def test_functions_are_not_made_before_they_are_destroyed() -> None:
    """What create_before_destroy refers to inherits it, and two functions cannot have one name."""
    assert "google_cloudfunctions2_function" not in CODE

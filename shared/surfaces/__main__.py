"""`python -m shared.surfaces`: what becomes of every field of the vendors' APIs, in Markdown."""

from __future__ import annotations

import sys

from shared.surfaces.table import table

sys.stdout.write(table())

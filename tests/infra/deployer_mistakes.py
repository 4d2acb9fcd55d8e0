"""Mistakes about who deploys that Terraform itself lets pass."""

from __future__ import annotations

from tests.infra import deployer_promises
from tests.infra.mistakes import Mistake

MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        deployer_promises.the_deployer_may_grant_what_is_granted,
        file="iam.tf",
        right='role    = "roles/aiplatform.user"',
        wrong='role    = "roles/aiplatform.admin"',
        said="the deployer may not grant roles/aiplatform.admin",
    ),
    Mistake(
        deployer_promises.the_deployer_may_make_everything,
        file="records.tf",
        right="  database  = google_firestore_database.records.name\n  retention",
        wrong="  count     = 0\n  database  = google_firestore_database.records.name\n  retention",
        said="the deployer has datastore.backupSchedulesAdmin, which nothing takes",
    ),
)

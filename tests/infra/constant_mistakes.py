"""Mistakes in grants and in values that only a mistake would change."""

from __future__ import annotations

from tests.infra import constant_promises as promises
from tests.infra import grant_promises
from tests.infra.mistakes import Mistake

MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        promises.alerts_are_on,
        file="monitoring.tf",
        right='  combiner              = "OR"',
        wrong='  combiner              = "AND"',
        said='alert["dead"] is off',
    ),
    Mistake(
        promises.events_have_their_time,
        file="messaging.tf",
        right="max_delivery_attempts = 20",
        wrong="max_delivery_attempts = 5",
        said='push["requests"] is tried [5] times',
    ),
    Mistake(
        promises.events_have_their_time,
        file="scheduler.tf",
        right="service_account_email = google_service_account.pusher.email",
        wrong="service_account_email = google_service_account.builder.email",
        said="subscription.sweep pushes as somebody whom no function lets in",
    ),
    Mistake(
        promises.functions_have_the_size_they_need,
        file="functions.tf",
        right='runtime           = "python313"',
        wrong='runtime           = "python39"',
        said="edit runs on another Python",
    ),
    Mistake(
        promises.functions_have_the_size_they_need,
        file="functions.tf",
        right="object.v1.finalized",
        wrong="object.v1.deleted",
        said="hears of other than uploads",
    ),
    Mistake(
        promises.pictures_stay_as_long_as_promised,
        file="storage.tf",
        right="age = lifecycle_rule.value",
        wrong="age = 1",
        said="images deletes [(1, ()), ",
    ),
    Mistake(
        promises.pictures_stay_as_long_as_promised,
        file="storage.tf",
        right="retention_duration_seconds = 604800",
        wrong="retention_duration_seconds = 0",
        said="images brings back for [0]",
    ),
    Mistake(
        promises.the_project_can_do_it,
        file="project.tf",
        right='      "iamcredentials.googleapis.com",\n',
        wrong="",
        said="the APIs differ by ['iamcredentials']",
    ),
    Mistake(
        grant_promises.grants_are_those_listed,
        file="iam.tf",
        right="roles/artifactregistry.writer",
        wrong="roles/artifactregistry.reader",
        said="missing: google_service_account.builder | roles/artifactregistry.writer",
    ),
    Mistake(
        grant_promises.grants_are_those_listed,
        file="iam.tf",
        right="roles/run.invoker",
        wrong="roles/run.admin",
        said="nobody asked for: allUsers | roles/run.admin",
    ),
)

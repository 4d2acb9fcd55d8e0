"""What the module promises about who deploys it: infra/deployer.txt and infra/deployer_grants.yaml
have all the rights that takes, and none that nothing takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import yaml

from tests.infra.deployed import Deployed, Promise
from tests.infra.terraform import INFRA

MADE_BY: Mapping[str, str] = {
    "google_artifact_registry_repository": "artifactregistry.admin",
    "google_artifact_registry_repository_iam_member": "artifactregistry.admin",
    "google_billing_budget": "billing.costsManager",
    "google_cloud_run_v2_service_iam_member": "run.admin",
    "google_cloud_scheduler_job": "cloudscheduler.admin",
    "google_cloudfunctions2_function": "cloudfunctions.developer",
    "google_compute_backend_service": "compute.loadBalancerAdmin",
    "google_compute_global_address": "compute.loadBalancerAdmin",
    "google_compute_global_forwarding_rule": "compute.loadBalancerAdmin",
    "google_compute_managed_ssl_certificate": "compute.loadBalancerAdmin",
    "google_compute_region_network_endpoint_group": "compute.loadBalancerAdmin",
    "google_compute_security_policy": "compute.securityAdmin",
    "google_compute_ssl_policy": "compute.loadBalancerAdmin",
    "google_compute_target_https_proxy": "compute.loadBalancerAdmin",
    "google_compute_url_map": "compute.loadBalancerAdmin",
    "google_firestore_backup_schedule": "datastore.backupSchedulesAdmin",
    "google_firestore_database": "datastore.owner",
    "google_firestore_field": "datastore.owner",
    "google_firestore_index": "datastore.owner",
    "google_logging_metric": "logging.configWriter",
    "google_logging_project_exclusion": "logging.configWriter",
    "google_monitoring_alert_policy": "monitoring.alertPolicyEditor",
    "google_monitoring_dashboard": "monitoring.dashboardEditor",
    "google_monitoring_notification_channel": "monitoring.notificationChannelEditor",
    "google_project_iam_member": "resourcemanager.projectIamAdmin",
    "google_project_service": "serviceusage.serviceUsageAdmin",
    "google_pubsub_subscription": "pubsub.admin",
    "google_pubsub_subscription_iam_member": "pubsub.admin",
    "google_pubsub_topic": "pubsub.admin",
    "google_pubsub_topic_iam_member": "pubsub.admin",
    "google_secret_manager_secret": "secretmanager.admin",
    "google_secret_manager_secret_iam_member": "secretmanager.admin",
    "google_service_account": "iam.serviceAccountAdmin",
    "google_service_account_iam_member": "iam.serviceAccountAdmin",
    "google_storage_bucket": "storage.admin",
    "google_storage_bucket_iam_member": "storage.admin",
    "google_storage_bucket_object": "storage.admin",
}
"""Which role a type of resource takes (cloud.google.com/iam/docs/roles-permissions, 2026-11)."""
MAKES_NOTHING = {"iam.serviceAccountUser", "logging.logWriter"}
"""Roles it takes to hand an account on, and to be a build at all."""
ELSEWHERE = {"billing.costsManager", "resourcemanager.projectIamAdmin"}
"""Roles granted on the billing account, and under a condition."""


def listed() -> set[str]:
    """The roles of infra/deployer.txt."""
    text = (INFRA / "deployer.txt").read_text()
    return set(re.findall(r"^roles/(\S+)  +\S", text, re.MULTILINE))


def grantable() -> set[str]:
    """The roles that the deployer may grant others in the project."""
    condition = yaml.safe_load((INFRA / "deployer_grants.yaml").read_text())["expression"]
    attribute, _, roles = condition.partition(".hasOnly([")
    assert attribute == "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', [])"
    # Nothing comes after the list that would let more through.
    assert re.fullmatch(r"\s*('roles/[^']+',?\s*)+\]\)\s*", roles), roles
    return set(re.findall(r"'(roles/[^']+)'", roles))


def the_deployer_may_make_everything(deployed: Deployed) -> Iterator[str]:
    made = {r["type"] for r in deployed.resources if r["mode"] == "managed"}
    for type_ in sorted(made - set(MADE_BY)):
        yield f"nothing says which role it takes to make a {type_}"
    takes = {MADE_BY[type_] for type_ in made & set(MADE_BY)} | MAKES_NOTHING
    for role in sorted(takes - listed() - ELSEWHERE):
        yield f"the deployer lacks {role}"
    for role in sorted(listed() - takes):
        yield f"the deployer has {role}, which nothing takes"


def the_deployer_may_grant_what_is_granted(deployed: Deployed) -> Iterator[str]:
    granted = {member["role"] for member in deployed.of("google_project_iam_member").values()}
    for role in sorted(granted - grantable()):
        yield f"the deployer may not grant {role}"
    for role in sorted(grantable() - granted):
        yield f"the deployer may grant {role}, and never has to"


DEPLOYER_PROMISES: tuple[Promise, ...] = (
    the_deployer_may_grant_what_is_granted,
    the_deployer_may_make_everything,
)

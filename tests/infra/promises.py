"""What the module promises, but for what concerns events (event_promises.py)."""

from __future__ import annotations

import ast
import fnmatch
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import main
from shared.body import GenerateBody
from shared.records.firestore import INDEXES, TTL, UNINDEXED
from shared.settings import Settings
from tests import tree
from tests.infra.deployed import PRIVATE, Deployed, Promise
from tests.infra.event_promises import EVENT_PROMISES
from tests.infra.terraform import INFRA, impossible

ROOT = INFRA.parent
OPTIONAL = {
    "DARKROOM_ALLOW_PRIVATE_URLS",
    "DARKROOM_BLOCKLIST",
    "DARKROOM_CATALOGUE",
    "DARKROOM_CORS_ORIGINS",
    "DARKROOM_DATA",
    "DARKROOM_LOG_LEVEL",
    "DARKROOM_PROVIDERS",
    "DARKROOM_TEST_KEY",
    "HOST",
    "K_REVISION",
    "K_SERVICE",
    "PORT",
    "STORAGE_EMULATOR_HOST",
}
"""Variables of shared/settings.py whose defaults are right in the cloud, or that Cloud Run sets."""
ANYONE = {"allUsers", "allAuthenticatedUsers"}
CALL_PROVIDERS = {"batch_callback", "edit", "gemini", "generate", "openai", "run_request"}
SIGNED = {"GEMINI_WEBHOOK_SECRET", "OPENAI_WEBHOOK_SECRET"}


def buckets_are_private(deployed: Deployed) -> Iterator[str]:
    for address, bucket in deployed.of("google_storage_bucket").items():
        if address.endswith(".images") and bucket["deletion_policy"] != "PREVENT":
            yield f"Terraform may delete {address}"
        if bucket["public_access_prevention"] != "enforced":
            yield f"{address} can be made public"
        if not bucket["uniform_bucket_level_access"]:
            yield f"{address} has access lists for single objects"
        if not bucket["soft_delete_policy"]:
            yield f"{address} leaves soft deletion to chance"


def roles_are_narrow(deployed: Deployed) -> Iterator[str]:
    for resource in deployed.resources:
        values, address = resource["values"], resource["address"]
        if values.get("role") in ("roles/owner", "roles/editor", "roles/viewer"):
            yield f"{address} gives a primitive role"
        members = {values.get("member"), *(values.get("members") or ())}
        if members & ANYONE and values.get("role") != "roles/run.invoker":
            yield f"{address} gives {values['role']} to anyone"


def builds_may_read_the_source(deployed: Deployed) -> Iterator[str]:
    """Each runs as an account of its own, on a copy in a bucket that Cloud Functions names."""
    (project,) = deployed.of("google_project").values()
    builder = deployed.of("google_service_account")["google_service_account.builder"]
    may = deployed.of("google_project_iam_member")["google_project_iam_member.builder_source"]
    for address, function in deployed.of("google_cloudfunctions2_function").items():
        copies = f"gcf-v2-sources-{project['number']}-{function['location']}"
        if function["build_config"][0]["service_account"] != builder["id"]:
            yield f"{address} is built by somebody else"
        if may["member"] != builder["member"] or may["role"] != "roles/storage.objectViewer":
            yield "no build can read its source"
        if [c["expression"] for c in may["condition"]] != [
            f'resource.name.startsWith("projects/_/buckets/{copies}")'
        ]:
            yield f"builds can read more, or less, than {copies}"


def functions_fit_a_new_project(deployed: Deployed) -> Iterator[str]:
    """20 vCPUs and 40 GiB in a region (Cloud Run's quotas CpuAllocPerProjectRegion and
    MemAllocPerProjectRegion of new billing accounts, seen in 2026)."""
    for name, service in deployed.functions().items():
        most, memory = service["max_instance_count"], service["available_memory"]
        gib = float(memory.removesuffix("Gi")) if memory.endswith("Gi") else 1.0
        if most * float(service["available_cpu"]) > 20 or most * gib > 40:
            yield f"{name} may need more than a new project has"


def functions_run_as_themselves(deployed: Deployed) -> Iterator[str]:
    accounts = deployed.each("google_service_account", "function")
    for name, service in deployed.functions().items():
        if service["service_account_email"] != accounts[name]["email"]:
            yield f"{name} does not run as its own service account"


def functions_are_those_of_main(deployed: Deployed) -> Iterator[str]:
    if set(deployed.functions()) != set(main.FUNCTIONS):
        yield f"main.py has {main.FUNCTIONS}, deployed are {sorted(deployed.functions())}"
    for address, function in deployed.of("google_cloudfunctions2_function").items():
        entry_point = function["build_config"][0]["entry_point"]
        if function["name"] != entry_point.replace("_", "-"):
            yield f"{address} is not named after its entry point"


def settings_are_given(deployed: Deployed) -> Iterator[str]:
    tree = ast.parse((ROOT / "shared" / "settings.py").read_text())
    asked = {
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == "env.get"
        and isinstance(call.args[0], ast.Constant)
    }
    for name, service in deployed.functions().items():
        secrets = {secret["key"]: "x" for secret in service["secret_environment_variables"]}
        env = {**service["environment_variables"], **secrets}
        webhooks = {key for key in secrets if key.endswith("_WEBHOOK_SECRET")}
        if webhooks != (SIGNED if name == "provider_webhook" else set()):
            yield f"{name} has the webhook secrets {sorted(webhooks)}"
        if missing := asked - OPTIONAL - set(env):
            yield f"{name} lacks {sorted(map(str, missing))}"
            continue
        settings = Settings.from_env(env)
        keyed = {f"{prefix}_API_KEY" for prefix, c in settings.credentials.items() if c.key}
        if keyed != (_provider_keys() if name in CALL_PROVIDERS else set()):
            yield f"{name} has the provider keys {sorted(keyed)}"
        if not re.fullmatch(r"https://[^/]+", settings.public_url):
            yield f"{name} makes links to {settings.public_url}"
        if env.get("FUNCTION_USE_ASGI") != "true":
            yield f"{name} leaves the choice of its server to chance"


def secrets_hold_no_value(deployed: Deployed) -> Iterator[str]:
    kept = {s["secret_id"] for s in deployed.of("google_secret_manager_secret").values()}
    if kept != {"DARKROOM_SIGNING_SECRET", *_provider_keys(), *SIGNED}:
        yield f"the catalogue's providers have other keys than {sorted(map(str, kept))}"
    for address, version in deployed.of("google_secret_manager_secret_version").items():
        # The data source brings the value along unless it is told not to.
        if version.get("fetch_secret_data") is not False:
            yield f"{address} is in the state"


def new_versions_are_mounted(deployed: Deployed) -> Iterator[str]:
    newest = deployed.each("google_secret_manager_secret_version", "newest")
    for name, service in deployed.functions().items():
        for mounted in service["secret_environment_variables"]:
            if mounted["version"] != newest[mounted["key"]]["version"]:
                yield f"{name} does not get a new version of {mounted['key']}"


def records_are_indexed(deployed: Deployed) -> Iterator[str]:
    indexes = {
        (index["collection"], tuple(_field(field) for field in index["fields"]))
        for index in deployed.of("google_firestore_index").values()
    }
    if indexes != {(c, fields) for c, several in INDEXES.items() for fields in several}:
        yield "the composite indexes differ from shared/records/firestore.py"
    exempt = {
        (field["collection"], field["field"])
        for field in deployed.of("google_firestore_field").values()
        if field["index_config"] == [{"indexes": []}]
    }
    if exempt != {(c, field) for c, fields in UNINDEXED.items() for field in fields}:
        yield "the exempted fields differ from shared/records/firestore.py"


def records_are_protected(deployed: Deployed) -> Iterator[str]:
    for address, database in deployed.of("google_firestore_database").items():
        if database["delete_protection_state"] != "DELETE_PROTECTION_ENABLED":
            yield f"{address} can be deleted"
        if database["deletion_policy"] != "PREVENT":
            yield f"Terraform may delete or forget {address}"


def records_expire_as_written(deployed: Deployed) -> Iterator[str]:
    policies = {
        (field["collection"], field["field"])
        for field in deployed.of("google_firestore_field").values()
        if field["ttl_config"]
    }
    # A policy on another field deletes what must stay: entries have an `expires_at`, too.
    if policies != set(TTL.items()):
        yield f"Firestore deletes by {sorted(policies)}, written is {sorted(TTL.items())}"


def records_can_be_restored(deployed: Deployed) -> Iterator[str]:
    for address, database in deployed.of("google_firestore_database").items():
        if database["point_in_time_recovery_enablement"] != "POINT_IN_TIME_RECOVERY_ENABLED":
            yield f"{address} keeps no past versions"
    days = {
        bool(schedule["daily_recurrence"]): int(schedule["retention"].removesuffix("s")) / 86_400
        for schedule in deployed.of("google_firestore_backup_schedule").values()
    }
    if True not in days:
        yield "more than a day would be lost with the database"
    # Past versions reach back a week.
    if max(days.values(), default=0) <= 7:
        yield "no backup is older than the past versions"


def callers_may_wait(deployed: Deployed) -> Iterator[str]:
    (longest,) = (
        bound.le
        for bound in GenerateBody.model_fields["timeout_s"].metadata
        if hasattr(bound, "le")
    )
    for name in sorted(CALL_PROVIDERS - PRIVATE):
        if deployed.functions()[name]["timeout_seconds"] < longest:
            yield f"{name} is cut off before the {longest} s a caller may wait"


def source_is_what_runs(deployed: Deployed) -> Iterator[str]:
    (archive,) = deployed.of("archive_file").values()
    patterns = archive["excludes"]
    names = {path.partition("/")[0] for path in tree.files()}
    top = {name for name in names if not excluded(name, patterns)}
    if excluded(".", patterns):
        yield "the folder itself is left out"
    if top != {"functions", "main.py", "requirements.txt", "shared"}:
        yield f"deployed would be {sorted(top)}"
    if not excluded("shared/__pycache__", patterns):
        yield "compiled files change the hash"
    (source,) = deployed.of("google_storage_bucket_object").values()
    if source["name"] != f"source-{archive['output_sha256']}.zip":
        yield "new code would not be deployed"


def outputs_are_of_what_is_deployed(deployed: Deployed) -> Iterator[str]:
    for name, value in deployed.outputs["operator_env"].items():
        given = {f["environment_variables"].get(name) for f in deployed.functions().values()}
        if given != {value}:
            yield f"operators would work with {name}={value}, functions with {given}"
    urls = deployed.outputs["base_urls"]
    root = deployed.outputs["operator_env"]["DARKROOM_PUBLIC_URL"]
    if set(urls.values()) != {
        root,
        f"{root}/gemini",
        f"{root}/openai/v1",
        f"{root}/provider-webhook/openai",
        f"{root}/studio",
    }:
        yield f"SDKs would ask {sorted(urls.values())}"


def values_are_possible(deployed: Deployed) -> Iterator[str]:
    yield from impossible(deployed.resources)


PROMISES: tuple[Promise, ...] = (
    *EVENT_PROMISES,
    buckets_are_private,
    builds_may_read_the_source,
    callers_may_wait,
    functions_are_those_of_main,
    functions_fit_a_new_project,
    functions_run_as_themselves,
    new_versions_are_mounted,
    outputs_are_of_what_is_deployed,
    records_are_indexed,
    records_are_protected,
    records_can_be_restored,
    records_expire_as_written,
    roles_are_narrow,
    secrets_hold_no_value,
    settings_are_given,
    source_is_what_runs,
    values_are_possible,
)


def _provider_keys() -> set[str]:
    rows = tomllib.loads((ROOT / "shared" / "catalogue" / "providers.toml").read_text())
    keyed = (row for row in rows["provider"] if row.get("auth") != "service-account")
    return {f"{row['env']}_API_KEY" for row in keyed}


def _field(field: dict[str, Any]) -> str:
    name: str = field["field_path"]
    return f"{name} desc" if field["order"] == "DESCENDING" else name


def excluded(path: str, patterns: list[str]) -> bool:
    """As the archive provider matches a path below the project, without going into what it has
    left out: `*` stays within a folder, a leading `**/` means any folder (its source, 2.8)."""
    name = path.rpartition("/")[2]
    return any(
        fnmatch.fnmatchcase(name, pattern.removeprefix("**/"))
        for pattern in patterns
        if pattern.startswith("**/") or "/" not in path
    )

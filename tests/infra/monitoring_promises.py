"""What the module promises of metrics, alerts and the dashboard: that they count what the code
logs, never the sandbox, and that somebody is told."""

from __future__ import annotations

import ast
import functools
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared import errors
from shared.links import Links
from tests.infra.deployed import PRIVATE, Deployed, Promise

ROOT = Path(__file__).parents[2]
ALERTS = {
    "dead": (r"num_undelivered_messages", "> 0"),
    "errors": (r"outcome=\"failed\"", "> 5\n"),
    "latency": (r"histogram_quantile\(0\.95", "> 180000\n"),
    "provider": (r"providers_downed", "> 0"),
    "spend": (r"cost_micros_sum", "/ 1000000 > 100"),
    "sweep": (r"request_count", "or vector(0)) < 1"),
}
"""By alert, what one of its conditions looks at, and when it is met with the run's variables."""
OURS = "logging.googleapis.com/user/"
RUN = frozenset({"location", "monitored_resource", "service_name"})
QUEUE = frozenset({"monitored_resource", "subscription_id"})
GOOGLES = {
    "pubsub.googleapis.com/subscription/num_undelivered_messages": QUEUE,
    "pubsub.googleapis.com/subscription/oldest_unacked_message_age": QUEUE,
    "run.googleapis.com/container/instance_count": RUN | {"state"},
    "run.googleapis.com/container/max_request_concurrencies_bucket": RUN | {"state"},
    "run.googleapis.com/request_count": RUN | {"response_code", "response_code_class"},
}
"""Metrics that Google keeps, as PromQL names them, with their labels
(docs.cloud.google.com/monitoring/api/metrics_gcp_p_z, 2026-11)."""
OUTCOMES = {"succeeded", "cached", "cancelled", "refused", "failed"}
"""Of a request, as shared/metrics.py has them."""
NEVER_SANDBOX = {"provider.down"}
"""Events that no test key causes: transport.py keeps its calls from the breaker."""
LONGEST_DAY = {"1d"}
"""What is looked back on for a day: a metric made from the log reaches 25 hours
(docs.cloud.google.com/monitoring/alerts/using-promql, 2026-11)."""

_SELECTOR = re.compile(r'\{"([^"]+)"((?:, \w+=~?"[^"]*")*)\}')
_MATCHER = re.compile(r'(\w+)=~?"([^"]*)"')
_GROUPED = re.compile(r"by \(([^)]*)\)")
_FIELD = re.compile(r"jsonPayload\.(\w+)")


@dataclass(frozen=True)
class Selector:
    """Series that a query asks for: the metric as PromQL names it, and the values of labels."""

    metric: str
    labels: Mapping[str, frozenset[str]]


@functools.cache
def logged() -> Mapping[str, frozenset[str]]:
    """By event, the fields that every line of it has."""
    found: dict[str, frozenset[str]] = {}
    for file in (file for name in ("shared", "functions") for file in (ROOT / name).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr="event"),
                    args=[ast.Constant(value=str(name))],
                    keywords=keywords,
                ):
                    fields = frozenset(k.arg for k in keywords if k.arg)
                    found[name] = found.get(name, fields) & fields
    return found


def selectors(query: str) -> list[Selector]:
    """Every series that a query names."""
    return [
        Selector(name, {k: frozenset(v.split("|")) for k, v in _MATCHER.findall(labels)})
        for name, labels in _SELECTOR.findall(query)
    ]


def charts(deployed: Deployed) -> list[dict[str, Any]]:
    """The tiles of the dashboard."""
    (dashboard,) = deployed.of("google_monitoring_dashboard").values()
    tiles: list[dict[str, Any]] = json.loads(dashboard["dashboard_json"])["mosaicLayout"]["tiles"]
    return tiles


def queries(deployed: Deployed) -> Iterator[tuple[str, str]]:
    """Every query, with what asks it."""
    for policy in deployed.of("google_monitoring_alert_policy").values():
        for condition in policy["conditions"]:
            for promql in condition["condition_prometheus_query_language"]:
                yield policy["display_name"], promql["query"]
    for tile in charts(deployed):
        for line in tile["widget"].get("xyChart", {}).get("dataSets", []):
            yield tile["widget"]["title"], line["timeSeriesQuery"]["prometheusQuery"]


def events_of(metric: Mapping[str, Any]) -> set[str]:
    """The events that a metric counts."""
    listed = re.search(r"jsonPayload\.event=\(([^)]*)\)", metric["filter"])
    return set(re.findall(r'"([^"]+)"', listed[1])) if listed else set()


def metrics_count_what_is_logged(deployed: Deployed) -> Iterator[str]:
    for metric in deployed.of("google_logging_metric").values():
        extracted = (metric["value_extractor"] or "", *metric["label_extractors"].values())
        taken = (metric["filter"], *extracted)
        fields = {field for text in taken for field in _FIELD.findall(text)} - {"event"}
        events = events_of(metric)
        if not events:
            yield f"{metric['name']} counts no event"
        for event in events:
            if event not in logged():
                yield f"{metric['name']} counts {event}, which is never logged"
            elif without := fields - logged()[event]:
                yield f"{metric['name']} takes {sorted(without)} from {event}, which has none"


def metrics_count_our_functions(deployed: Deployed) -> Iterator[str]:
    functions = deployed.of("google_cloudfunctions2_function").values()
    services = sorted(function["name"] for function in functions)
    (region,) = {function["location"] for function in functions}
    listed = " OR ".join(f'"{name}"' for name in services)
    ours = (
        f'resource.type="cloud_run_revision" AND resource.labels.location="{region}" AND '
        f"resource.labels.service_name=({listed}) AND "
    )
    for metric in deployed.of("google_logging_metric").values():
        if not metric["filter"].startswith(ours):
            yield f"{metric['name']} counts other lines than those of {services}"


def metrics_are_well_formed(deployed: Deployed) -> Iterator[str]:
    """The rules of the Logging API (docs.cloud.google.com/logging/docs/reference/v2/rest/v2/
    projects.metrics, 2026-11), and our own: few labels, and no distribution without a use."""
    for metric in deployed.of("google_logging_metric").values():
        (described,) = metric["metric_descriptor"]
        labels = {label["key"] for label in described["labels"]}
        if labels != set(metric["label_extractors"]) or len(labels) > 4:
            yield f"{metric['name']} has labels that nothing fills, or too many"
        measured = described["value_type"] == "DISTRIBUTION"
        if not measured == bool(metric["value_extractor"]) == bool(metric["bucket_options"]):
            yield f"{metric['name']} is neither a count nor a distribution"
        if described["metric_kind"] != "DELTA":
            yield f"{metric['name']} is refused"


def latencies_are_told_apart(deployed: Deployed) -> Iterator[str]:
    """A quantile is guessed within its bucket, and never lies above the last bound."""
    for metric in deployed.of("google_logging_metric").values():
        if metric["metric_descriptor"][0]["unit"] != "ms":
            continue
        (bounds,) = (b["bounds"] for o in metric["bucket_options"] for b in o["explicit_buckets"])
        if any(after > 2 * before for before, after in itertools.pairwise(bounds)):
            yield f"{metric['name']} has buckets wider than a factor of two"
        if bounds != sorted(set(bounds)) or bounds[0] > 1_000 or bounds[-1] <= 3_600_000:
            yield f"{metric['name']} does not reach from a second to beyond alert_latency_s"


def the_sandbox_is_not_counted(deployed: Deployed) -> Iterator[str]:
    for metric in deployed.of("google_logging_metric").values():
        sandboxless = "jsonPayload.sandbox=false" in metric["filter"].split(" AND ")
        if not sandboxless and not events_of(metric) <= NEVER_SANDBOX:
            yield f"{metric['name']} counts what test keys ask for"
    private = {name.replace("_", "-") for name in PRIVATE}
    for policy in deployed.of("google_monitoring_alert_policy").values():
        for condition in policy["conditions"]:
            (promql,) = condition["condition_prometheus_query_language"]
            for asked in selectors(promql["query"]):
                # The sandbox imitates a provider's failures, which callers are answered 502 to 504.
                failed = "5xx" in asked.labels.get("response_code_class", ())
                if failed and not asked.labels.get("service_name", {""}) <= private:
                    yield f"{policy['display_name']} for what the sandbox was asked to do"


def queries_find_their_metrics(deployed: Deployed) -> Iterator[str]:
    known = dict(GOOGLES)
    for metric in deployed.of("google_logging_metric").values():
        (described,) = metric["metric_descriptor"]
        labels = RUN | {label["key"] for label in described["labels"]}
        measured = described["value_type"] == "DISTRIBUTION"
        for suffix in ("_bucket", "_count", "_sum") if measured else ("",):
            known[f"{OURS}{metric['name']}{suffix}"] = labels
    for where, query in queries(deployed):
        found = selectors(query)
        plain = query.replace("${__interval}", "5m")
        if len(found) != plain.count("{") or plain.count("(") != plain.count(")"):
            yield f"{where}: a selector is not understood in {query}"
        grouped = {label for by in _GROUPED.findall(query) for label in by.split(", ")} - {"le"}
        for asked in found:
            if asked.metric not in known:
                yield f"{where}: there is no metric {asked.metric}"
            elif unknown := (set(asked.labels) | grouped) - known[asked.metric]:
                yield f"{where}: {asked.metric} has no label {sorted(unknown)}"
            elif "monitored_resource" not in asked.labels:
                yield f"{where}: {asked.metric} is kept of several kinds of resource"


def queries_ask_for_outcomes_there_are(deployed: Deployed) -> Iterator[str]:
    codes = {error.code for error in errors.every()} | {"succeeded"}
    for where, query in queries(deployed):
        for asked in selectors(query):
            there = codes if "/call" in asked.metric else OUTCOMES
            if unknown := asked.labels.get("outcome", frozenset()) - there:
                yield f"{where}: nothing ends as {sorted(unknown)}"


def alerts_tell_somebody(deployed: Deployed) -> Iterator[str]:
    channels = deployed.of("google_monitoring_notification_channel").values()
    for policy in deployed.of("google_monitoring_alert_policy").values():
        name = policy["display_name"]
        if policy["notification_channels"] != [channel["id"] for channel in channels]:
            yield f"nobody is told that {name}"
        title = name.removeprefix("Darkroom: ")
        more = f'\n\nMore in infra/README.md, under "{title}".'
        documents = [document["content"] for document in policy["documentation"]]
        if not all(text.endswith(more) and text != more for text in documents) or not documents:
            yield f"nobody is told what to do when {name}"
        if [strategy["auto_close"] for strategy in policy["alert_strategy"]] != ["3600s"]:
            yield f"{name} stays open for a week"


def alerts_watch_what_goes_wrong(deployed: Deployed) -> Iterator[str]:
    policies = deployed.each("google_monitoring_alert_policy", "alert")
    if set(policies) != set(ALERTS):
        yield f"there are alerts of {sorted(policies)}"
        return
    for name, (watched, met) in ALERTS.items():
        promqls = [
            promql
            for condition in policies[name]["conditions"]
            for promql in condition["condition_prometheus_query_language"]
        ]
        if not any(re.search(watched, p["query"]) and met in f"{p['query']}\n" for p in promqls):
            yield f"{name} is not met as its variable says"
        # Else the first apply fails (hashicorp/terraform-provider-google#11102).
        if not all(promql["disable_metric_validation"] for promql in promqls):
            yield f"{name} is refused until its metric is known"
        spans = {span for p in promqls for span in re.findall(r"\[(\w+)\]", p["query"])}
        if (name == "spend") != (spans == LONGEST_DAY):
            yield f"{name} looks back {sorted(spans)}"


def alerts_wake_nobody_for_one(deployed: Deployed) -> Iterator[str]:
    """A share or a quantile of few is no sign."""
    for policy in deployed.of("google_monitoring_alert_policy").values():
        for condition in policy["conditions"]:
            (promql,) = condition["condition_prometheus_query_language"]
            of_few = "\n" in promql["query"]
            if of_few and not re.search(r"\nand [^>]* > [1-9]\d*$", promql["query"]):
                yield f"{policy['display_name']} after a single one"


def failed_events_are_told(deployed: Deployed) -> Iterator[str]:
    policy = deployed.each("google_monitoring_alert_policy", "alert")["dead"]
    (promql,) = policy["conditions"][0]["condition_prometheus_query_language"]
    watched = {name for s in selectors(promql["query"]) for name in s.labels["subscription_id"]}
    for dead in deployed.each("google_pubsub_subscription", "dead").values():
        if dead["name"] not in watched:
            yield f"nobody watches {dead['name']}"


def a_sweep_that_fails_is_told(deployed: Deployed) -> Iterator[str]:
    policy = deployed.each("google_monitoring_alert_policy", "alert")["sweep"]
    (promql,) = policy["conditions"][0]["condition_prometheus_query_language"]
    (asked,) = selectors(promql["query"])
    by_entry = {
        f["build_config"][0]["entry_point"]: f["name"]
        for f in deployed.of("google_cloudfunctions2_function").values()
    }
    if asked.labels["service_name"] != {by_entry["sweep"]}:
        yield "another function is taken for sweep"
    if asked.labels["response_code_class"] != {"2xx"} or promql["duration"] != "300s":
        yield "a sweep that fails is taken for one"


def the_dashboard_is_laid_out(deployed: Deployed) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for tile in charts(deployed):
        title, left, top = tile["widget"]["title"], tile.get("xPos", 0), tile.get("yPos", 0)
        if left + tile["width"] > 48:
            yield f"{title} is wider than the dashboard"
        for place in (
            (x, y)
            for x in range(left, left + tile["width"])
            for y in range(top, top + tile["height"])
        ):
            if taken.setdefault(place, title) != title:
                yield f"{title} lies on {taken[place]}"
                break


def the_dashboard_shows_every_metric(deployed: Deployed) -> Iterator[str]:
    shown = {
        asked.metric
        for tile in charts(deployed)
        for line in tile["widget"].get("xyChart", {}).get("dataSets", [])
        for asked in selectors(line["timeSeriesQuery"]["prometheusQuery"])
    }
    for metric in deployed.of("google_logging_metric").values():
        if not any(name.startswith(f"{OURS}{metric['name']}") for name in shown):
            yield f"no chart shows {metric['name']}"
    widgets = [tile["widget"] for tile in charts(deployed)]
    filters = [widget["logsPanel"]["filter"] for widget in widgets if "logsPanel" in widget]
    if [text.rpartition("\n")[2] for text in filters] != ["severity>=ERROR"]:
        yield "no panel lists the errors"


def the_guide_knows_every_alert(deployed: Deployed) -> Iterator[str]:
    guide = (ROOT / "infra" / "README.md").read_text()
    for policy in deployed.of("google_monitoring_alert_policy").values():
        name = policy["display_name"].removeprefix("Darkroom: ")
        if f"\n### {name}\n" not in guide:
            yield f"infra/README.md does not say what to do when {name}"


def keys_in_addresses_are_not_logged(deployed: Deployed) -> Iterator[str]:
    (exclusion,) = deployed.of("google_logging_project_exclusion").values()
    pattern = exclusion["filter"].partition('requestUrl=~"')[2].rpartition('"')[0]
    image = Links("https://x.example", b"s").image("img_1", datetime(2026, 11, 21, tzinfo=UTC))[0]
    for url in (image, "https://x.example/gemini/v1/models?alt=sse&key=dk_secret"):
        if not pattern or not re.search(pattern, url):
            yield f"Google's own logs would hold {url}"
    if re.search(pattern, "https://x.example/models?sort=price"):
        yield "nobody's requests are logged"


def the_budget_is_watched(deployed: Deployed) -> Iterator[str]:
    (project,) = deployed.of("google_project").values()
    channels = deployed.of("google_monitoring_notification_channel").values()
    (budget,) = deployed.of("google_billing_budget").values()
    if [f["projects"] for f in budget["budget_filter"]] != [[f"projects/{project['number']}"]]:
        yield "the budget is for more than this project"
    rules = {(rule["threshold_percent"], rule["spend_basis"]) for rule in budget["threshold_rules"]}
    if rules != {(0.5, None), (1, None), (1, "FORECASTED_SPEND")}:
        yield f"the budget tells at {rules}"
    told = [rule["monitoring_notification_channels"] for rule in budget["all_updates_rule"]]
    if told != [[channel["id"] for channel in channels]]:
        yield "only the billing account's administrators hear of the budget"


MONITORING_PROMISES: tuple[Promise, ...] = (
    a_sweep_that_fails_is_told,
    alerts_tell_somebody,
    alerts_wake_nobody_for_one,
    alerts_watch_what_goes_wrong,
    failed_events_are_told,
    keys_in_addresses_are_not_logged,
    latencies_are_told_apart,
    metrics_are_well_formed,
    metrics_count_our_functions,
    metrics_count_what_is_logged,
    queries_ask_for_outcomes_there_are,
    queries_find_their_metrics,
    the_budget_is_watched,
    the_dashboard_is_laid_out,
    the_dashboard_shows_every_metric,
    the_guide_knows_every_alert,
    the_sandbox_is_not_counted,
)

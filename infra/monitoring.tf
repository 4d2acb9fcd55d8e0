# What the lines of shared/log.py come to, and who is told of what. Queries are PromQL: only they take
# the sum of a distribution, and a metric that Cloud Monitoring knows some minutes after it was made.
locals {
  _services = { for name, function in local.functions : replace(name, "_", "-") => function.public }

  # Every line of our functions.
  _lines = join(" AND ", [
    "resource.type=\"cloud_run_revision\"",
    "resource.labels.location=\"${var.region}\"",
    "resource.labels.service_name=(${join(" OR ", [for name in keys(local._services) : "\"${name}\""])})",
  ])

  # Metrics counted from those lines, and metrics that Google keeps, as PromQL finds them.
  _ours   = "logging.googleapis.com/user/darkroom"
  _run    = "run.googleapis.com"
  _pubsub = "pubsub.googleapis.com/subscription"

  _here    = "monitored_resource=\"cloud_run_revision\", location=\"${var.region}\""
  _all     = "${local._here}, service_name=~\"${join("|", keys(local._services))}\""
  _public  = "${local._here}, service_name=~\"${join("|", [for name, public in local._services : name if public])}\""
  _private = "${local._here}, service_name=~\"${join("|", [for name, public in local._services : name if !public])}\""

  _queue  = "monitored_resource=\"pubsub_subscription\""
  _dead   = "${local._queue}, subscription_id=~\"${join("|", [for s in google_pubsub_subscription.dead : s.name])}\""
  _pushed = "${local._queue}, subscription_id=~\"${join("|", [for s in google_pubsub_subscription.push : s.name])}\""

  _ends = ["request.ended", "batch.charged"]
  # A call tells what it cost even where its request never ends well, and a provider's batch has none.
  _costs = ["provider.answered", "batch.charged"]
  _maker = ["model", "provider"]
  # Of these only the sum is of use.
  _amounts = [for power in range(0, 25, 2) : pow(2, power)]

  # Finer than a factor of two everywhere, and up to the longest that anybody waits.
  _latencies_ms = [
    for s in [0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 420, 600, 900, 1800, 3600, 7200] : s * 1000
  ]

  # With a `value` the metric has its distribution, of which charts and alerts take the sum or a
  # quantile; without, it counts the lines. Each label multiplies the series, so they are few.
  _metrics = {
    requests         = { events = ["request.ended"], labels = ["operation", "model", "provider", "outcome"], value = null, bounds = null }
    request_latency  = { events = ["request.ended"], labels = ["operation", "model", "outcome"], value = "latency_ms", bounds = local._latencies_ms }
    calls            = { events = ["provider.answered"], labels = ["model", "provider", "outcome"], value = null, bounds = null }
    call_latency     = { events = ["provider.answered"], labels = ["model", "provider", "outcome"], value = "latency_ms", bounds = local._latencies_ms }
    pictures         = { events = local._ends, labels = local._maker, value = "images", bounds = local._amounts }
    input_tokens     = { events = local._ends, labels = local._maker, value = "input_tokens", bounds = local._amounts }
    output_tokens    = { events = local._ends, labels = local._maker, value = "output_tokens", bounds = local._amounts }
    cost_micros      = { events = local._costs, labels = local._maker, value = "cost_micros", bounds = local._amounts }
    charged_micros   = { events = local._ends, labels = local._maker, value = "charged_micros", bounds = local._amounts }
    providers_downed = { events = ["provider.down"], labels = ["provider"], value = null, bounds = null }
  }

  _alerts = {
    dead = {
      name     = "events have failed too often"
      severity = "ERROR"
      steps    = "An event was tried 20 times and is kept for a week. `shared.cli events dead list` says which and why; mend the cause, then `events dead replay` sends it again."
      conditions = {
        "Dead letters" = {
          lasts = "0s"
          query = <<-EOT
            max by (subscription_id) (max_over_time({"${local._pubsub}/num_undelivered_messages", ${local._dead}}[10m])) > 0
          EOT
        }
      }
    }
    errors = {
      name     = "requests fail"
      severity = "ERROR"
      steps    = "Group the log's `request.ended` lines of outcome `failed` by `code` and `provider`: one provider alone is that provider's fault (turn it off in `enabled_providers`), `internal` is ours (Error Reporting has the traceback; roll back if it came with a deploy). Nothing is charged for what failed."
      conditions = {
        "Requests that fail for a reason that is not the caller's" = {
          lasts = "0s"
          query = <<-EOT
            100 * sum(increase({"${local._ours}/requests", ${local._here}, outcome="failed"}[30m]))
              / sum(increase({"${local._ours}/requests", ${local._here}}[30m])) > ${var.alert_error_percent}
            and sum(increase({"${local._ours}/requests", ${local._here}, outcome="failed"}[30m])) > 2
          EOT
        }
        # 500 is a crash in whatever is public: 502 to 504 may be a provider's or the sandbox's, and
        # what dies without an answer is ended by sweep as a request that failed. Events are other:
        # whatever keeps one from being done is ours.
        "Functions that crash" = {
          lasts = "0s"
          query = <<-EOT
            100 * (
              sum by (service_name) (increase({"${local._run}/request_count", ${local._public}, response_code="500"}[30m]))
              or sum by (service_name) (increase({"${local._run}/request_count", ${local._private}, response_code_class="5xx"}[30m]))
            ) / sum by (service_name) (increase({"${local._run}/request_count", ${local._all}}[30m])) > ${var.alert_error_percent}
            and (
              sum by (service_name) (increase({"${local._run}/request_count", ${local._public}, response_code="500"}[30m]))
              or sum by (service_name) (increase({"${local._run}/request_count", ${local._private}, response_code_class="5xx"}[30m]))
            ) > 2
          EOT
        }
      }
    }
    latency = {
      name     = "requests are slow"
      severity = "WARNING"
      steps    = "Compare the dashboard's latency of requests with that of provider calls: as slow, it is the provider (let another route go first, or none); much slower, requests wait here, for instances (raise `max_instances` in `sizes`) or for a provider's rate limit."
      conditions = {
        "p95 latency of requests that made pictures" = {
          lasts = "0s"
          query = <<-EOT
            histogram_quantile(0.95, sum by (le) (increase({"${local._ours}/request_latency_bucket", ${local._here}, operation=~"generate|edit", outcome="succeeded"}[1h]))) > ${var.alert_latency_s * 1000}
            and sum(increase({"${local._ours}/request_latency_count", ${local._here}, operation=~"generate|edit", outcome="succeeded"}[1h])) > 19
          EOT
        }
      }
    }
    provider = {
      name     = "a provider is down"
      severity = "WARNING"
      steps    = "Requests go to other providers of the same model while it lasts, where there are any. See the provider's status page; group `provider.answered` lines by `outcome`: `rate_limited` is a limit of your account there, `provider_unavailable` may also be a key it no longer takes."
      conditions = {
        "A circuit breaker opened" = {
          lasts = "0s"
          query = <<-EOT
            sum by (provider) (increase({"${local._ours}/providers_downed", ${local._here}}[15m])) > 0
          EOT
        }
        "Most calls fail" = {
          lasts = "0s"
          query = <<-EOT
            sum by (provider) (increase({"${local._ours}/calls", ${local._here}, outcome=~"outcome_unknown|provider_error|provider_unavailable|rate_limited"}[15m]))
              / sum by (provider) (increase({"${local._ours}/calls", ${local._here}}[15m])) > 0.5
            and sum by (provider) (increase({"${local._ours}/calls", ${local._here}}[15m])) > 9
          EOT
        }
      }
    }
    spend = {
      name     = "a day has cost much"
      severity = "WARNING"
      steps    = "The dashboard says which model; `shared.cli accounts list` who may spend. A key that leaked is revoked, an account that spends too fast gets a lower limit, a provider is turned off by taking it out of `enabled_providers`. Nothing is turned off by itself."
      conditions = {
        "What 24 hours' calls have cost at the providers" = {
          lasts = "0s"
          query = <<-EOT
            sum(increase({"${local._ours}/cost_micros_sum", ${local._here}}[1d])) / 1000000 > ${coalesce(var.alert_spend_usd, 0)}
          EOT
        }
      }
    }
    sweep = {
      name     = "nothing sweeps"
      severity = "CRITICAL"
      steps    = "No sweep has succeeded for a quarter of an hour: batches stand still, webhooks wait, holds of dead requests are not freed. See whether the Scheduler job `darkroom-sweep` is paused, and the log of the function `sweep`. Everything due is made good by the next sweep that succeeds."
      conditions = {
        "No successful sweep" = {
          lasts = "300s" # which is also the time that the very first one has
          query = <<-EOT
            (sum(increase({"${local._run}/request_count", ${local._here}, service_name="sweep", response_code_class="2xx"}[10m])) or vector(0)) < 1
          EOT
        }
      }
    }
  }

  # A budget takes five.
  _budget_channels = slice(local._channels, 0, min(5, length(local._channels)))
  _channels        = [for channel in google_monitoring_notification_channel.email : channel.id]
}

# These lines are Google's own and hold whole addresses: Gemini's clients put their key there, and a
# picture's link opens it for whoever reads it.
resource "google_logging_project_exclusion" "links" {
  name        = "darkroom-keys-in-links"
  description = "Request logs of addresses that hold a key or a signature"
  filter      = "resource.type=(\"cloud_run_revision\" OR \"http_load_balancer\") AND httpRequest.requestUrl=~\"[?&](key|signature)=\""

  depends_on = [google_project_service.api]
}

resource "google_logging_metric" "metric" {
  for_each = local._metrics

  name = "darkroom/${each.key}"
  filter = join(" AND ", compact([
    local._lines,
    "jsonPayload.event=(${join(" OR ", [for event in each.value.events : "\"${event}\""])})",
    # What test keys ask for. It trips no breaker.
    each.key == "providers_downed" ? "" : "jsonPayload.sandbox=false",
    each.value.value == null ? "" : "jsonPayload.${each.value.value}>0",
  ]))

  label_extractors = { for label in each.value.labels : label => "EXTRACT(jsonPayload.${label})" }
  value_extractor  = each.value.value == null ? null : "EXTRACT(jsonPayload.${each.value.value})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = each.value.value == null ? "INT64" : "DISTRIBUTION"
    unit        = each.value.value == "latency_ms" ? "ms" : "1"

    dynamic "labels" {
      for_each = toset(each.value.labels)
      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }

  dynamic "bucket_options" {
    for_each = each.value.bounds == null ? [] : [each.value.bounds]
    content {
      explicit_buckets {
        bounds = bucket_options.value
      }
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  display_name = "Darkroom: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }

  depends_on = [google_project_service.api]
}

resource "google_monitoring_alert_policy" "alert" {
  for_each = { for key, alert in local._alerts : key => alert if key != "spend" || var.alert_spend_usd != null }

  display_name          = "Darkroom: ${each.value.name}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local._channels

  dynamic "conditions" {
    for_each = each.value.conditions
    content {
      display_name = conditions.key

      condition_prometheus_query_language {
        query               = trimspace(conditions.value.query)
        duration            = conditions.value.lasts
        evaluation_interval = "60s"
        # See above: the first apply would fail.
        disable_metric_validation = true
      }
    }
  }

  alert_strategy {
    auto_close = "3600s"
  }

  documentation {
    content = "${each.value.steps}\n\nMore in infra/README.md, under \"${each.value.name}\"."
  }

  depends_on = [google_project_service.api]
}

resource "google_billing_budget" "month" {
  for_each = toset(var.billing_account == null ? [] : [var.billing_account])

  billing_account = each.key
  display_name    = "Darkroom in ${var.project}"

  budget_filter {
    projects = ["projects/${data.google_project.here.number}"]
  }

  amount {
    specified_amount {
      units = var.monthly_budget # in the account's currency: another one is refused
    }
  }

  threshold_rules {
    threshold_percent = 0.5
  }
  threshold_rules {
    threshold_percent = 1.0
  }
  threshold_rules {
    threshold_percent = 1.0
    spend_basis       = "FORECASTED_SPEND"
  }

  # Beside the billing account's administrators, who hear of it anyway.
  dynamic "all_updates_rule" {
    for_each = length(local._budget_channels) == 0 ? [] : [local._budget_channels]
    content {
      monitoring_notification_channels = all_updates_rule.value
    }
  }

  depends_on = [google_project_service.api]
}

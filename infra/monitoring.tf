resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  display_name = "Darkroom: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }

  depends_on = [google_project_service.api]
}

# An event that failed too often is kept for a week only.
resource "google_monitoring_alert_policy" "dead" {
  display_name          = "Darkroom: events have failed too often"
  combiner              = "OR"
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]

  conditions {
    display_name = "Dead letters"

    condition_threshold {
      filter = join(" AND ", [
        "resource.type = \"pubsub_subscription\"",
        "metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\"",
        "resource.label.subscription_id = one_of(${join(", ", [for s in google_pubsub_subscription.dead : "\"${s.name}\""])})",
      ])
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    content = "`shared.cli events dead list` says which and why, `events dead replay` sends one again: infra/README.md."
  }
}

resource "google_pubsub_topic" "sweep" {
  name = "${local.topic_prefix}sweep"

  depends_on = [google_project_service.api]
}

resource "google_cloud_scheduler_job" "sweep" {
  name      = "${local.topic_prefix}sweep"
  region    = var.region
  schedule  = "* * * * *"
  time_zone = "Etc/UTC"

  pubsub_target {
    topic_name = google_pubsub_topic.sweep.id
    data       = base64encode("tick")
  }
}

resource "google_pubsub_subscription" "sweep" {
  name                 = "${local.topic_prefix}sweep-push"
  topic                = google_pubsub_topic.sweep.id
  ack_deadline_seconds = 600
  # The shortest there is, and no dead letters: the next minute's tick does the same work.
  message_retention_duration = "600s"

  expiration_policy {
    ttl = "" # never; by default a subscription without pushes for 31 days is deleted
  }

  push_config {
    push_endpoint = google_cloudfunctions2_function.function["sweep"].service_config[0].uri

    oidc_token {
      audience              = google_cloudfunctions2_function.function["sweep"].service_config[0].uri
      service_account_email = google_service_account.pusher.email
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "60s"
  }

  lifecycle {
    precondition {
      condition     = local.functions.sweep.timeout_s <= 600
      error_message = "Pub/Sub would push a tick again while its sweep still runs."
    }
  }
}

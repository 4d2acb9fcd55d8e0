# What shared/events publishes to, and which function hears of it.
locals {
  topic_prefix = "darkroom-"

  topics = {
    batch-callbacks = "batch_callback"
    requests        = "run_request"
  }

  pubsub_agent = "serviceAccount:service-${data.google_project.here.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

data "google_project" "here" {
  project_id = var.project
}

resource "google_pubsub_topic" "topic" {
  for_each = local.topics

  name = "${local.topic_prefix}${each.key}"

  depends_on = [google_project_service.api]
}

resource "google_pubsub_topic" "dead" {
  for_each = local.topics

  name = "${local.topic_prefix}${each.key}-dead"

  depends_on = [google_project_service.api]
}

resource "google_pubsub_subscription" "push" {
  for_each = local.topics

  name                       = "${local.topic_prefix}${each.key}-push"
  topic                      = google_pubsub_topic.topic[each.key].id
  ack_deadline_seconds       = 600
  message_retention_duration = "604800s"

  dead_letter_policy {
    dead_letter_topic = google_pubsub_topic.dead[each.key].id
    # Some two hours. A push that finds every instance busy is a try too.
    max_delivery_attempts = 20
  }

  expiration_policy {
    ttl = "" # never; by default a subscription without pushes for 31 days is deleted
  }

  push_config {
    push_endpoint = google_cloudfunctions2_function.function[each.value].service_config[0].uri

    oidc_token {
      audience              = google_cloudfunctions2_function.function[each.value].service_config[0].uri
      service_account_email = google_service_account.pusher.email
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  lifecycle {
    precondition {
      condition     = local.functions[each.value].timeout_s <= 600
      error_message = "Pub/Sub would push an event again while ${each.value} still works on it."
    }
  }
}

# Where `shared.cli events dead` finds them. A topic without a subscription keeps nothing.
resource "google_pubsub_subscription" "dead" {
  for_each = local.topics

  name                       = google_pubsub_topic.dead[each.key].name
  topic                      = google_pubsub_topic.dead[each.key].id
  ack_deadline_seconds       = 60 # what is only listed is given back at once
  message_retention_duration = "604800s"

  expiration_policy {
    ttl = "" # never
  }
}

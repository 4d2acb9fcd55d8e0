locals {
  _grants = merge([
    for name, function in local.functions : {
      for on, role in function.roles : "${name} on ${on}" => { function = name, on = on, role = role }
    }
  ]...)

  _publishers = merge([
    for name, function in local.functions : {
      for topic in function.publishes : "${name} to ${topic}" => { function = name, topic = topic }
    }
  ]...)

  _buckets = {
    bucket  = google_storage_bucket.images.name
    uploads = google_storage_bucket.uploads.name
  }

  _mounts = merge([
    for name, secrets in local.mounts : {
      for secret in secrets : "${name} ${secret}" => { function = name, secret = secret }
    }
  ]...)
}

resource "google_service_account" "function" {
  for_each = local.functions

  account_id   = "fn-${replace(each.key, "_", "-")}"
  display_name = "Darkroom function ${each.key}"

  depends_on = [google_project_service.api]
}

resource "google_service_account" "builder" {
  account_id   = "darkroom-builder"
  display_name = "Darkroom: builds the functions"

  depends_on = [google_project_service.api]
}

resource "google_service_account" "pusher" {
  account_id   = "darkroom-pusher"
  display_name = "Darkroom: whom events call private functions as"

  depends_on = [google_project_service.api]
}

resource "google_storage_bucket_iam_member" "function" {
  for_each = { for key, grant in local._grants : key => grant if contains(keys(local._buckets), grant.on) }

  bucket = local._buckets[each.value.on]
  role   = each.value.role
  member = google_service_account.function[each.value.function].member
}

resource "google_project_iam_member" "function" {
  for_each = { for key, grant in local._grants : key => grant if grant.on == "database" }

  project = var.project
  role    = each.value.role
  member  = google_service_account.function[each.value.function].member

  # Firestore has no bindings of its own: a condition keeps it to the one database.
  condition {
    title      = "database-${var.database}"
    expression = "resource.name == \"projects/${var.project}/databases/${var.database}\""
  }
}

# Vertex AI has no smaller role that may ask a model for something.
resource "google_project_iam_member" "vertex" {
  for_each = var.vertex_location == null ? [] : local.calls_providers

  project = var.project
  role    = "roles/aiplatform.user"
  member  = google_service_account.function[each.key].member
}

resource "google_service_account_iam_member" "function" {
  for_each = { for key, grant in local._grants : key => grant if grant.on == "itself" }

  service_account_id = google_service_account.function[each.value.function].name
  role               = each.value.role
  member             = google_service_account.function[each.value.function].member
}

resource "google_secret_manager_secret_iam_member" "function" {
  for_each = local._mounts

  secret_id = google_secret_manager_secret.secret[each.value.secret].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.function[each.value.function].member
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = local._publishers

  topic  = google_pubsub_topic.topic[each.value.topic].id
  role   = "roles/pubsub.publisher"
  member = google_service_account.function[each.value.function].member
}

# Pub/Sub itself carries what failed too often from a subscription to the dead letters.
resource "google_pubsub_topic_iam_member" "dead" {
  for_each = local.topics

  topic  = google_pubsub_topic.dead[each.key].id
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "dead" {
  for_each = local.topics

  subscription = google_pubsub_subscription.push[each.key].id
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# Cloud Storage says what was uploaded on a topic that Eventarc makes: it has no name to bind to.
data "google_storage_project_service_account" "agent" {
  project = var.project
}

resource "google_project_iam_member" "storage_agent" {
  project = var.project
  role    = "roles/pubsub.publisher"
  member  = data.google_storage_project_service_account.agent.member
}

resource "google_project_iam_member" "eventarc" {
  project = var.project
  role    = "roles/eventarc.eventReceiver"
  member  = google_service_account.pusher.member
}

resource "google_project_iam_member" "builder" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.builder.member
}

# Builds read a copy of the source, in a bucket that Cloud Functions makes for the first of them: it
# has no name to bind to before.
resource "google_project_iam_member" "builder_source" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = google_service_account.builder.member

  condition {
    title      = "copies-of-the-source"
    expression = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${data.google_project.here.number}-${var.region}\")"
  }
}

resource "google_storage_bucket_iam_member" "builder" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.builder.member
}

resource "google_artifact_registry_repository_iam_member" "builder" {
  repository = google_artifact_registry_repository.functions.name
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.builder.member
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = local.functions

  name     = google_cloudfunctions2_function.function[each.key].name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.value.public ? "allUsers" : google_service_account.pusher.member

  # A function that is made anew starts with no invoker.
  lifecycle {
    replace_triggered_by = [google_cloudfunctions2_function.function[each.key].id]
  }
}

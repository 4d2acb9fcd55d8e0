# One entry per function imported in main.py; everything else about functions is derived from it.
# Sizes are estimates, not measurements: a 4K picture takes some 70 MB while it is unpacked.
# 20 instances of 2 GiB are what a new project may have in a region: sizes raises it, after the quota.
# In `secrets` a * stands for every provider in enabled_providers, or in webhook_providers.
locals {
  functions = {
    account = {
      memory        = "1Gi"
      cpu           = "1"
      concurrency   = 40
      timeout_s     = 60
      min_instances = 0
      max_instances = 20
      public        = true
      secrets       = ["DARKROOM_SIGNING_SECRET"]
      publishes     = ["requests"] # that one was cancelled
      roles = {
        bucket   = "roles/storage.objectUser"             # serves pictures, deletes them
        database = "roles/datastore.user"                 # reads records, forgets requests
        itself   = "roles/iam.serviceAccountTokenCreator" # signs upload links with the IAM API
        uploads  = "roles/storage.objectCreator"          # who has such a link writes in its name
      }
    }
    batch = {
      memory        = "1Gi"
      cpu           = "1"
      concurrency   = 10
      timeout_s     = 3600 # reads an upload of up to 2 GB to its end before it answers
      min_instances = 0
      max_instances = 20
      public        = true
      secrets       = ["DARKROOM_SIGNING_SECRET"]
      publishes     = ["batch-callbacks"]
      roles = {
        bucket   = "roles/storage.objectUser"   # stores items, reads results
        database = "roles/datastore.user"       # reserves, reads and cancels batches
        uploads  = "roles/storage.objectViewer" # reads the items uploaded
      }
    }
    batch_callback = {
      memory        = "2Gi"
      cpu           = "1"
      concurrency   = 4   # each may hold a job's input of 64 MB, or a result of several pictures
      timeout_s     = 540 # below the longest time Pub/Sub waits for a push, 600 s
      min_instances = 0
      max_instances = 20
      public        = false
      secrets       = ["DARKROOM_SIGNING_SECRET", "*_API_KEY"]
      publishes     = ["batch-callbacks"] # what did not fit into one call goes on in the next
      roles = {
        bucket   = "roles/storage.objectUser"   # reads items, stores results and pictures
        database = "roles/datastore.user"       # charges what came, ends batches
        uploads  = "roles/storage.objectViewer" # reads sources that items name
      }
    }
    edit = {
      memory        = "2Gi"
      cpu           = "1"
      concurrency   = 10
      timeout_s     = 960 # a caller may wait 900 s
      min_instances = 0
      max_instances = 20
      public        = true
      secrets       = ["DARKROOM_SIGNING_SECRET", "*_API_KEY"]
      publishes     = ["requests"]
      roles = {
        bucket   = "roles/storage.objectUser"   # stores results and turns
        database = "roles/datastore.user"       # reserves, settles and releases
        uploads  = "roles/storage.objectViewer" # reads sources
      }
    }
    gemini = {
      memory        = "2Gi"
      cpu           = "1"
      concurrency   = 10
      timeout_s     = 960 # a caller may wait 900 s
      min_instances = 0
      max_instances = 20
      public        = true
      secrets       = ["DARKROOM_SIGNING_SECRET", "*_API_KEY"]
      publishes     = ["batch-callbacks", "requests"]
      roles = {
        bucket   = "roles/storage.objectUser" # as edit, and keeps the files callers send ahead
        database = "roles/datastore.user"     # reserves, settles and releases
      }
    }
    generate = {
      memory        = "2Gi"
      cpu           = "1"
      concurrency   = 20
      timeout_s     = 960 # a caller may wait 900 s
      min_instances = 0
      max_instances = 20
      public        = true
      secrets       = ["DARKROOM_SIGNING_SECRET", "*_API_KEY"]
      publishes     = ["requests"]
      roles = {
        bucket   = "roles/storage.objectUser" # stores pictures, reads them again for a replay
        database = "roles/datastore.user"     # reserves, settles and releases
      }
    }
    models = {
      memory        = "512Mi"
      cpu           = "1"
      concurrency   = 80
      timeout_s     = 60
      min_instances = 0
      max_instances = 10
      public        = true
      secrets       = ["DARKROOM_SIGNING_SECRET"]
      publishes     = []
      roles         = {} # the catalogue is part of the source
    }
    on_upload = {
      memory        = "1Gi"
      cpu           = "1"
      concurrency   = 4
      timeout_s     = 540 # the longest an event of Cloud Storage may take
      min_instances = 0
      max_instances = 20
      public        = false
      secrets       = ["DARKROOM_SIGNING_SECRET"]
      publishes     = ["batch-callbacks", "requests"]
      roles = {
        bucket   = "roles/storage.objectUser"   # keeps what is to be made of an upload
        database = "roles/datastore.user"       # reserves, as edit and batch do
        uploads  = "roles/storage.objectViewer" # reads what was uploaded
      }
    }
    openai = {
      memory        = "2Gi"
      cpu           = "1"
      concurrency   = 10
      timeout_s     = 960 # a caller may wait 900 s
      min_instances = 0
      max_instances = 20
      public        = true
      secrets       = ["DARKROOM_SIGNING_SECRET", "*_API_KEY"]
      publishes     = ["batch-callbacks", "requests"]
      roles = {
        bucket   = "roles/storage.objectUser"   # reads sources, stores results and turns
        database = "roles/datastore.user"       # reserves, settles and releases
        uploads  = "roles/storage.objectViewer" # reads files that were uploaded here
      }
    }
    provider_webhook = {
      memory        = "512Mi"
      cpu           = "1"
      concurrency   = 80
      timeout_s     = 60
      min_instances = 0
      max_instances = 10
      public        = true
      secrets       = ["DARKROOM_SIGNING_SECRET", "*_WEBHOOK_SECRET"]
      publishes     = ["batch-callbacks"]
      roles = {
        bucket = "roles/storage.objectUser" # finds the batch, marks what came before
      }
    }
    run_request = {
      memory        = "2Gi"
      cpu           = "1"
      concurrency   = 10
      timeout_s     = 540 # below the longest time Pub/Sub waits for a push, 600 s
      min_instances = 0
      max_instances = 20
      public        = false
      secrets       = ["DARKROOM_SIGNING_SECRET", "*_API_KEY"]
      publishes     = ["requests"] # that one has ended, for its webhook
      roles = {
        bucket   = "roles/storage.objectUser"   # reads what was asked, stores pictures and turns
        database = "roles/datastore.user"       # takes leases, settles and releases
        uploads  = "roles/storage.objectViewer" # reads sources
      }
    }
    studio = {
      memory        = "512Mi"
      cpu           = "1"
      concurrency   = 80
      timeout_s     = 60
      min_instances = 0
      max_instances = 10
      public        = true
      secrets       = ["DARKROOM_SIGNING_SECRET"]
      publishes     = []
      roles         = {} # the page is part of the source
    }
    sweep = {
      memory        = "1Gi"
      cpu           = "1"
      concurrency   = 1
      timeout_s     = 540 # below the longest time Pub/Sub waits for a push, 600 s
      min_instances = 0
      max_instances = 1 # a second sweep would only race the first
      public        = false
      secrets       = ["DARKROOM_SIGNING_SECRET"]
      publishes     = ["batch-callbacks", "requests"]
      roles = {
        bucket   = "roles/storage.objectViewer" # looks for what a dead instance stored
        database = "roles/datastore.user"       # finds what is due, settles or releases
      }
    }
    three_d = {
      memory        = "2Gi"
      cpu           = "1"
      concurrency   = 10
      timeout_s     = 300 # loads its sources; the model is made later
      min_instances = 0
      max_instances = 20
      public        = true
      secrets       = ["DARKROOM_SIGNING_SECRET"]
      publishes     = ["requests"]
      roles = {
        bucket   = "roles/storage.objectUser"   # keeps what was asked until its turn
        database = "roles/datastore.user"       # reserves
        uploads  = "roles/storage.objectViewer" # reads sources
      }
    }
  }

  _sized = {
    for name, function in local.functions : name => merge(
      function, { for size, value in try(var.sizes[name], {}) : size => value if value != null }
    )
  }

  # What is only set where the operator chose it.
  options = {
    DARKROOM_BLOCKLIST    = var.blocklist
    DARKROOM_CATALOGUE    = var.catalogue
    DARKROOM_CORS_ORIGINS = join(",", var.cors_origins)
    # What the functions without keys may offer.
    DARKROOM_PROVIDERS = join(",", sort(var.enabled_providers))
    VERTEX_LOCATION    = var.vertex_location
  }

  public_url = coalesce(
    var.public_url,
    var.domain_ready ? "https://${var.domain}" : "https://${var.region}-${var.project}.cloudfunctions.net"
  )
}

data "archive_file" "source" {
  type             = "zip"
  source_dir       = "${path.module}/.."
  output_path      = "${path.module}/.build/source.zip"
  output_file_mode = "0644" # the hash must not depend on who zips

  excludes = [
    "**/*.pyc",
    "**/.DS_Store",
    "**/__pycache__",
    "*.md",
    ".?*", # not ".*": that matches the folder itself, and nothing would be left
    "LICENSE",
    "Makefile",
    "build",
    "cloudbuild.yaml",
    "data",
    "dist",
    "docs",
    "env",
    "infra",
    "node_modules",
    "pyproject.toml",
    "requirements*.in",
    "requirements-*.txt",
    "tests",
    "venv",
  ]
}

resource "google_storage_bucket_object" "source" {
  bucket = google_storage_bucket.source.name
  # A new name is what makes the functions build anew.
  name   = "source-${data.archive_file.source.output_sha256}.zip"
  source = data.archive_file.source.output_path
}

resource "google_artifact_registry_repository" "functions" {
  repository_id = "functions"
  location      = var.region
  format        = "DOCKER"

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "2592000s"
    }
  }
  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 3
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_cloudfunctions2_function" "function" {
  for_each = local._sized

  name     = replace(each.key, "_", "-")
  location = var.region

  build_config {
    runtime           = "python313"
    entry_point       = each.key
    service_account   = google_service_account.builder.id
    docker_repository = google_artifact_registry_repository.functions.id
    # Terraform takes a function whose update failed for updated.
    environment_variables = var.rebuild == null ? null : { DARKROOM_REBUILD = var.rebuild }

    automatic_update_policy {}

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source.name
      }
    }
  }

  service_config {
    available_memory                 = each.value.memory
    available_cpu                    = each.value.cpu
    max_instance_request_concurrency = each.value.concurrency
    timeout_seconds                  = each.value.timeout_s
    min_instance_count               = each.value.min_instances
    max_instance_count               = each.value.max_instances
    # Pushes of the project's own subscriptions count as internal. Once there is a load balancer
    # nobody gets past what it turns away.
    ingress_settings = (
      !each.value.public ? "ALLOW_INTERNAL_ONLY" :
      var.domain_ready ? "ALLOW_INTERNAL_AND_GCLB" : "ALLOW_ALL"
    )
    all_traffic_on_latest_revision = true
    service_account_email          = google_service_account.function[each.key].email

    environment_variables = merge(
      {
        DARKROOM_BUCKET             = google_storage_bucket.images.name
        DARKROOM_FIRESTORE_DATABASE = google_firestore_database.records.name
        DARKROOM_PUBLIC_URL         = local.public_url
        DARKROOM_TOPIC_PREFIX       = local.topic_prefix
        DARKROOM_UPLOADS_BUCKET     = google_storage_bucket.uploads.name
        # Else the framework finds out by importing main.py, and then replaces our logging.
        FUNCTION_USE_ASGI    = "true"
        GOOGLE_CLOUD_PROJECT = var.project
      },
      { for name, value in local.options : name => value if try(length(value), 0) > 0 },
    )

    dynamic "secret_environment_variables" {
      for_each = local.mounts[each.key]
      content {
        key        = secret_environment_variables.value
        project_id = var.project
        secret     = google_secret_manager_secret.secret[secret_environment_variables.value].secret_id
        # Not "latest": a new version is deployed by the next apply, and taken back with it.
        version = data.google_secret_manager_secret_version.newest[secret_environment_variables.value].version
      }
    }
  }

  dynamic "event_trigger" {
    for_each = each.key == "on_upload" ? [google_storage_bucket.uploads] : []
    content {
      event_type            = "google.cloud.storage.object.v1.finalized"
      trigger_region        = lower(event_trigger.value.location)
      service_account_email = google_service_account.pusher.email
      # For a day. Without, what fails once is dropped and called a success.
      retry_policy = "RETRY_POLICY_RETRY"

      # The only filter there is, so uploads have a bucket of their own.
      event_filters {
        attribute = "bucket"
        value     = event_trigger.value.name
      }
    }
  }

  # The build, the first instance and the trigger fail without these, which nothing above refers to.
  depends_on = [
    google_artifact_registry_repository_iam_member.builder,
    google_project_iam_member.builder,
    google_project_iam_member.builder_source,
    google_project_iam_member.eventarc,
    google_project_iam_member.storage_agent,
    google_secret_manager_secret_iam_member.function,
    google_storage_bucket_iam_member.builder,
  ]
}

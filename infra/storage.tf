# What a link for an upload asks to be sent with it; shared/upload_trigger.py names the metadata.
locals {
  upload_headers = concat(
    ["content-type", "x-goog-content-length-range", "x-goog-if-generation-match"],
    [
      for name in [
        "aspect-ratio", "background", "mode", "model", "n", "output-format", "output-quality", "prompt",
        "quality", "resolution", "seed", "template", "test", "trigger", "variables", "webhook-url",
      ] : "x-goog-meta-darkroom-${name}"
    ],
  )
}

resource "google_storage_bucket" "images" {
  name                        = "${var.project}-darkroom-images"
  location                    = var.region
  deletion_policy             = "PREVENT"
  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true

  # A picture its owner deleted can be brought back for a week.
  soft_delete_policy {
    retention_duration_seconds = 604800
  }

  # Files that callers send ahead are promised for 48 hours; ages are whole days.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = 3
      matches_prefix = ["files/"]
    }
  }

  # What a request or a webhook leaves behind when it ends badly: a dead event can be replayed for
  # 7 days, a provider repeats a webhook for 3 days after a batch of 2.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = 8
      matches_prefix = ["begun/", "items/", "jobs/", "queue/", "sandbox/", "webhooks/"]
    }
  }

  # No rule for batches/: a batch's results are the only list of its pictures, and stay as long.
  dynamic "lifecycle_rule" {
    for_each = var.image_retention_days > 0 ? [var.image_retention_days] : []
    content {
      action {
        type = "Delete"
      }
      condition {
        age = lifecycle_rule.value
      }
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_storage_bucket" "source" {
  name                        = "${var.project}-darkroom-source"
  location                    = var.region
  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true
  force_destroy               = true

  # The repository has every version of the source.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  depends_on = [google_project_service.api]
}

resource "google_storage_bucket" "uploads" {
  name                        = "${var.project}-darkroom-uploads"
  location                    = var.region
  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true

  # Pages send uploads straight here, by a signed link.
  dynamic "cors" {
    for_each = length(var.cors_origins) > 0 ? [var.cors_origins] : []
    content {
      origin          = cors.value
      method          = ["PUT"]
      response_header = local.upload_headers
      max_age_seconds = 600
    }
  }

  # Copies of what their owners have.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  # Long enough for what was asked of an upload to have ended: see jobs/ and queue/ above.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 7
    }
  }

  depends_on = [google_project_service.api]
}

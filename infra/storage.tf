resource "google_storage_bucket" "images" {
  name                        = "${var.project}-darkroom-images"
  location                    = var.region
  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true

  # Pages send uploads straight here, by a signed link.
  dynamic "cors" {
    for_each = length(var.cors_origins) > 0 ? [var.cors_origins] : []
    content {
      origin          = cors.value
      method          = ["PUT"]
      response_header = ["content-type", "x-goog-content-length-range"]
      max_age_seconds = 600
    }
  }

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

# What shared/records/firestore.py calls INDEXES and UNINDEXED, in the same notation.
locals {
  indexes = {
    requests = [
      ["account_id", "deleted", "created_at desc"],
      ["account_id", "deleted", "status", "created_at desc"],
      ["account_id", "deleted", "operation", "created_at desc"],
      ["account_id", "deleted", "model", "created_at desc"],
      ["account_id", "deleted", "idempotency_key", "created_at desc"],
      ["account_id", "deleted", "cache_key", "created_at desc"],
      ["status", "lease_until"],
    ]
    batches = [
      ["account_id", "created_at desc"],
      ["account_id", "surface", "created_at desc"],
      ["open", "due_at"],
    ]
    notices = [
      ["state", "due_at"],
    ]
  }

  unindexed = {
    batches   = ["body", "created_at", "due_at", "writer"]
    notices   = ["body", "due_at", "writer"]
    providers = ["calls", "writer"]
    requests  = ["body", "created_at", "lease_until", "writer"]
    shards    = ["lots", "spent", "writer"]
    usage     = ["rows"]
  }
}

resource "google_firestore_database" "records" {
  name                              = var.database
  location_id                       = var.region
  type                              = "FIRESTORE_NATIVE"
  delete_protection_state           = "DELETE_PROTECTION_ENABLED"
  deletion_policy                   = "PREVENT"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"

  depends_on = [google_project_service.api]
}

resource "google_firestore_index" "query" {
  for_each = merge([
    for collection, indexes in local.indexes : {
      for fields in indexes : "${collection}: ${join(", ", fields)}" => {
        collection = collection
        fields     = [for field in fields : split(" ", field)]
      }
    }
  ]...)

  database   = google_firestore_database.records.name
  collection = each.value.collection

  dynamic "fields" {
    for_each = each.value.fields
    content {
      field_path = fields.value[0]
      order      = length(fields.value) > 1 ? "DESCENDING" : "ASCENDING"
    }
  }
}

resource "google_firestore_field" "unindexed" {
  for_each = merge([
    for collection, fields in local.unindexed : {
      for field in fields : "${collection}.${field}" => {
        collection = collection
        field      = field
      }
    }
  ]...)

  database   = google_firestore_database.records.name
  collection = each.value.collection
  field      = each.value.field

  # Empty means none.
  index_config {}
}

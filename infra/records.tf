# What shared/records/firestore.py calls INDEXES, UNINDEXED and TTL, in the same notation.
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

  # Fields of ttl are exempt as well, below.
  unindexed = {
    batches = ["body", "created_at", "due_at", "writer"]
    entries = ["account_id", "expires_at", "grant_id", "id", "kind", "micros", "request_id"]
    notices = ["body", "due_at", "writer"]
    providers = [
      "calls", "free_day", "free_day_count", "free_minute", "free_minute_count", "spent_day",
      "spent_micros", "writer",
    ]
    requests = [
      "account_id", "body", "cache_key", "created_at", "deleted", "id", "idempotency_key",
      "lease_until", "model", "operation", "status", "writer",
    ]
    shards = [
      "day", "day_count", "held", "lots", "minute", "minute_count", "running", "spent", "writer",
    ]
    usage = ["rows"]
  }

  ttl = {
    notices = "expires_at"
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

resource "google_firestore_field" "expiry" {
  for_each = local.ttl

  database   = google_firestore_database.records.name
  collection = each.key
  field      = each.value

  # The policy needs no index, and one on a time that only rises would slow all writes down.
  index_config {}
  ttl_config {}
}

# Every minute of the last week can be read back, but only while the database is there. Backups
# outlive it: a day is lost at most, and what went wrong can be undone for four weeks.
resource "google_firestore_backup_schedule" "daily" {
  database  = google_firestore_database.records.name
  retention = "${7 * 24 * 3600}s"

  daily_recurrence {}
}

resource "google_firestore_backup_schedule" "weekly" {
  database  = google_firestore_database.records.name
  retention = "${28 * 24 * 3600}s"

  weekly_recurrence {
    day = "SUNDAY"
  }
}

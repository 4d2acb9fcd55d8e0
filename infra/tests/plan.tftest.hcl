# Runs against providers that make up what Google would answer: no project is touched.
mock_provider "archive" {}

mock_provider "google" {}

variables {
  project = "darkroom-offline"
}

run "least" {
  command = plan

  assert {
    condition = [
      for rule in google_storage_bucket.images.lifecycle_rule :
      "${one(rule.condition).age} ${join(" ", one(rule.condition).matches_prefix)}"
    ] == ["3 files/", "8 begun/ items/ jobs/ queue/ sandbox/ webhooks/"]
    error_message = "Without a retention nothing is deleted but files that callers send ahead, and leftovers."
  }

  assert {
    condition = keys(local.options) == [
      "DARKROOM_BLOCKLIST", "DARKROOM_CATALOGUE", "DARKROOM_CORS_ORIGINS", "DARKROOM_PROVIDERS", "VERTEX_LOCATION",
    ]
    error_message = "An option that shared/settings.py does not know by its name does nothing."
  }

  assert {
    condition     = length(google_storage_bucket.images.cors) + length(google_storage_bucket.uploads.cors) == 0
    error_message = "Without origins no page may upload."
  }

  assert {
    condition = alltrue([
      for function in google_cloudfunctions2_function.function :
      !contains(keys(function.service_config[0].environment_variables), "DARKROOM_CORS_ORIGINS")
    ])
    error_message = "Without origins no page is let in."
  }

  assert {
    condition = alltrue([
      for function in google_cloudfunctions2_function.function :
      [for secret in function.service_config[0].secret_environment_variables : secret.key] == ["DARKROOM_SIGNING_SECRET"]
    ])
    error_message = "The key of a provider that is not enabled may have no version, so nothing mounts it."
  }
}

run "unknown_provider" {
  command = plan

  variables {
    enabled_providers = ["NOBODY"]
  }

  expect_failures = [var.enabled_providers]
}

run "unknown_webhook" {
  command = plan

  variables {
    webhook_providers = ["ARK"] # sends none
  }

  expect_failures = [var.webhook_providers]
}

run "retention_shorter_than_a_batch" {
  command = plan

  variables {
    image_retention_days = 2
  }

  expect_failures = [var.image_retention_days]
}

run "origin_with_a_path" {
  command = plan

  variables {
    cors_origins = ["https://app.example/"]
  }

  expect_failures = [var.cors_origins]
}

run "ready_without_a_domain" {
  command = plan

  variables {
    domain_ready = true
  }

  expect_failures = [var.domain_ready]
}

run "values_that_google_would_refuse" {
  command = plan

  variables {
    alert_emails = ["ops"]
    database     = "Darkroom"
    region       = "us"
    sizes        = { generate = { cpu = "0.5" } }
  }

  expect_failures = [var.alert_emails, var.database, var.region, var.sizes]
}

run "size_of_no_function" {
  command = plan

  variables {
    sizes = { generat = { min_instances = 1 } }
  }

  expect_failures = [var.sizes]
}

# Every option in use. tests/infra/test_terraform.py reads what it leaves.
run "everything" {
  command = apply

  variables {
    alert_emails         = ["ops@app.example"]
    alert_spend_usd      = 100
    billing_account      = "012345-6789AB-CDEF01"
    cors_origins         = ["https://app.example", "http://[::1]:3000"]
    domain               = "images.app.example"
    domain_ready         = true
    enabled_providers    = ["ARK", "GEMINI", "LAOZHANG", "OPENAI", "OPENROUTER", "THREEDAISTUDIO"]
    image_retention_days = 90
    sizes                = { generate = { min_instances = 1 } }
    vertex_location      = "global"
    webhook_providers    = ["GEMINI", "OPENAI"]
  }

  assert {
    condition = (
      length(google_storage_bucket.images.cors) == 0
      && one(google_storage_bucket.uploads.cors).origin == tolist(["https://app.example", "http://[::1]:3000"])
    )
    error_message = "Pages upload to the bucket of uploads, and nowhere else."
  }
}

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
    ] == ["3 files/"]
    error_message = "Without a retention nothing is deleted but the files that callers send ahead."
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

run "origin_with_a_path" {
  command = plan

  variables {
    cors_origins = ["https://app.example/"]
  }

  expect_failures = [var.cors_origins]
}

# Every option in use. tests/infra/test_terraform.py reads what it leaves.
run "everything" {
  command = apply

  variables {
    cors_origins         = ["https://app.example", "http://[::1]:3000"]
    enabled_providers    = ["ARK", "GEMINI", "LAOZHANG", "OPENAI", "OPENROUTER", "THREEDAISTUDIO"]
    image_retention_days = 90
    vertex_location      = "global"
  }
}

# Runs against providers that make up what Google would answer: no project is touched.
mock_provider "archive" {}

mock_provider "google" {}

variables {
  project = "darkroom-offline"
}

run "least" {
  command = plan

  assert {
    condition     = length(google_storage_bucket.images.lifecycle_rule) == 0
    error_message = "Without a retention nothing is deleted."
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

# Every option in use. tests/infra/test_terraform.py reads what it leaves.
run "everything" {
  command = apply

  variables {
    enabled_providers    = ["ARK", "GEMINI", "LAOZHANG", "OPENAI", "OPENROUTER", "THREEDAISTUDIO"]
    image_retention_days = 90
    vertex_location      = "global"
  }
}

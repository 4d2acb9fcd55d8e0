# Everything with every option in use, planned and applied against a provider that makes up what
# Google would answer. tests/infra/ reads the result.
mock_provider "archive" {}

mock_provider "google" {}

variables {
  enabled_providers    = ["GEMINI"]
  image_retention_days = 90
  project              = "darkroom-offline"
}

run "everything" {
  command = apply
}

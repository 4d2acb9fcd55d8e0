# What infra/README.md makes of an empty project: the sandbox alone. tests/infra/test_deployed.py
# starts it.
mock_provider "archive" {}

mock_provider "google" {}

run "first" {
  command = apply

  variables {
    project = "darkroom-first"
  }
}

# Containers only: a value given here would lie in the state for all its readers.
locals {
  # The `env` of every row of shared/catalogue/providers.toml that has a key.
  providers = toset(["ARK", "GEMINI", "LAOZHANG", "OPENAI", "OPENROUTER", "THREEDAISTUDIO"])

  # A secret is named as the variable it becomes.
  secrets = toset(concat(
    ["DARKROOM_SIGNING_SECRET"],
    [for provider in local.providers : "${provider}_API_KEY"],
  ))

  mounts = {
    for name, function in local.functions : name => concat(
      ["DARKROOM_SIGNING_SECRET"],
      function.calls_providers ? [for provider in var.enabled_providers : "${provider}_API_KEY"] : [],
    )
  }
}

resource "google_secret_manager_secret" "secret" {
  for_each = local.secrets

  secret_id = each.key

  replication {
    auto {}
  }

  depends_on = [google_project_service.api]
}

# Containers only: a value given here would lie in the state for all its readers.
locals {
  # The `env` of every row of shared/catalogue/providers.toml that has a key.
  providers = toset(["ARK", "GEMINI", "LAOZHANG", "OPENAI", "OPENROUTER", "THREEDAISTUDIO"])

  # Those of them that sign their webhooks with a secret.
  webhook_providers = toset(["GEMINI", "OPENAI"])

  # A secret is named as the variable it becomes.
  secrets = toset(concat(
    ["DARKROOM_SIGNING_SECRET"],
    [for provider in local.providers : "${provider}_API_KEY"],
    [for provider in local.webhook_providers : "${provider}_WEBHOOK_SECRET"],
  ))

  mounts = {
    for name, function in local.functions : name => concat(
      ["DARKROOM_SIGNING_SECRET"],
      function.calls_providers ? [for provider in var.enabled_providers : "${provider}_API_KEY"] : [],
      name == "provider_webhook" ? [for provider in var.webhook_providers : "${provider}_WEBHOOK_SECRET"] : [],
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

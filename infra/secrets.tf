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

  _any = {
    "*_API_KEY"        = [for provider in var.enabled_providers : "${provider}_API_KEY"]
    "*_WEBHOOK_SECRET" = [for provider in var.webhook_providers : "${provider}_WEBHOOK_SECRET"]
  }

  mounts = {
    for name, function in local.functions : name => flatten([
      for secret in function.secrets : lookup(local._any, secret, [secret])
    ])
  }

  calls_providers = toset([
    for name, function in local.functions : name if contains(function.secrets, "*_API_KEY")
  ])
}

resource "google_secret_manager_secret" "secret" {
  for_each = local.secrets

  secret_id = each.key

  replication {
    auto {}
  }

  depends_on = [google_project_service.api]
}

data "google_secret_manager_secret_version" "newest" {
  for_each = toset(flatten(values(local.mounts)))

  secret            = google_secret_manager_secret.secret[each.key].id
  fetch_secret_data = false # its number is enough
}

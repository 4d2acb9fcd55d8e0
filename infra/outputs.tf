# What is copied next: `terraform output`, or `terraform output -raw first_picture`.
output "base_urls" {
  description = "What to put where an SDK takes a base URL, or a webhook's address is asked for."
  value = {
    darkroom       = local.public_url
    gemini         = "${local.public_url}/gemini"
    openai         = "${local.public_url}/openai/v1"
    openai_webhook = "${local.public_url}/provider-webhook/openai"
    studio         = "${local.public_url}/studio"
  }
}

output "dashboard" {
  description = "Where to see how it does."
  value       = "https://console.cloud.google.com/monitoring/dashboards/builder/${basename(google_monitoring_dashboard.dashboard.id)}?project=${var.project}"
}

output "dns_record" {
  description = "What the domain's DNS has to say before its certificate is made; null without a domain."
  value       = var.domain == null ? null : "${var.domain}. A ${one(google_compute_global_address.edge[*].address)}"
}

output "first_picture" {
  description = "A request to try it with, once there is a key."
  value       = <<-CURL
    curl ${local.public_url}/generate -H "Authorization: Bearer $DARKROOM_KEY" -d '{"model": "nano-banana-2-lite", "prompt": "a lighthouse in fog"}'
  CURL
}

output "operator_env" {
  description = "The environment that `python -m shared.cli` needs to work on what is deployed."
  value = {
    DARKROOM_BUCKET             = google_storage_bucket.images.name
    DARKROOM_FIRESTORE_DATABASE = google_firestore_database.records.name
    DARKROOM_PUBLIC_URL         = local.public_url
    DARKROOM_TOPIC_PREFIX       = local.topic_prefix
    DARKROOM_UPLOADS_BUCKET     = google_storage_bucket.uploads.name
    GOOGLE_CLOUD_PROJECT        = var.project
  }
}

output "secrets" {
  description = "The secrets that wait for a version: `gcloud secrets versions add NAME --data-file=-`."
  value       = sort([for secret in google_secret_manager_secret.secret : secret.secret_id])
}

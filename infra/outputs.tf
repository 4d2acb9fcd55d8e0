output "database" {
  description = "The Firestore database with accounts, requests and the ledger."
  value       = google_firestore_database.records.name
}

output "images_bucket" {
  description = "The bucket with the pictures."
  value       = google_storage_bucket.images.name
}

output "public_url" {
  description = "The root of the API."
  value       = local.public_url
}

output "secrets" {
  description = "The secrets to give a version before the functions can start."
  value       = sort([for secret in google_secret_manager_secret.secret : secret.secret_id])
}

output "uploads_bucket" {
  description = "The bucket that uploads go to, and files that are to become edits and batches."
  value       = google_storage_bucket.uploads.name
}

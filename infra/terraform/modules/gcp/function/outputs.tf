output "name" {
  description = "Name of the function, and of the Cloud Run service behind it."
  value       = google_cloudfunctions2_function.this.name
}

output "url" {
  description = "Where records are sent to, and the audience of tokens."
  value       = google_cloudfunctions2_function.this.service_config[0].uri
}

output "bucket" {
  description = "Bucket of the archive."
  value       = google_storage_bucket.archive.name
}

output "service_account" {
  description = "Service account that the function runs as."
  value       = google_service_account.this.email
}

output "destination" {
  description = "A destination of the connector, for its configuration."
  value = {
    type         = "gcp-functions"
    urls         = [google_cloudfunctions2_function.this.service_config[0].uri]
    call-timeout = var.caller_timeout_ms
  }
}

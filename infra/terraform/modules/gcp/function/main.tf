# A private function (2nd generation) that archives to a bucket. One service account may call it: the connector's. Another
# one it runs as: it may make objects in its bucket, and nothing else.

resource "google_service_account" "this" {
  project      = var.project
  account_id   = var.name
  display_name = "Consumer of Aerospike change notifications"
}

resource "google_storage_bucket" "archive" {
  #checkov:skip=CKV_GCP_62:Access logs need a second bucket, and data access audit logs say more.
  project                     = var.project
  name                        = var.bucket
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = var.force_destroy
  labels                      = var.labels

  versioning {
    enabled = true
  }

  lifecycle_rule {
    condition {
      days_since_noncurrent_time = var.noncurrent_days
    }

    action {
      type = "Delete"
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key_name == null ? [] : [var.kms_key_name]

    content {
      default_kms_key_name = encryption.value
    }
  }
}

# An object that is there is never written again, so it need not be allowed to delete.
resource "google_storage_bucket_iam_member" "archive" {
  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectCreator"
  member = "serviceAccount:${google_service_account.this.email}"
}

resource "google_storage_bucket" "source" {
  #checkov:skip=CKV_GCP_62:It holds the code of the function.
  project                     = var.project
  name                        = "${var.bucket}-source"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true
  labels                      = var.labels

  versioning {
    enabled = true
  }
}

resource "google_storage_bucket_object" "source" {
  # New code is a new object, and with it a deployment.
  name   = "${var.name}-${filesha256(var.zip_path)}.zip"
  bucket = google_storage_bucket.source.name
  source = var.zip_path
}

resource "google_cloudfunctions2_function" "this" {
  project     = var.project
  name        = var.name
  location    = var.region
  description = "Consumer of Aerospike change notifications."
  labels      = var.labels

  build_config {
    runtime         = var.runtime
    entry_point     = var.entry_point
    service_account = var.build_service_account

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source.name
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.this.email
    available_memory                 = var.memory
    available_cpu                    = "1"
    timeout_seconds                  = var.timeout_seconds
    min_instance_count               = var.min_instances
    max_instance_count               = var.max_instances
    max_instance_request_concurrency = var.instance_concurrency
    ingress_settings                 = var.ingress
    all_traffic_on_latest_revision   = true
    environment_variables            = merge({ BUCKET = google_storage_bucket.archive.name }, var.environment)
  }

  lifecycle {
    precondition {
      condition     = var.timeout_seconds * 1000 < var.caller_timeout_ms
      error_message = "The connector would give up (caller_timeout_ms) before the function does (timeout_seconds), and send again what is still being processed."
    }
  }
}

# The permission to call is one on the Cloud Run service behind the function, which has its name.
resource "google_cloud_run_service_iam_member" "invoker" {
  project  = var.project
  location = var.region
  service  = google_cloudfunctions2_function.this.name
  role     = "roles/run.invoker"
  member   = "serviceAccount:${var.invoker_email}"
}

mock_provider "google" {
  source = "../../../testing/google"
}

variables {
  project       = "my-project"
  region        = "europe-west3"
  name          = "orders-archive"
  bucket        = "my-project-orders-archive"
  zip_path      = "versions.tf"
  invoker_email = "connector@my-project.iam.gserviceaccount.com"
}

run "only_the_connector_may_call" {
  command = apply

  assert {
    condition     = google_cloud_run_service_iam_member.invoker.role == "roles/run.invoker" && google_cloud_run_service_iam_member.invoker.member == "serviceAccount:connector@my-project.iam.gserviceaccount.com"
    error_message = "One service account, and not everybody."
  }

  assert {
    condition     = google_cloud_run_service_iam_member.invoker.service == google_cloudfunctions2_function.this.name
    error_message = "It may call this function."
  }

  assert {
    condition     = google_cloudfunctions2_function.this.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    error_message = "From the project's own networks."
  }
}

run "runs_with_little" {
  command = apply

  assert {
    condition     = google_cloudfunctions2_function.this.service_config[0].service_account_email == google_service_account.this.email
    error_message = "As a service account of its own."
  }

  assert {
    condition     = google_storage_bucket_iam_member.archive.role == "roles/storage.objectCreator" && google_storage_bucket_iam_member.archive.bucket == google_storage_bucket.archive.name
    error_message = "Which may make objects in its bucket: neither read nor delete them."
  }

  assert {
    condition     = google_cloudfunctions2_function.this.service_config[0].timeout_seconds * 1000 < output.destination["call-timeout"]
    error_message = "The function ends before the connector gives up."
  }
}

run "buckets_are_private" {
  command = apply

  assert {
    condition     = alltrue([for bucket in [google_storage_bucket.archive, google_storage_bucket.source] : bucket.public_access_prevention == "enforced" && bucket.uniform_bucket_level_access && bucket.versioning[0].enabled])
    error_message = "Nobody outside gets in, whatever an object says."
  }
}

run "refuses_everybody" {
  command = plan

  variables {
    invoker_email = "allUsers"
  }

  expect_failures = [var.invoker_email]
}

run "refuses_to_outlast_its_caller" {
  command = plan

  variables {
    timeout_seconds = 7
  }

  expect_failures = [google_cloudfunctions2_function.this]
}

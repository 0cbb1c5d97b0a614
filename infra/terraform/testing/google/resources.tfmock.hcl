# Answers of Google Cloud that the tests are made with, in the forms that the provider checks.

mock_resource "google_service_account" {
  defaults = { email = "made@my-project.iam.gserviceaccount.com", name = "projects/my-project/serviceAccounts/made@my-project.iam.gserviceaccount.com" }
}

mock_resource "google_cloudfunctions2_function" {
  defaults = { service_config = { uri = "https://orders-abcdefghij-ew.a.run.app" } }
}

mock_resource "google_compute_forwarding_rule" {
  defaults = { ip_address = "10.0.4.20" }
}

mock_resource "google_compute_instance_template" {
  defaults = { id = "projects/my-project/regions/europe-west3/instanceTemplates/made" }
}

mock_resource "google_compute_region_health_check" {
  defaults = { id = "projects/my-project/regions/europe-west3/healthChecks/made" }
}

mock_resource "google_compute_region_backend_service" {
  defaults = { id = "projects/my-project/regions/europe-west3/backendServices/made" }
}

mock_resource "google_compute_region_instance_group_manager" {
  defaults = { instance_group = "projects/my-project/regions/europe-west3/instanceGroups/made" }
}

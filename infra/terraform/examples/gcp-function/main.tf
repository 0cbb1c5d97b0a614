# Aerospike -> connector on Compute Engine -> private function, with an identity token -> Cloud Storage.

resource "google_service_account" "connector" {
  project      = var.project
  account_id   = "${var.name}-connector"
  display_name = "esp-connector"
}

module "function" {
  source = "../../modules/gcp/function"

  project       = var.project
  region        = var.region
  name          = "${var.name}-archive"
  bucket        = "${var.project}-${var.name}-archive"
  zip_path      = var.zip_path
  invoker_email = google_service_account.connector.email
}

locals {
  config = {
    service      = { port = 8901, manage = { port = 8902 }, cluster-name = var.name }
    destinations = { records = module.function.destination }
    format       = { mode = "flat-json", metadata-key = "_meta" }
    batching     = { max-records = 500, batch-interval = 1000 }
    routing      = { mode = "static", destination = "records" }
    logging      = { format = "json", levels = { root = "info" } }
  }
}

module "connector" {
  source = "../../modules/gcp/connector"

  project               = var.project
  region                = var.region
  name                  = var.name
  network               = var.network
  subnetwork            = var.subnetwork
  aerospike_cidrs       = var.aerospike_cidrs
  package_url           = var.package_url
  package_bucket        = var.package_bucket
  service_account_email = google_service_account.connector.email
  config                = local.config
}

module "observability" {
  source = "../../modules/gcp/observability"

  project               = var.project
  name                  = var.name
  connector             = module.connector.metrics
  services              = { archive = module.function.name }
  notification_channels = var.notification_channels
}

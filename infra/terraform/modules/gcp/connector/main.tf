# The connector on machines of its own: XDR speaks TCP, which Cloud Run does not take. A regional group behind an internal
# passthrough load balancer, Debian with the .deb, no public address, no key for SSH. The service account is made outside,
# so that what it may call can be said there.

locals {
  service = try(var.config.service, {})

  xdr_ports = distinct(concat(
    flatten([try(local.service.port, [])]),
    flatten([try(local.service.tls.port, [])]),
  ))
  manage_port   = tonumber(flatten([local.service.manage.port])[0])
  grace_seconds = ceil(try(tonumber(local.service["shutdown-grace-period"]), 10000) / 1000)
  file_paths    = [for name, destination in var.config.destinations : destination.path if try(destination.type, "http") == "file"]

  # Where the checks of Google's load balancers come from.
  health_check_ranges = ["35.191.0.0/16", "130.211.0.0/22"]

  startup = templatefile("${path.module}/startup.sh.tftpl", {
    package_url    = var.package_url
    package_sha256 = var.package_sha256
    stop_timeout   = local.grace_seconds + 20
    ops_agent      = var.metrics ? yamlencode(local.ops_agent) : ""
  })

  # Of the hundred series those that an alarm looks at: each one costs.
  metrics = [
    "aerospike_esp_outbound_requests_lag",
    "esp_connector_credential_fetch_failures_total",
    "esp_connector_ended_records_total",
    "esp_connector_held_records_total",
    "esp_connector_lane_dead_letters_confirmed_total",
    "esp_connector_lane_delivered_records_total",
    "esp_connector_lane_held_records_total",
    "esp_connector_lane_holding",
    "esp_connector_ready",
  ]

  ops_agent = {
    metrics = {
      receivers = {
        esp_connector = {
          type = "prometheus"
          config = {
            scrape_configs = [{
              job_name        = "esp-connector"
              scrape_interval = "30s"
              static_configs  = [{ targets = ["127.0.0.1:${local.manage_port}"], labels = { service = var.name } }]
              metric_relabel_configs = [{
                source_labels = ["__name__"]
                regex         = join("|", local.metrics)
                action        = "keep"
              }]
            }]
          }
        }
      }
      service = { pipelines = { esp_connector = { receivers = ["esp_connector"] } } }
    }
  }
}

resource "google_storage_bucket_iam_member" "package" {
  count = var.package_bucket == null ? 0 : 1

  bucket = var.package_bucket
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${var.service_account_email}"
}

resource "google_project_iam_member" "metrics" {
  count = var.metrics ? 1 : 0

  project = var.project
  role    = "roles/monitoring.metricWriter"
  member  = "serviceAccount:${var.service_account_email}"
}

resource "google_compute_instance_template" "this" {
  project      = var.project
  name_prefix  = "${var.name}-"
  machine_type = var.machine_type
  region       = var.region
  tags         = [var.name]
  labels       = var.labels

  disk {
    source_image = var.image
    disk_type    = "pd-balanced"
    disk_size_gb = var.disk_gb
    boot         = true
    auto_delete  = true

    dynamic "disk_encryption_key" {
      for_each = var.kms_key_name == null ? [] : [var.kms_key_name]

      content {
        kms_key_self_link = disk_encryption_key.value
      }
    }
  }

  # Without `access_config`: no public address.
  network_interface {
    subnetwork = var.subnetwork
  }

  service_account {
    email  = var.service_account_email
    scopes = ["cloud-platform"]
  }

  metadata = {
    enable-oslogin          = "TRUE"
    block-project-ssh-keys  = "TRUE"
    serial-port-enable      = "FALSE"
    startup-script          = local.startup
    esp-connector-config    = yamlencode(var.config)
    enable-guest-attributes = "FALSE"
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  scheduling {
    automatic_restart   = true
    on_host_maintenance = "MIGRATE"
  }

  lifecycle {
    create_before_destroy = true

    precondition {
      condition     = length(local.xdr_ports) > 0 && length(local.xdr_ports) <= 5
      error_message = "config: service.port and service.tls.port have to name one to five ports, as many as a forwarding rule takes."
    }

    precondition {
      condition     = length(local.file_paths) == 0 || var.allow_files
      error_message = "config: a destination of type file (${join(", ", local.file_paths)}) would be lost with its machine. Choose another type, or accept that with allow_files."
    }
  }

  depends_on = [google_storage_bucket_iam_member.package]
}

# Alive, not ready: a destination that holds needs an operator, and new machines would not help it.
resource "google_compute_region_health_check" "this" {
  project             = var.project
  name                = var.name
  region              = var.region
  check_interval_sec  = 10
  timeout_sec         = 5
  healthy_threshold   = 2
  unhealthy_threshold = 3

  http_health_check {
    port         = local.manage_port
    request_path = "/healthz"
  }
}

resource "google_compute_region_instance_group_manager" "this" {
  project            = var.project
  name               = var.name
  region             = var.region
  base_instance_name = var.name
  target_size        = var.machines

  version {
    instance_template = google_compute_instance_template.this.id
  }

  auto_healing_policies {
    health_check      = google_compute_region_health_check.this.id
    initial_delay_sec = 300
  }

  # One after the other, and never fewer than there should be.
  update_policy {
    type                         = "PROACTIVE"
    minimal_action               = "REPLACE"
    max_surge_fixed              = 3
    max_unavailable_fixed        = 0
    instance_redistribution_type = "PROACTIVE"
  }
}

resource "google_compute_region_backend_service" "this" {
  project               = var.project
  name                  = var.name
  region                = var.region
  protocol              = "TCP"
  load_balancing_scheme = "INTERNAL"
  health_checks         = [google_compute_region_health_check.this.id]
  # What goes away keeps its connections for this long.
  connection_draining_timeout_sec = 30

  backend {
    group          = google_compute_region_instance_group_manager.this.instance_group
    balancing_mode = "CONNECTION"
  }
}

resource "google_compute_forwarding_rule" "this" {
  project               = var.project
  name                  = var.name
  region                = var.region
  load_balancing_scheme = "INTERNAL"
  backend_service       = google_compute_region_backend_service.this.id
  ip_protocol           = "TCP"
  ports                 = [for port in local.xdr_ports : tostring(port)]
  network               = var.network
  subnetwork            = var.subnetwork
  labels                = var.labels
}

resource "google_compute_firewall" "xdr" {
  project       = var.project
  name          = "${var.name}-xdr"
  network       = var.network
  direction     = "INGRESS"
  source_ranges = var.aerospike_cidrs
  target_tags   = [var.name]

  allow {
    protocol = "tcp"
    ports    = [for port in local.xdr_ports : tostring(port)]
  }
}

resource "google_compute_firewall" "health" {
  project       = var.project
  name          = "${var.name}-health"
  network       = var.network
  direction     = "INGRESS"
  source_ranges = local.health_check_ranges
  target_tags   = [var.name]

  allow {
    protocol = "tcp"
    ports    = [tostring(local.manage_port)]
  }
}

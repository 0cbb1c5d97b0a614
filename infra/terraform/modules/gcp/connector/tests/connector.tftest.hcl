mock_provider "google" {
  source = "../../../testing/google"
}

variables {
  project               = "my-project"
  region                = "europe-west3"
  name                  = "orders"
  network               = "default"
  subnetwork            = "default"
  aerospike_cidrs       = ["10.0.4.0/24"]
  package_url           = "gs://packages/esp-connector.deb"
  package_bucket        = "packages"
  service_account_email = "connector@my-project.iam.gserviceaccount.com"

  config = {
    service      = { port = 8901, manage = { port = 8902 }, tls = { port = 8943 }, shutdown-grace-period = 20000 }
    destinations = { records = { type = "aws-lambda", function-name = "orders" } }
    routing      = { mode = "static", destination = "records" }
  }
}

run "machines_are_closed" {
  command = apply

  assert {
    condition     = length(google_compute_instance_template.this.network_interface[0].access_config) == 0
    error_message = "No public address."
  }

  assert {
    condition     = google_compute_instance_template.this.metadata["block-project-ssh-keys"] == "TRUE" && google_compute_instance_template.this.metadata["enable-oslogin"] == "TRUE" && google_compute_instance_template.this.metadata["serial-port-enable"] == "FALSE"
    error_message = "No keys of the project, no serial console."
  }

  assert {
    condition     = google_compute_instance_template.this.shielded_instance_config[0].enable_secure_boot
    error_message = "What boots is signed."
  }

  assert {
    condition     = google_compute_firewall.xdr.source_ranges == toset(["10.0.4.0/24"]) && google_compute_firewall.health.source_ranges == toset(["35.191.0.0/16", "130.211.0.0/22"])
    error_message = "XDR from the servers, health checks from Google, and nobody else."
  }
}

run "starts_the_package_with_its_configuration" {
  command = apply

  assert {
    condition     = yamldecode(google_compute_instance_template.this.metadata["esp-connector-config"]) == var.config && strcontains(google_compute_instance_template.this.metadata["startup-script"], "fetch 'gs://packages/esp-connector.deb'")
    error_message = "The configuration is metadata, the package is fetched."
  }

  assert {
    condition     = strcontains(google_compute_instance_template.this.metadata["startup-script"], "TimeoutStopSec=%s\\n' 40")
    error_message = "The service is given longer than its grace period."
  }

  assert {
    condition     = google_compute_region_health_check.this.http_health_check[0].request_path == "/healthz" && google_compute_region_health_check.this.http_health_check[0].port == 8902
    error_message = "Alive, not ready."
  }

  assert {
    condition     = google_compute_forwarding_rule.this.load_balancing_scheme == "INTERNAL" && toset(google_compute_forwarding_rule.this.ports) == toset(["8901", "8943"])
    error_message = "XDR's ports, inside the network."
  }

  assert {
    condition     = google_compute_region_instance_group_manager.this.update_policy[0].max_unavailable_fixed == 0
    error_message = "No deployment has fewer machines than there should be."
  }

  assert {
    condition     = google_storage_bucket_iam_member.package[0].role == "roles/storage.objectViewer"
    error_message = "It may read the package."
  }
}

run "sends_its_metrics" {
  command = apply

  assert {
    condition     = strcontains(google_compute_instance_template.this.metadata["startup-script"], "127.0.0.1:8902") && google_project_iam_member.metrics[0].role == "roles/monitoring.metricWriter"
    error_message = "The Ops Agent reads the management port, and may write."
  }

  assert {
    condition     = output.metrics == { service = "orders", destinations = ["records"] }
    error_message = "What alarms ask for."
  }
}

run "or_keeps_them" {
  command = apply

  variables {
    metrics = false
  }

  assert {
    condition     = !strcontains(google_compute_instance_template.this.metadata["startup-script"], "ops-agent") && length(google_project_iam_member.metrics) == 0
    error_message = "No agent, no permission."
  }
}

run "refuses_everybody" {
  command = plan

  variables {
    aerospike_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.aerospike_cidrs]
}

run "refuses_files_that_would_be_lost" {
  command = plan

  variables {
    config = {
      service      = { port = 8901, manage = { port = 8902 } }
      destinations = { letters = { type = "file", path = "letters" } }
    }
  }

  expect_failures = [google_compute_instance_template.this]
}

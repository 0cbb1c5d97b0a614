# The whole of it, with answers of Google Cloud made up: nothing is reached.

mock_provider "google" {
  source = "../../testing/google"
}

variables {
  project         = "my-project"
  aerospike_cidrs = ["10.0.4.0/24"]
  package_url     = "gs://packages/esp-connector.deb"
  package_bucket  = "packages"
  # Any file: nothing is uploaded.
  zip_path = "versions.tf"
}

run "the_connector_calls_the_function" {
  command = apply

  assert {
    condition     = yamldecode(output.config).destinations.records == { type = "gcp-functions", urls = ["https://orders-abcdefghij-ew.a.run.app"], call-timeout = 7000 }
    error_message = "With an identity token for its address."
  }

  assert {
    condition     = output.aerospike_conf == "connector true\nnode-address-port 10.0.4.20 8901"
    error_message = "The servers are told where it is."
  }

  assert {
    condition     = output.bucket == "my-project-orders-archive"
    error_message = "A name that nobody else has."
  }
}

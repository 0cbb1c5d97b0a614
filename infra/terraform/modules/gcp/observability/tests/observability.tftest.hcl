mock_provider "google" {
  source = "../../../testing/google"
}

variables {
  project               = "my-project"
  name                  = "orders"
  connector             = { service = "orders", destinations = ["records", "letters"] }
  services              = { archive = "orders-archive" }
  notification_channels = ["projects/my-project/notificationChannels/1"]
}

run "watches_everything" {
  command = apply

  assert {
    condition = toset(keys(output.policy_names)) == toset([
      "orders-lag", "orders-not-ready", "orders-not-written",
      "orders-destination-records-holding", "orders-destination-records-held", "orders-destination-records-dead-letters", "orders-destination-records-credentials",
      "orders-destination-letters-holding", "orders-destination-letters-held", "orders-destination-letters-dead-letters", "orders-destination-letters-credentials",
      "orders-function-archive-errors", "orders-function-archive-throttles",
    ])
    error_message = "The connector, each destination, each function."
  }

  assert {
    condition     = google_monitoring_alert_policy.connector["lag"].conditions[0].condition_prometheus_query_language[0].query == "max(aerospike_esp_outbound_requests_lag{service=\"orders\"}) > 60000"
    error_message = "Lag is in milliseconds, and this connector's."
  }

  assert {
    condition     = strcontains(google_monitoring_alert_policy.connector["not-ready"].conditions[0].condition_prometheus_query_language[0].query, "absent(")
    error_message = "A connector that says nothing is not ready."
  }

  assert {
    condition     = google_monitoring_alert_policy.connector["destination-letters-dead-letters"].conditions[0].condition_prometheus_query_language[0].query == "sum(increase(esp_connector_lane_dead_letters_confirmed_total{service=\"orders\",destination=\"letters\"}[5m])) > 0"
    error_message = "Each destination by its name."
  }

  assert {
    condition     = strcontains(google_monitoring_alert_policy.function["function-archive-errors"].conditions[0].condition_threshold[0].filter, "service_name = \"orders-archive\"") && strcontains(google_monitoring_alert_policy.function["function-archive-errors"].conditions[0].condition_threshold[0].filter, "5xx")
    error_message = "The function's own failures."
  }

  assert {
    condition = alltrue([for policy in concat(values(google_monitoring_alert_policy.connector), values(google_monitoring_alert_policy.function)) :
    policy.notification_channels == tolist(var.notification_channels) && length(policy.documentation[0].content) > 20])
    error_message = "Each alarm reaches the operators, and says what it means."
  }
}

run "a_connector_alone" {
  command = apply

  variables {
    services = {}
  }

  assert {
    condition     = length(google_monitoring_alert_policy.function) == 0
    error_message = "Nothing about what is not there."
  }
}

run "names_stay_names" {
  command = plan

  variables {
    connector = { service = "orders\"} or vector(1", destinations = [] }
  }

  expect_failures = [var.connector]
}

variables {
  service         = "orders"
  manage_port     = 8902
  log_group_name  = "/esp-connector/orders/metrics"
  log_group_arn   = "arn:aws:logs:eu-central-1:123456789012:log-group:/esp-connector/orders/metrics"
  log_stream_name = "{TaskId}"
}

run "brings_what_alarms_and_autoscaling_look_at" {
  command = apply

  assert {
    condition     = yamldecode(output.yaml).receivers.prometheus.config.scrape_configs[0].static_configs[0].targets == ["127.0.0.1:8902"]
    error_message = "It asks the connector beside it."
  }

  assert {
    condition     = length(setsubtract(["esp_connector_window_records", "esp_connector_window_records_limit", "aerospike_esp_outbound_requests_lag", "esp_connector_ready", "esp_connector_held_records_total"], output.metrics.whole)) == 0
    error_message = "Of the connector as a whole."
  }

  assert {
    condition     = length(setsubtract(["esp_connector_lane_holding", "esp_connector_lane_held_records_total", "esp_connector_lane_dead_letters_confirmed_total", "esp_connector_credential_fetch_failures_total"], output.metrics.by_destination)) == 0
    error_message = "And of each destination."
  }

  assert {
    condition     = [for declaration in yamldecode(output.yaml).exporters.awsemf.metric_declarations : declaration.dimensions] == [[["service"]], [["service", "destination"]]]
    error_message = "With the dimensions that alarms name."
  }

  assert {
    condition     = !strcontains(output.yaml, "$")
    error_message = "The collector would take what follows a dollar sign for the name of a variable."
  }

  assert {
    condition     = output.statements[0].Resource == ["${var.log_group_arn}:*"]
    error_message = "It may write to its log group, and nowhere else."
  }
}

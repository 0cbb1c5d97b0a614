# What the AWS Distro for OpenTelemetry has to be told, to bring the connector's metrics to CloudWatch: it reads /metrics and
# writes embedded metrics into a log group. Makes nothing itself; both ways to run the connector use it.

locals {
  # Of the hundred series those that an alarm, a chart or the autoscaling looks at: each one costs.
  whole = [
    "aerospike_esp_outbound_requests_lag",
    "esp_connector_connections",
    "esp_connector_ended_records_total",
    "esp_connector_held_records_total",
    "esp_connector_in_process_records",
    "esp_connector_ready",
    "esp_connector_received_records_total",
    "esp_connector_refused_records_total",
    "esp_connector_window_records",
    "esp_connector_window_records_limit",
    "process_resident_memory_bytes",
  ]
  by_destination = [
    "esp_connector_clock_offset_seconds",
    "esp_connector_credential_fetch_failures_total",
    "esp_connector_credential_remaining_seconds",
    "esp_connector_lane_breaker_state",
    "esp_connector_lane_concurrency_limit",
    "esp_connector_lane_dead_letters_confirmed_total",
    "esp_connector_lane_dead_letters_total",
    "esp_connector_lane_delivered_records_total",
    "esp_connector_lane_ended_requests_total",
    "esp_connector_lane_held_records_total",
    "esp_connector_lane_holding",
    "esp_connector_lane_parked_records",
    "esp_connector_lane_queued_records",
    "esp_connector_lane_requests_total",
    "esp_connector_lane_retried_records_total",
    "esp_connector_lane_throttle_pause_seconds",
  ]

  yaml = yamlencode({
    receivers = {
      prometheus = {
        config = {
          global = { scrape_interval = "30s", scrape_timeout = "10s" }
          scrape_configs = [{
            job_name = "esp-connector"
            static_configs = [{
              targets = ["127.0.0.1:${var.manage_port}"]
              labels  = { service = var.service }
            }]
            metric_relabel_configs = [{
              source_labels = ["__name__"]
              regex         = join("|", concat(local.whole, local.by_destination))
              action        = "keep"
            }]
          }]
        }
      }
    }
    processors = {
      memory_limiter = { check_interval = "5s", limit_mib = 100 }
      # Says which task it is.
      resourcedetection = { detectors = ["env", "ecs"], timeout = "5s" }
      batch             = { timeout = "10s" }
    }
    exporters = {
      # It turns counters into what was added since it last looked.
      awsemf = {
        namespace               = var.namespace
        log_group_name          = var.log_group_name
        log_stream_name         = var.log_stream_name
        dimension_rollup_option = "NoDimensionRollup"
        metric_declarations = [
          {
            dimensions            = [["service"]]
            metric_name_selectors = [for name in local.whole : "^${name}"]
          },
          {
            dimensions            = [["service", "destination"]]
            metric_name_selectors = [for name in local.by_destination : "^${name}"]
          },
        ]
      }
    }
    extensions = { health_check = {} }
    service = {
      extensions = ["health_check"]
      pipelines = {
        metrics = {
          receivers  = ["prometheus"]
          processors = ["memory_limiter", "resourcedetection", "batch"]
          exporters  = ["awsemf"]
        }
      }
    }
  })
}

# Alerting policies on the connector's metrics, which the machines send where `metrics` of the module gcp/connector is on, and on
# those that Google keeps of the services it calls.
#
# Each says what to do. What is missing is no alarm, but of `ready`: there silence means that nothing runs.

locals {
  # Of this connector: the machines add it to all that they send.
  of = "service=\"${var.connector.service}\""

  connector_alarms = {
    lag = {
      query       = "max(aerospike_esp_outbound_requests_lag{${local.of}}) > ${var.lag_alarm_seconds * 1000}"
      seconds     = 300
      severity    = "WARNING"
      description = "Records arrive later than they should: look whether a destination is slow or throttles (`lane_concurrency_limit`, answers), or whether the connector is short of machines."
    }
    not-ready = {
      query       = "min(esp_connector_ready{${local.of}}) < 1 or absent(esp_connector_ready{${local.of}})"
      seconds     = 300
      severity    = "CRITICAL"
      description = "No records are taken, or nothing runs: `/readyz` and the log say why."
    }
    not-written = {
      query       = "sum(increase(esp_connector_held_records_total{${local.of}}[5m])) > 0"
      seconds     = 0
      severity    = "CRITICAL"
      description = "Records cannot be written in the configured format, and come again and again: the log names them."
    }
  }

  destination_alarms = {
    holding = {
      query       = "max(esp_connector_lane_holding{%s}) > 0"
      seconds     = 120
      severity    = "CRITICAL"
      description = "takes nothing until somebody acts: permission, address or function. `/readyz` and the log say which."
    }
    held = {
      query       = "sum(increase(esp_connector_lane_held_records_total{%s}[5m])) > 0"
      seconds     = 0
      severity    = "CRITICAL"
      description = "refuses records that no retry can help, and they have no place for dead letters: XDR ships them again and again."
    }
    dead-letters = {
      query       = "sum(increase(esp_connector_lane_dead_letters_confirmed_total{%s}[5m])) > 0"
      seconds     = 0
      severity    = "WARNING"
      description = "refused records for good: they are among the dead letters. Read the reason, then replay them."
    }
    credentials = {
      query       = "sum(increase(esp_connector_credential_fetch_failures_total{%s}[5m])) > 0"
      seconds     = 180
      severity    = "WARNING"
      description = "cannot renew its token; the old one serves until it ends."
    }
  }

  by_destination = { for pair in setproduct(keys(local.destination_alarms), var.connector.destinations) : "destination-${pair[1]}-${pair[0]}" => merge(local.destination_alarms[pair[0]], {
    query       = format(local.destination_alarms[pair[0]].query, "${local.of},destination=\"${pair[1]}\"")
    description = "Destination ${pair[1]} ${local.destination_alarms[pair[0]].description}"
  }) }

  function_alarms = {
    errors = {
      answers     = "metric.labels.response_code_class = \"5xx\""
      threshold   = var.function_error_threshold
      severity    = "CRITICAL"
      description = "fails as a whole: its log says why. The connector sends again."
    }
    throttles = {
      answers     = "metric.labels.response_code = \"429\""
      threshold   = var.function_throttle_threshold
      severity    = "WARNING"
      description = "has fewer places than calls: raise its `max_instances`, or lower `workers` of the destination."
    }
  }

  by_function = { for pair in setproduct(keys(local.function_alarms), keys(var.services)) : "function-${pair[1]}-${pair[0]}" => merge(local.function_alarms[pair[0]], { service = var.services[pair[1]] }) }
}

resource "google_monitoring_alert_policy" "connector" {
  for_each = merge(local.connector_alarms, local.by_destination)

  project               = var.project
  display_name          = "${var.name}-${each.key}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = each.key

    condition_prometheus_query_language {
      query               = each.value.query
      duration            = "${each.value.seconds}s"
      evaluation_interval = "60s"
      # Made before the first machine has sent anything.
      disable_metric_validation = true
    }
  }

  documentation {
    content   = each.value.description
    mime_type = "text/markdown"
  }
}

# A function of the second generation is a Cloud Run service, and so are its metrics.
resource "google_monitoring_alert_policy" "function" {
  for_each = local.by_function

  project               = var.project
  display_name          = "${var.name}-${each.key}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = each.key

    condition_threshold {
      filter          = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${each.value.service}\" AND metric.type = \"run.googleapis.com/request_count\" AND ${each.value.answers}"
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.threshold
      duration        = "180s"

      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    content   = "Function ${each.value.service} ${each.value.description}"
    mime_type = "text/markdown"
  }
}

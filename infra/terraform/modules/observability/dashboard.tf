# Read from the top: does it flow, who holds it up, what becomes of it.

locals {
  own = var.connector.namespace

  by_service = { for name, metric in {
    received = "esp_connector_received_records_total", lag = "aerospike_esp_outbound_requests_lag", window = "esp_connector_window_records",
    limit    = "esp_connector_window_records_limit", refused = "esp_connector_refused_records_total", connections = "esp_connector_connections",
    } : name => [local.own, metric, "service", var.connector.service]
  }

  charts = concat(
    [
      { title = "Records read, a minute", metrics = [local.by_service.received], stat = "Sum" },
      { title = "Lag, ms", metrics = [local.by_service.lag], stat = "Maximum" },
      { title = "Window: in use, and what it takes", metrics = [local.by_service.window, local.by_service.limit], stat = "Average" },
      { title = "Records refused, a minute (XDR ships them again)", metrics = [local.by_service.refused], stat = "Sum" },
    ],
    [for chart in [
      { title = "Delivered, a minute", metric = "esp_connector_lane_delivered_records_total", stat = "Sum" },
      { title = "Sent again, a minute", metric = "esp_connector_lane_retried_records_total", stat = "Sum" },
      { title = "Queued and parked", metric = "esp_connector_lane_queued_records", stat = "Maximum" },
      { title = "Requests at once that it bears", metric = "esp_connector_lane_concurrency_limit", stat = "Average" },
      { title = "Holds (1: somebody has to act)", metric = "esp_connector_lane_holding", stat = "Maximum" },
      { title = "Dead letters, a minute", metric = "esp_connector_lane_dead_letters_total", stat = "Sum" },
      { title = "Credentials live on, s", metric = "esp_connector_credential_remaining_seconds", stat = "Minimum" },
      ] : {
      title   = chart.title
      stat    = chart.stat
      metrics = [for destination in var.connector.destinations : [local.own, chart.metric, "service", var.connector.service, "destination", destination]]
    } if length(var.connector.destinations) > 0],
    [for chart in [
      { title = "Functions: calls", metric = "Invocations", stat = "Sum" },
      { title = "Functions: errors", metric = "Errors", stat = "Sum" },
      { title = "Functions: throttles", metric = "Throttles", stat = "Sum" },
      { title = "Functions: duration, ms (p99)", metric = "Duration", stat = "p99" },
      { title = "Functions: at once", metric = "ConcurrentExecutions", stat = "Maximum" },
      ] : {
      title   = chart.title
      stat    = chart.stat
      metrics = [for function in values(var.functions) : ["AWS/Lambda", chart.metric, "FunctionName", function.name]]
    } if length(var.functions) > 0],
    [for chart in [
      { title = "Queues: age of the oldest message, s", metric = "ApproximateAgeOfOldestMessage", dead = false },
      { title = "Queues: messages", metric = "ApproximateNumberOfMessagesVisible", dead = false },
      { title = "Queues: dead letters", metric = "ApproximateNumberOfMessagesVisible", dead = true },
      ] : {
      title   = chart.title
      stat    = "Maximum"
      metrics = [for queue in values(var.queues) : ["AWS/SQS", chart.metric, "QueueName", chart.dead ? queue.dead_letter_name : queue.name]]
    } if length(var.queues) > 0],
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [for position, chart in local.charts : {
      type   = "metric"
      x      = 8 * (position % 3)
      y      = 6 * floor(position / 3)
      width  = 8
      height = 6
      properties = {
        title   = chart.title
        region  = data.aws_region.current.region
        view    = "timeSeries"
        stat    = chart.stat
        period  = 60
        metrics = chart.metrics
      }
    }]
  })
}

mock_provider "aws" {
  source = "../../testing/aws"
}

variables {
  name             = "orders"
  connector        = { namespace = "EspConnector", service = "orders", destinations = ["records", "letters"] }
  functions        = { consumer = { name = "orders-to-sqs", alias = "live" } }
  queues           = { records = { name = "orders-records", dead_letter_name = "orders-records-dead" } }
  alarm_topic_arns = ["arn:aws:sns:eu-central-1:123456789012:operators"]
}

run "watches_everything" {
  command = apply

  assert {
    condition = toset(keys(output.alarm_arns)) == toset([
      "orders-lag", "orders-not-ready", "orders-not-written",
      "orders-destination-records-holding", "orders-destination-records-held", "orders-destination-records-dead-letters", "orders-destination-records-credentials",
      "orders-destination-letters-holding", "orders-destination-letters-held", "orders-destination-letters-dead-letters", "orders-destination-letters-credentials",
      "orders-function-consumer-errors", "orders-function-consumer-throttles",
      "orders-queue-records-age", "orders-queue-records-dead-letters",
    ])
    error_message = "The connector, each destination, each function, each queue."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.connector["not-ready"].treat_missing_data == "breaching"
    error_message = "A connector that says nothing is not ready."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.connector["lag"].threshold == 60000
    error_message = "Lag is in milliseconds."
  }

  assert {
    condition = alltrue([for alarm in concat(
      values(aws_cloudwatch_metric_alarm.connector), values(aws_cloudwatch_metric_alarm.destination), values(aws_cloudwatch_metric_alarm.function),
      values(aws_cloudwatch_metric_alarm.queue_age), values(aws_cloudwatch_metric_alarm.queue_dead_letters),
    ) : alarm.alarm_actions == toset(var.alarm_topic_arns) && length(alarm.alarm_description) > 20])
    error_message = "Each alarm reaches the operators, and says what it means."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.destination["destination-records-holding"].dimensions == tomap({ service = "orders", destination = "records" })
    error_message = "With the dimensions that the collector writes."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.function["function-consumer-throttles"].dimensions.Resource == "orders-to-sqs:live"
    error_message = "Those of the alias."
  }
}

run "shows_everything" {
  command = apply

  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 4 + 7 + 5 + 3
    error_message = "Four charts of the connector, seven of its destinations, five of functions, three of queues."
  }

  assert {
    condition     = alltrue([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : length(widget.properties.metrics) > 0 && widget.x + widget.width <= 24])
    error_message = "None is empty, none is off the board."
  }
}

run "a_connector_alone" {
  command = apply

  variables {
    functions = {}
    queues    = {}
  }

  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 11 && length(aws_cloudwatch_metric_alarm.function) == 0
    error_message = "Nothing about what is not there."
  }
}

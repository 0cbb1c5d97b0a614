# Alarms and one dashboard: the connector, what it calls, and the queues behind.
#
# Each alarm says what to do. What is missing is no alarm, but of `ready`: there silence means that nothing runs.

data "aws_region" "current" {}

locals {
  service = { service = var.connector.service }

  connector_alarms = {
    lag = {
      metric      = "aerospike_esp_outbound_requests_lag"
      statistic   = "Average"
      threshold   = var.lag_alarm_seconds * 1000
      comparison  = "GreaterThanThreshold"
      periods     = 5
      missing     = "notBreaching"
      description = "Records arrive later than they should: look whether a destination is slow or throttles (lane_concurrency_limit, answers), or whether the connector is short of tasks."
    }
    not-ready = {
      metric      = "esp_connector_ready"
      statistic   = "Minimum"
      threshold   = 1
      comparison  = "LessThanThreshold"
      periods     = 5
      missing     = "breaching"
      description = "No records are taken, or nothing runs: /readyz and the log say why."
    }
    not-written = {
      metric      = "esp_connector_held_records_total"
      statistic   = "Sum"
      threshold   = 0
      comparison  = "GreaterThanThreshold"
      periods     = 1
      missing     = "notBreaching"
      description = "Records cannot be written in the configured format, and come again and again: the log names them."
    }
  }

  destination_alarms = {
    holding = {
      metric      = "esp_connector_lane_holding"
      statistic   = "Maximum"
      threshold   = 0
      periods     = 2
      description = "takes nothing until somebody acts: permission, address or function. /readyz and the log say which."
    }
    held = {
      metric      = "esp_connector_lane_held_records_total"
      statistic   = "Sum"
      threshold   = 0
      periods     = 1
      description = "refuses records that no retry can help, and they have no place for dead letters: XDR ships them again and again."
    }
    dead-letters = {
      metric      = "esp_connector_lane_dead_letters_confirmed_total"
      statistic   = "Sum"
      threshold   = 0
      periods     = 1
      description = "refused records for good: they are among the dead letters. Read the reason, then replay them."
    }
    credentials = {
      metric      = "esp_connector_credential_fetch_failures_total"
      statistic   = "Sum"
      threshold   = 0
      periods     = 3
      description = "cannot renew credentials or token; the old ones serve until they end."
    }
  }

  by_destination = { for pair in setproduct(keys(local.destination_alarms), var.connector.destinations) : "destination-${pair[1]}-${pair[0]}" => { alarm = local.destination_alarms[pair[0]], destination = pair[1] } }

  function_alarms = {
    errors = {
      metric      = "Errors"
      threshold   = var.function_error_threshold
      description = "fails as a whole: its log says why. The connector sends again."
    }
    throttles = {
      metric      = "Throttles"
      threshold   = var.function_throttle_threshold
      description = "has fewer places than calls: raise its reserved concurrency, or lower `workers` of the destination."
    }
  }

  by_function = { for pair in setproduct(keys(local.function_alarms), keys(var.functions)) : "function-${pair[1]}-${pair[0]}" => { alarm = local.function_alarms[pair[0]], name = var.functions[pair[1]].name, alias = var.functions[pair[1]].alias } }
}

resource "aws_cloudwatch_metric_alarm" "connector" {
  for_each = local.connector_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = var.connector.namespace
  metric_name         = each.value.metric
  dimensions          = local.service
  statistic           = each.value.statistic
  period              = 60
  evaluation_periods  = each.value.periods
  threshold           = each.value.threshold
  comparison_operator = each.value.comparison
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "destination" {
  for_each = local.by_destination

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "Destination ${each.value.destination} ${each.value.alarm.description}"
  namespace           = var.connector.namespace
  metric_name         = each.value.alarm.metric
  dimensions          = merge(local.service, { destination = each.value.destination })
  statistic           = each.value.alarm.statistic
  period              = 60
  evaluation_periods  = each.value.alarm.periods
  threshold           = each.value.alarm.threshold
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "function" {
  for_each = local.by_function

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "Function ${each.value.name} ${each.value.alarm.description}"
  namespace           = "AWS/Lambda"
  metric_name         = each.value.alarm.metric
  dimensions          = { FunctionName = each.value.name, Resource = "${each.value.name}:${each.value.alias}" }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 3
  threshold           = each.value.alarm.threshold
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "queue_age" {
  for_each = var.queues

  alarm_name          = "${var.name}-queue-${each.key}-age"
  alarm_description   = "The oldest message of ${each.value.name} waits longer than ${var.queue_age_alarm_seconds} s: its reader is too slow, or gone."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = each.value.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  threshold           = var.queue_age_alarm_seconds
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "queue_dead_letters" {
  for_each = var.queues

  alarm_name          = "${var.name}-queue-${each.key}-dead-letters"
  alarm_description   = "Messages in ${each.value.dead_letter_name}: the readers of ${each.value.name} failed on them again and again."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = each.value.dead_letter_name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags
}

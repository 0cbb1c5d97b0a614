output "alarm_arns" {
  description = "ARNs of all alarms, by name."
  value = { for alarm in concat(
    values(aws_cloudwatch_metric_alarm.connector),
    values(aws_cloudwatch_metric_alarm.destination),
    values(aws_cloudwatch_metric_alarm.function),
    values(aws_cloudwatch_metric_alarm.queue_age),
    values(aws_cloudwatch_metric_alarm.queue_dead_letters),
  ) : alarm.alarm_name => alarm.arn }
}

output "dashboard_name" {
  description = "Name of the dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}

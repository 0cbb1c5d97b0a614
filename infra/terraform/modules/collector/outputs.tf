output "yaml" {
  description = "Configuration of the collector."
  value       = local.yaml
}

output "namespace" {
  description = "Namespace of the metrics in CloudWatch."
  value       = var.namespace
}

output "metrics" {
  description = "Names of the metrics: of the connector as a whole, and of each destination."
  value       = { whole = local.whole, by_destination = local.by_destination }
}

output "statements" {
  description = "What the collector has to be allowed: statements for its role."
  value = [{
    Sid      = "WriteMetrics"
    Effect   = "Allow"
    Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    Resource = ["${var.log_group_arn}:*"]
  }]
}

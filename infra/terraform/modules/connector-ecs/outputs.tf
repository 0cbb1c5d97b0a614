output "xdr_address" {
  description = "Host for `node-address-port` of aerospike.conf."
  value       = module.endpoint.dns_name
}

output "aerospike_conf" {
  description = "The lines for the `dc` section of aerospike.conf."
  value       = join("\n", concat(["connector true"], [for port in local.xdr_ports : "node-address-port ${module.endpoint.dns_name} ${port}"]))
}

output "security_group_id" {
  description = "Security group of the tasks, to be let in by what they call."
  value       = aws_security_group.this.id
}

output "task_role_name" {
  description = "Name of the role that the connector runs as."
  value       = aws_iam_role.task.name
}

output "task_role_arn" {
  description = "ARN of that role: the subject of its tokens."
  value       = aws_iam_role.task.arn
}

output "cluster_name" {
  description = "Name of the ECS cluster."
  value       = local.cluster_name
}

output "log_group_name" {
  description = "Log group of the connector."
  value       = aws_cloudwatch_log_group.this.name
}

output "metrics" {
  description = "Where its metrics are, for the module `observability`."
  value = {
    namespace    = module.collector.namespace
    service      = var.name
    destinations = local.destinations
  }
}

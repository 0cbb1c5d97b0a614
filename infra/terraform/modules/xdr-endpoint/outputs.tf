output "dns_name" {
  description = "Address for `node-address-port` of aerospike.conf."
  value       = aws_lb.this.dns_name
}

output "target_group_arns" {
  description = "Target groups by port."
  value       = { for port, group in aws_lb_target_group.this : port => group.arn }

  # Nobody joins a group before it has a listener.
  depends_on = [aws_lb_listener.this]
}

output "security_group_id" {
  description = "Security group of the load balancer."
  value       = aws_security_group.this.id
}

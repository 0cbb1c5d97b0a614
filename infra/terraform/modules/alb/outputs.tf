output "url" {
  description = "Where records are sent to."
  value       = "https://${var.hostname}/${var.path}"
}

output "dns_name" {
  description = "The load balancer's own name, for a record that is made elsewhere."
  value       = aws_lb.this.dns_name
}

output "security_group_id" {
  description = "Security group of the load balancer."
  value       = aws_security_group.this.id
}

output "destination" {
  description = "A destination of the connector, for its configuration. With client certificates alone it has no token, and needs `tls`."
  value = merge(
    {
      type         = "aws-alb"
      urls         = ["https://${var.hostname}/${var.path}"]
      call-timeout = var.caller_timeout_ms
    },
    { for key, value in {
      token  = { aws-web-identity = { audience = try(var.jwt.audience, null) } }
      region = data.aws_region.current.region
    } : key => value if var.jwt != null },
  )
}

output "caller_statements" {
  description = "What the connector has to be allowed, to get its token: statements for its role. None with client certificates alone."
  value = var.jwt == null ? [] : [{
    Sid      = "GetToken"
    Effect   = "Allow"
    Action   = ["sts:GetWebIdentityToken"]
    Resource = ["*"]
    Condition = {
      "ForAllValues:StringEquals" = { "sts:IdentityTokenAudience" = [var.jwt.audience] }
      NumericLessThanEquals       = { "sts:DurationSeconds" = "300" }
      StringEquals                = { "sts:SigningAlgorithm" = "RS256" }
    }
  }]
}

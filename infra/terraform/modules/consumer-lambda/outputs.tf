output "function_name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "alias_name" {
  description = "Name of the alias."
  value       = aws_lambda_alias.this.name
}

output "alias_arn" {
  description = "ARN of the alias."
  value       = aws_lambda_alias.this.arn
}

output "alias_invoke_arn" {
  description = "What API Gateway calls."
  value       = aws_lambda_alias.this.invoke_arn
}

output "role_name" {
  description = "Name of the function's role."
  value       = aws_iam_role.this.name
}

output "timeout_seconds" {
  description = "Longest run of a call."
  value       = aws_lambda_function.this.timeout
}

output "destination" {
  description = "A destination of the connector that calls the function directly, for its configuration."
  value = {
    type          = "aws-lambda"
    function-name = aws_lambda_function.this.function_name
    qualifier     = aws_lambda_alias.this.name
    region        = data.aws_region.current.region
    call-timeout  = var.caller_timeout_ms
  }
}

output "caller_statements" {
  description = "What the connector has to be allowed to call the function directly: statements for its role."
  value = [{
    Sid      = "InvokeConsumer"
    Effect   = "Allow"
    Action   = ["lambda:InvokeFunction"]
    Resource = [aws_lambda_alias.this.arn]
  }]
}

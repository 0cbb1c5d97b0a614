output "api_id" {
  description = "Identifier of the API, as metrics call it."
  value       = aws_apigatewayv2_api.this.id
}

output "url" {
  description = "Where records are sent to."
  value       = "${aws_apigatewayv2_stage.this.invoke_url}/${var.path}"
}

output "destination" {
  description = "A destination of the connector, for its configuration."
  value = {
    type         = "aws-api-gateway"
    urls         = ["${aws_apigatewayv2_stage.this.invoke_url}/${var.path}"]
    region       = data.aws_region.current.region
    call-timeout = var.caller_timeout_ms
  }
}

output "caller_statements" {
  description = "What the connector has to be allowed: statements for its role."
  value = [{
    Sid      = "CallApi"
    Effect   = "Allow"
    Action   = ["execute-api:Invoke"]
    Resource = ["${aws_apigatewayv2_api.this.execution_arn}/${aws_apigatewayv2_stage.this.name}/POST/${var.path}"]
  }]
}

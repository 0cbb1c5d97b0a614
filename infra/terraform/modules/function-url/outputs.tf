output "url" {
  description = "The URL."
  value       = aws_lambda_function_url.this.function_url
}

output "destination" {
  description = "A destination of the connector, for its configuration."
  value = {
    type         = "aws-function-url"
    urls         = [aws_lambda_function_url.this.function_url]
    region       = data.aws_region.current.region
    call-timeout = var.caller_timeout_ms
  }
}

output "caller_statements" {
  description = "What the connector has to be allowed: statements for its role. URLs made since October 2025 ask for both."
  value = [
    {
      Sid       = "CallUrl"
      Effect    = "Allow"
      Action    = ["lambda:InvokeFunctionUrl"]
      Resource  = [var.alias_arn]
      Condition = { StringEquals = { "lambda:FunctionUrlAuthType" = "AWS_IAM" } }
    },
    {
      Sid       = "InvokeThroughUrl"
      Effect    = "Allow"
      Action    = ["lambda:InvokeFunction"]
      Resource  = [var.alias_arn]
      Condition = { Bool = { "lambda:InvokedViaFunctionUrl" = "true" } }
    },
  ]
}

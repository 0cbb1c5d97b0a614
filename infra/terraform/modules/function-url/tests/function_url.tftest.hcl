mock_provider "aws" {
  source = "../../testing/aws"
}

variables {
  function_name = "orders"
  alias_name    = "live"
  alias_arn     = "arn:aws:lambda:eu-central-1:123456789012:function:orders:live"
}

run "only_signed_requests_of_the_alias" {
  command = apply

  assert {
    condition     = aws_lambda_function_url.this.authorization_type == "AWS_IAM" && aws_lambda_function_url.this.qualifier == "live"
    error_message = "The URL is that of the alias, and asks for a signature."
  }

  assert {
    condition     = output.caller_statements[0].Action == ["lambda:InvokeFunctionUrl"] && output.caller_statements[0].Resource == [var.alias_arn] && output.caller_statements[0].Condition.StringEquals["lambda:FunctionUrlAuthType"] == "AWS_IAM"
    error_message = "A caller may call the URL of the alias."
  }

  assert {
    condition     = output.caller_statements[1].Action == ["lambda:InvokeFunction"] && output.caller_statements[1].Condition.Bool["lambda:InvokedViaFunctionUrl"] == "true"
    error_message = "And invoke it, but only through the URL."
  }

  assert {
    condition     = output.destination.type == "aws-function-url" && output.destination.urls == [aws_lambda_function_url.this.function_url]
    error_message = "The connector calls the URL."
  }
}

run "refuses_to_wait_longer_than_a_record_does" {
  command = plan

  variables {
    caller_timeout_ms = 8000
  }

  expect_failures = [var.caller_timeout_ms]
}

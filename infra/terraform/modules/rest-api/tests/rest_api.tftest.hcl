mock_provider "aws" {
  source = "../../testing/aws"
}

variables {
  name             = "orders"
  function_name    = "orders"
  alias_name       = "live"
  alias_invoke_arn = "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-central-1:123456789012:function:orders:live/invocations"
}

run "one_route_for_signed_requests" {
  command = apply

  assert {
    condition     = aws_api_gateway_method.this.authorization == "AWS_IAM" && aws_api_gateway_method.this.http_method == "POST"
    error_message = "There is one way in, and it asks for a signature."
  }

  assert {
    condition     = aws_api_gateway_method_settings.this.settings[0].throttling_rate_limit == 1000 && aws_api_gateway_method_settings.this.settings[0].throttling_burst_limit == 500 && !aws_api_gateway_method_settings.this.settings[0].data_trace_enabled
    error_message = "There is a limit to requests, and no log of bodies."
  }

  assert {
    condition     = aws_api_gateway_stage.this.access_log_settings[0].destination_arn == aws_cloudwatch_log_group.this.arn && aws_cloudwatch_log_group.this.retention_in_days == 365
    error_message = "Who called is logged, in a log that forgets."
  }

  assert {
    condition     = !strcontains(lower(aws_api_gateway_stage.this.access_log_settings[0].format), "authorization") && !strcontains(aws_api_gateway_stage.this.access_log_settings[0].format, "body")
    error_message = "No signature and no record gets into the log."
  }

  assert {
    condition     = aws_api_gateway_integration.this.uri == var.alias_invoke_arn && aws_lambda_permission.this.qualifier == "live"
    error_message = "It calls the alias."
  }
}

run "times_end_from_the_inside_out" {
  command = apply

  assert {
    condition     = 6000 < aws_api_gateway_integration.this.timeout_milliseconds && aws_api_gateway_integration.this.timeout_milliseconds < output.destination["call-timeout"]
    error_message = "The function ends first, then the gateway gives up, then the connector."
  }
}

run "a_caller_may_use_this_route_only" {
  command = apply

  assert {
    condition     = output.caller_statements == [{ Sid = "CallApi", Effect = "Allow", Action = ["execute-api:Invoke"], Resource = ["${aws_api_gateway_rest_api.this.execution_arn}/live/POST/records"] }]
    error_message = "Stage, method and path are named."
  }

  assert {
    condition     = aws_lambda_permission.this.source_arn == "${aws_api_gateway_rest_api.this.execution_arn}/live/POST/records" && aws_lambda_permission.this.principal == "apigateway.amazonaws.com"
    error_message = "And so they are for the gateway, at the function."
  }

  assert {
    condition     = endswith(output.url, "/live/records") && output.destination.urls == [output.url] && output.destination.type == "aws-api-gateway"
    error_message = "The connector calls it."
  }
}

run "refuses_to_outlast_its_caller" {
  command = plan

  variables {
    integration_timeout_ms = 7000
  }

  expect_failures = [var.integration_timeout_ms]
}

run "refuses_a_path_of_several" {
  command = plan

  variables {
    path = "orders/records"
  }

  expect_failures = [var.path]
}

run "the_account_is_left_alone" {
  command = apply

  assert {
    condition     = length(aws_api_gateway_account.this) == 0
    error_message = "What concerns all APIs of the account is only set when asked for."
  }
}

run "or_set_up" {
  command = apply

  variables {
    manage_account_logging = true
  }

  assert {
    condition     = aws_api_gateway_account.this[0].cloudwatch_role_arn == aws_iam_role.account_logging[0].arn
    error_message = "The account logs through the role that is made."
  }
}

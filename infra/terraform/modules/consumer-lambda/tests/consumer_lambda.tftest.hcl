mock_provider "aws" {
  source = "../../testing/aws"
}

variables {
  name = "orders-to-sqs"
  # Any file: nothing is uploaded.
  zip_path    = "versions.tf"
  environment = { QUEUE_URL = "https://sqs.example.net/records" }
  statements  = [{ Sid = "SendToQueue", Effect = "Allow", Action = ["sqs:SendMessage"], Resource = ["arn:aws:sqs:eu-central-1:123456789012:records"] }]
}

run "runs_a_version_behind_an_alias" {
  command = apply

  assert {
    condition     = aws_lambda_function.this.publish && aws_lambda_alias.this.function_version == aws_lambda_function.this.version && aws_lambda_alias.this.name == "live"
    error_message = "The alias names the version that was published."
  }

  assert {
    condition     = aws_lambda_function.this.runtime == "provided.al2023" && aws_lambda_function.this.architectures == tolist(["arm64"])
    error_message = "It is the runtime of Rust functions, on arm64 unless asked otherwise."
  }

  assert {
    condition     = aws_lambda_function.this.reserved_concurrent_executions == 32 && aws_lambda_function.this.tracing_config[0].mode == "Active"
    error_message = "It has places of its own, and is traced."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.name == "/aws/lambda/orders-to-sqs" && aws_cloudwatch_log_group.this.retention_in_days == 365 && aws_lambda_function.this.logging_config[0].log_group == aws_cloudwatch_log_group.this.name
    error_message = "It writes to the log group that is made here, which forgets."
  }

  assert {
    condition     = aws_lambda_function.this.timeout * 1000 < output.destination["call-timeout"]
    error_message = "The function ends before the connector gives up."
  }

  assert {
    condition     = output.destination.type == "aws-lambda" && output.destination.qualifier == aws_lambda_alias.this.name && output.destination.function-name == "orders-to-sqs"
    error_message = "The connector calls the alias."
  }
}

run "may_do_no_more_than_it_has_to" {
  command = apply

  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Sid] == ["WriteLogs", "WriteTraces", "SendToQueue"]
    error_message = "Logs, traces, and what was asked for."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Sid == "WriteTraces" || !contains(statement.Resource, "*")])
    error_message = "Only X-Ray, which knows no resources, is allowed on everything."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : alltrue([for action in statement.Action : !strcontains(action, "*")])])
    error_message = "No action is a pattern."
  }

  assert {
    condition     = output.caller_statements == [{ Sid = "InvokeConsumer", Effect = "Allow", Action = ["lambda:InvokeFunction"], Resource = [aws_lambda_alias.this.arn] }]
    error_message = "A caller may invoke the alias, not the function."
  }

  assert {
    condition     = length(aws_lambda_function_event_invoke_config.this) == 0
    error_message = "Synchronous calls have no destination for failures."
  }
}

run "asynchronous_calls_lose_nothing" {
  command = apply

  variables {
    on_failure_queue_arn = "arn:aws:sqs:eu-central-1:123456789012:failed"
  }

  assert {
    condition     = aws_lambda_function_event_invoke_config.this[0].qualifier == "live" && aws_lambda_function_event_invoke_config.this[0].destination_config[0].on_failure[0].destination == var.on_failure_queue_arn
    error_message = "What Lambda gives up on goes to the queue."
  }

  assert {
    condition     = contains([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Resource], [var.on_failure_queue_arn])
    error_message = "And it may."
  }
}

run "without_traces_there_is_no_star" {
  command = apply

  variables {
    tracing = false
  }

  assert {
    condition     = !strcontains(aws_iam_role_policy.this.policy, "\"*\"")
    error_message = "Nothing is allowed on everything."
  }
}

run "refuses_to_outlast_its_caller" {
  command = plan

  variables {
    timeout_seconds = 7
  }

  expect_failures = [aws_lambda_function.this]
}

run "refuses_no_places_at_all" {
  command = plan

  variables {
    reserved_concurrency = 0
  }

  expect_failures = [var.reserved_concurrency]
}

run "refuses_other_processors" {
  command = plan

  variables {
    architecture = "riscv64"
  }

  expect_failures = [var.architecture]
}

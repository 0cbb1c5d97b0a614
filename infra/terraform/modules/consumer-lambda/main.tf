# A consumer: a function with an alias, and a role that may do what its statements say and nothing else.

data "aws_region" "current" {}

locals {
  in_vpc = length(var.subnet_ids) > 0

  own_statements = concat(
    [{
      Sid      = "WriteLogs"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["${aws_cloudwatch_log_group.this.arn}:*"]
    }],
    # X-Ray knows no resources.
    var.tracing ? [{
      Sid      = "WriteTraces"
      Effect   = "Allow"
      Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
      Resource = ["*"]
    }] : [],
    # As Lambda documents it: the network interfaces have no names before they exist.
    local.in_vpc ? [{
      Sid    = "JoinVpc"
      Effect = "Allow"
      Action = [
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
      ]
      Resource = ["*"]
    }] : [],
    var.on_failure_queue_arn == null ? [] : [{
      Sid      = "KeepWhatFailed"
      Effect   = "Allow"
      Action   = ["sqs:SendMessage"]
      Resource = [var.on_failure_queue_arn]
    }],
  )
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_iam_role" "this" {
  name = "${var.name}-function"
  tags = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "all-it-may"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local.own_statements, var.statements)
  })
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_116:A dead-letter queue is for asynchronous calls; these are synchronous unless `on_failure_queue_arn` is set, and then it is a destination of the alias.
  #checkov:skip=CKV_AWS_272:Code signing needs a signing profile of the account.
  function_name    = var.name
  description      = "Consumer of Aerospike change notifications."
  role             = aws_iam_role.this.arn
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.architecture]
  filename         = var.zip_path
  source_code_hash = filebase64sha256(var.zip_path)
  # The alias names a version.
  publish                        = true
  memory_size                    = var.memory_mb
  timeout                        = var.timeout_seconds
  reserved_concurrent_executions = var.reserved_concurrency
  kms_key_arn                    = var.kms_key_arn
  tags                           = var.tags

  environment {
    variables = var.environment
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.this.name
  }

  tracing_config {
    mode = var.tracing ? "Active" : "PassThrough"
  }

  dynamic "vpc_config" {
    for_each = local.in_vpc ? [true] : []

    content {
      subnet_ids         = var.subnet_ids
      security_group_ids = var.security_group_ids
    }
  }

  # Without its permissions it would start and fail.
  depends_on = [aws_iam_role_policy.this]

  lifecycle {
    precondition {
      condition     = var.timeout_seconds * 1000 < var.caller_timeout_ms
      error_message = "The connector would give up (caller_timeout_ms) before the function does (timeout_seconds), and send again what is still being processed."
    }

    precondition {
      condition     = !local.in_vpc || length(var.security_group_ids) > 0
      error_message = "With subnet_ids goes at least one of security_group_ids."
    }
  }
}

resource "aws_lambda_alias" "this" {
  name             = var.alias_name
  description      = "What the connector calls: a deployment moves it."
  function_name    = aws_lambda_function.this.function_name
  function_version = aws_lambda_function.this.version
}

# For `invocation-type: Event` alone: what Lambda gives up on would otherwise be gone.
resource "aws_lambda_function_event_invoke_config" "this" {
  count = var.on_failure_queue_arn == null ? 0 : 1

  function_name                = aws_lambda_function.this.function_name
  qualifier                    = aws_lambda_alias.this.name
  maximum_event_age_in_seconds = 21600
  maximum_retry_attempts       = 2

  destination_config {
    on_failure {
      destination = var.on_failure_queue_arn
    }
  }
}

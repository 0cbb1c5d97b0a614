# A regional REST API with one method, which only signed requests get through. It costs three and a half times what an HTTP
# API does: take it where its extras are needed (usage plans, WAF, request validation, private endpoints).

data "aws_region" "current" {}

resource "aws_api_gateway_rest_api" "this" {
  name        = var.name
  description = "Takes Aerospike change notifications."
  # Bodies of these types reach the function as base64.
  binary_media_types = var.binary_media_types
  tags               = var.tags

  endpoint_configuration {
    types = ["REGIONAL"]
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_resource" "this" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_rest_api.this.root_resource_id
  path_part   = var.path
}

resource "aws_api_gateway_method" "this" {
  #checkov:skip=CKV2_AWS_53:The consumer checks the body; a model of it would have to follow every format the connector writes.
  rest_api_id   = aws_api_gateway_rest_api.this.id
  resource_id   = aws_api_gateway_resource.this.id
  http_method   = "POST"
  authorization = "AWS_IAM"
}

resource "aws_api_gateway_integration" "this" {
  rest_api_id             = aws_api_gateway_rest_api.this.id
  resource_id             = aws_api_gateway_resource.this.id
  http_method             = aws_api_gateway_method.this.http_method
  type                    = "AWS_PROXY"
  integration_http_method = "POST"
  uri                     = var.alias_invoke_arn
  timeout_milliseconds    = var.integration_timeout_ms
}

resource "aws_api_gateway_deployment" "this" {
  rest_api_id = aws_api_gateway_rest_api.this.id

  # A deployment is a copy: a change is only live in a new one.
  triggers = {
    redeployment = sha1(jsonencode([
      var.binary_media_types,
      aws_api_gateway_resource.this.id,
      aws_api_gateway_resource.this.path_part,
      aws_api_gateway_method.this.id,
      aws_api_gateway_integration.this.id,
      var.alias_invoke_arn,
      var.integration_timeout_ms,
    ]))
  }

  lifecycle {
    create_before_destroy = true
  }

  depends_on = [aws_api_gateway_integration.this]
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/apigateway/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_api_gateway_stage" "this" {
  #checkov:skip=CKV2_AWS_29:Only signed requests of one role get through; a firewall would cost more than the API.
  #checkov:skip=CKV2_AWS_51:Signatures prove the caller; client certificates are for callers without them.
  #checkov:skip=CKV_AWS_120:Every request is new: there is nothing to cache.
  #checkov:skip=CKV2_AWS_4:An execution log would hold bodies, and with them records; the access log says what is needed.
  rest_api_id          = aws_api_gateway_rest_api.this.id
  deployment_id        = aws_api_gateway_deployment.this.id
  stage_name           = var.stage_name
  xray_tracing_enabled = true
  tags                 = var.tags

  # Nothing of the body, nothing of a header.
  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.this.arn

    format = jsonencode({
      time             = "$context.requestTime"
      requestId        = "$context.requestId"
      caller           = "$context.identity.caller"
      sourceIp         = "$context.identity.sourceIp"
      path             = "$context.resourcePath"
      status           = "$context.status"
      latencyMs        = "$context.responseLatency"
      functionStatus   = "$context.integrationStatus"
      functionMs       = "$context.integrationLatency"
      error            = "$context.error.message"
      integrationError = "$context.integrationErrorMessage"
    })
  }

  # REST APIs log through a role of the whole account and region.
  depends_on = [aws_api_gateway_account.this]
}

resource "aws_api_gateway_method_settings" "this" {
  #checkov:skip=CKV_AWS_225:Every request is new: there is nothing to cache.
  rest_api_id = aws_api_gateway_rest_api.this.id
  stage_name  = aws_api_gateway_stage.this.stage_name
  method_path = "*/*"

  settings {
    metrics_enabled        = true
    logging_level          = "OFF"
    data_trace_enabled     = false
    throttling_rate_limit  = var.throttling_rate
    throttling_burst_limit = var.throttling_burst
  }
}

resource "aws_lambda_permission" "this" {
  statement_id  = "${var.name}-rest-api"
  action        = "lambda:InvokeFunction"
  principal     = "apigateway.amazonaws.com"
  function_name = var.function_name
  qualifier     = var.alias_name
  source_arn    = "${aws_api_gateway_rest_api.this.execution_arn}/${aws_api_gateway_stage.this.stage_name}/POST/${var.path}"
}

resource "aws_iam_role" "account_logging" {
  count = var.manage_account_logging ? 1 : 0

  name = "${var.name}-api-gateway-logs"
  tags = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "apigateway.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "account_logging" {
  count = var.manage_account_logging ? 1 : 0

  role = aws_iam_role.account_logging[0].name
  # The policy that API Gateway asks for: it checks the role when the account is set.
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
}

data "aws_partition" "current" {}

resource "aws_api_gateway_account" "this" {
  count = var.manage_account_logging ? 1 : 0

  cloudwatch_role_arn = aws_iam_role.account_logging[0].arn

  depends_on = [aws_iam_role_policy_attachment.account_logging]
}

mock_resource "aws_apigatewayv2_api" {
  defaults = { id = "api1234567", execution_arn = "arn:aws:execute-api:eu-central-1:123456789012:api1234567" }
}

mock_resource "aws_apigatewayv2_stage" {
  defaults = { invoke_url = "https://api1234567.execute-api.eu-central-1.amazonaws.com/live" }
}

mock_resource "aws_api_gateway_rest_api" {
  defaults = { id = "rest123456", execution_arn = "arn:aws:execute-api:eu-central-1:123456789012:rest123456" }
}

mock_resource "aws_api_gateway_stage" {
  defaults = { invoke_url = "https://rest123456.execute-api.eu-central-1.amazonaws.com/live" }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:made" }
}

mock_resource "aws_iam_instance_profile" {
  defaults = { arn = "arn:aws:iam::123456789012:instance-profile/made" }
}

mock_resource "aws_iam_outbound_web_identity_federation" {
  defaults = { issuer_identifier = "https://11111111-2222-3333-4444-555555555555.tokens.sts.global.api.aws" }
}

mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws:iam::123456789012:role/made" }
}

mock_resource "aws_lambda_alias" {
  defaults = {
    arn        = "arn:aws:lambda:eu-central-1:123456789012:function:made:live"
    invoke_arn = "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-central-1:123456789012:function:made:live/invocations"
  }
}

mock_resource "aws_lambda_function" {
  defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:made", version = "7" }
}

mock_resource "aws_lambda_function_url" {
  defaults = { function_url = "https://abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-central-1.on.aws/" }
}

mock_resource "aws_launch_template" {
  defaults = { id = "lt-0123456789abcdef0", latest_version = 3 }
}

mock_resource "aws_lb" {
  defaults = {
    arn      = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/made/0123456789abcdef"
    dns_name = "made-0123456789abcdef.elb.eu-central-1.amazonaws.com"
    zone_id  = "Z0123456789ABCDEFGHIJ"
  }
}

mock_resource "aws_lb_listener" {
  defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener/app/made/0123456789abcdef/0123456789abcdef" }
}

mock_resource "aws_lb_target_group" {
  defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/made/0123456789abcdef" }
}

mock_resource "aws_s3_bucket" {
  defaults = { arn = "arn:aws:s3:::made" }
}

mock_resource "aws_security_group" {
  defaults = { id = "sg-0123456789abcdef0" }
}

mock_resource "aws_sqs_queue" {
  defaults = { arn = "arn:aws:sqs:eu-central-1:123456789012:made", url = "https://sqs.eu-central-1.amazonaws.com/123456789012/made" }
}

mock_resource "aws_ssm_parameter" {
  defaults = { arn = "arn:aws:ssm:eu-central-1:123456789012:parameter/made" }
}

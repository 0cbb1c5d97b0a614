mock_provider "aws" {
  source = "../../testing/aws"
}

variables {
  name                      = "orders"
  vpc_id                    = "vpc-1"
  subnet_ids                = ["subnet-1", "subnet-2"]
  client_security_group_ids = { connector = "sg-11111111" }
  certificate_arn           = "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"
  hostname                  = "records.example.net"
  function_name             = "orders"
  alias_name                = "live"
  alias_arn                 = "arn:aws:lambda:eu-central-1:123456789012:function:orders:live"

  jwt = {
    issuer        = "https://issuer.example.net"
    jwks_endpoint = "https://issuer.example.net/.well-known/jwks.json"
    audience      = "records.example.net"
    subject       = "arn:aws:iam::123456789012:role/connector"
  }
}

run "is_internal_and_over_tls" {
  command = apply

  assert {
    condition     = aws_lb.this.internal && aws_lb.this.drop_invalid_header_fields && aws_lb.this.enable_deletion_protection
    error_message = "It has no public address, drops what is no header, and is not deleted by mistake."
  }

  assert {
    condition     = aws_lb_listener.this.protocol == "HTTPS" && startswith(aws_lb_listener.this.ssl_policy, "ELBSecurityPolicy-TLS13-1-2")
    error_message = "TLS 1.2 or 1.3, and nothing in the clear."
  }

  assert {
    condition     = one(values(aws_vpc_security_group_ingress_rule.this)).referenced_security_group_id == "sg-11111111" && one(values(aws_vpc_security_group_ingress_rule.this)).from_port == 443
    error_message = "Only the connector's security group gets in."
  }

  assert {
    condition     = aws_lb.this.access_logs[0].enabled
    error_message = "Requests are logged."
  }
}

run "asks_for_a_token" {
  command = apply

  assert {
    condition     = [for action in aws_lb_listener_rule.this.action : action.type] == ["jwt-validation", "forward"]
    error_message = "The token is checked before the function is called."
  }

  assert {
    condition = { for claim in aws_lb_listener_rule.this.action[0].jwt_validation[0].additional_claim : claim.name => one(claim.values) } == {
      aud = "records.example.net"
      sub = "arn:aws:iam::123456789012:role/connector"
    }
    error_message = "It has to be for this audience, and of this sender."
  }

  assert {
    condition     = aws_lb_listener.this.default_action[0].type == "fixed-response"
    error_message = "What is no record gets nowhere."
  }

  assert {
    condition     = output.caller_statements[0].Condition["ForAllValues:StringEquals"]["sts:IdentityTokenAudience"] == [var.jwt.audience] && output.caller_statements[0].Condition.StringEquals["sts:SigningAlgorithm"] == "RS256"
    error_message = "A caller may only have tokens for this audience made."
  }

  assert {
    condition     = output.destination.token.aws-web-identity.audience == var.jwt.audience && output.destination.urls == ["https://records.example.net/records"]
    error_message = "The connector shows such a token."
  }
}

run "calls_the_alias" {
  command = apply

  assert {
    condition     = aws_lb_target_group.this.target_type == "lambda" && aws_lb_target_group.this.lambda_multi_value_headers_enabled && aws_lb_target_group_attachment.this.target_id == var.alias_arn
    error_message = "With headers that come more than once."
  }

  assert {
    condition     = aws_lambda_permission.this.source_arn == aws_lb_target_group.this.arn && aws_lambda_permission.this.qualifier == "live"
    error_message = "Only this target group may."
  }
}

run "or_for_a_client_certificate" {
  command = apply

  variables {
    jwt             = null
    trust_store_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:truststore/orders/0123456789abcdef"
  }

  assert {
    condition     = aws_lb_listener.this.mutual_authentication[0].mode == "verify" && aws_lb_listener.this.mutual_authentication[0].trust_store_arn == var.trust_store_arn
    error_message = "Certificates are verified."
  }

  assert {
    condition     = length(output.caller_statements) == 0 && !can(output.destination.token) && length(aws_vpc_security_group_egress_rule.this) == 0
    error_message = "Then there is no token, and nothing to fetch."
  }
}

run "refuses_to_ask_for_nothing" {
  command = plan

  variables {
    jwt = null
  }

  expect_failures = [aws_lb_listener.this]
}

run "refuses_keys_in_the_clear" {
  command = plan

  variables {
    jwt = {
      issuer        = "https://issuer.example.net"
      jwks_endpoint = "http://issuer.example.net/jwks.json"
      audience      = "records.example.net"
    }
  }

  expect_failures = [var.jwt]
}

# An internal load balancer in front of a function. It checks no signatures: who sends shows a token (JWT) or a client
# certificate, and comes from a security group that is let in.

data "aws_region" "current" {}

locals {
  log_bucket = var.access_log_bucket == null ? module.access_logs[0].name : var.access_log_bucket
}

resource "aws_security_group" "this" {
  name        = "${var.name}-alb"
  description = "Load balancer in front of a consumer of change notifications"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = var.client_security_group_ids

  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = each.value
  description                  = "Records of ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  tags                         = var.tags
}

# To fetch the keys that tokens are checked with.
resource "aws_vpc_security_group_egress_rule" "this" {
  count = var.jwt == null ? 0 : 1

  security_group_id = aws_security_group.this.id
  cidr_ipv4         = "0.0.0.0/0"
  description       = "Keys that tokens are checked with"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = var.tags
}

resource "aws_lb" "this" {
  name                       = var.name
  internal                   = true
  load_balancer_type         = "application"
  security_groups            = [aws_security_group.this.id]
  subnets                    = var.subnet_ids
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection
  tags                       = var.tags

  access_logs {
    bucket  = local.log_bucket
    prefix  = var.name
    enabled = true
  }
}

resource "aws_lb_target_group" "this" {
  name        = var.name
  target_type = "lambda"
  # As the consumer library expects it: a header may come more than once.
  lambda_multi_value_headers_enabled = true
  tags                               = var.tags
}

resource "aws_lambda_permission" "this" {
  statement_id  = "${var.name}-alb"
  action        = "lambda:InvokeFunction"
  principal     = "elasticloadbalancing.amazonaws.com"
  function_name = var.function_name
  qualifier     = var.alias_name
  source_arn    = aws_lb_target_group.this.arn
}

resource "aws_lb_target_group_attachment" "this" {
  target_group_arn = aws_lb_target_group.this.arn
  target_id        = var.alias_arn

  depends_on = [aws_lambda_permission.this]
}

resource "aws_lb_listener" "this" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn
  tags              = var.tags

  dynamic "mutual_authentication" {
    for_each = var.trust_store_arn == null ? [] : [var.trust_store_arn]

    content {
      mode            = "verify"
      trust_store_arn = mutual_authentication.value
    }
  }

  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      message_body = "Nothing here."
      status_code  = "404"
    }
  }

  lifecycle {
    precondition {
      condition     = var.jwt != null || var.trust_store_arn != null
      error_message = "Set jwt or trust_store_arn: a load balancer checks no signatures, and the network alone is no proof of who sends."
    }
  }
}

resource "aws_lb_listener_rule" "this" {
  listener_arn = aws_lb_listener.this.arn
  priority     = 1
  tags         = var.tags

  condition {
    path_pattern {
      values = ["/${var.path}"]
    }
  }

  condition {
    http_request_method {
      values = ["POST"]
    }
  }

  dynamic "action" {
    for_each = var.jwt == null ? [] : [var.jwt]

    content {
      order = 1
      type  = "jwt-validation"

      jwt_validation {
        issuer        = action.value.issuer
        jwks_endpoint = action.value.jwks_endpoint

        additional_claim {
          name   = "aud"
          format = "single-string"
          values = [action.value.audience]
        }

        dynamic "additional_claim" {
          for_each = action.value.subject == null ? [] : [action.value.subject]

          content {
            name   = "sub"
            format = "single-string"
            values = [additional_claim.value]
          }
        }
      }
    }
  }

  action {
    order            = 2
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

resource "aws_route53_record" "this" {
  count = var.zone_id == null ? 0 : 1

  zone_id = var.zone_id
  name    = var.hostname
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}

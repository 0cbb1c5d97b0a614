# Access logs go to a bucket. Load balancers write with the keys of S3 only.

module "access_logs" {
  source = "../archive-bucket"
  count  = var.access_log_bucket == null ? 1 : 0

  name          = "${var.name}-alb-logs-${data.aws_caller_identity.current.account_id}"
  expire_days   = var.access_log_days
  force_destroy = !var.deletion_protection
  statements = [{
    Sid       = "LoadBalancerWritesLogs"
    Effect    = "Allow"
    Principal = { Service = "logdelivery.elasticloadbalancing.amazonaws.com" }
    Action    = "s3:PutObject"
    Resource  = "arn:${data.aws_partition.current.partition}:s3:::${var.name}-alb-logs-${data.aws_caller_identity.current.account_id}/${var.name}/AWSLogs/${data.aws_caller_identity.current.account_id}/*"
    Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
  }]
  tags = var.tags
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

# The connector on machines of its own: an autoscaling group behind a network load balancer. Nobody logs in by SSH, and no
# request that passes through a proxy gets at the credentials of a machine (IMDSv2, one hop).

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

data "aws_ssm_parameter" "ami" {
  count = var.ami_id == null ? 1 : 0

  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${var.architecture}"
}

locals {
  ami_id = var.ami_id == null ? nonsensitive(data.aws_ssm_parameter.ami[0].value) : var.ami_id

  # s3://bucket/key as an ARN, where the package is in a bucket.
  package_arn = startswith(var.package_url, "s3://") ? "arn:${data.aws_partition.current.partition}:s3:::${trimprefix(var.package_url, "s3://")}" : null

  collector_url = var.collector_package_url == null ? "https://aws-otel-collector.s3.amazonaws.com/amazon_linux/${var.architecture == "arm64" ? "arm64" : "amd64"}/latest/aws-otel-collector.rpm" : var.collector_package_url

  user_data = templatefile("${path.module}/user-data.sh.tftpl", {
    region           = data.aws_region.current.region
    package_url      = var.package_url
    package_sha256   = var.package_sha256
    config_parameter = aws_ssm_parameter.config.name
    config_sha256    = sha256(local.text)
    compressed       = local.compressed
    stop_timeout     = local.stop_timeout
    environment      = var.environment
    secrets          = var.secrets
    secret_files     = var.secret_files
    collector_url    = local.collector_url
    collector_config = base64encode(module.collector.yaml)
  })
}

module "collector" {
  source = "../collector"

  service         = var.name
  namespace       = var.metric_namespace
  manage_port     = local.manage_port
  log_group_name  = aws_cloudwatch_log_group.metrics.name
  log_group_arn   = aws_cloudwatch_log_group.metrics.arn
  log_stream_name = "@HOST@"
}

module "endpoint" {
  source = "../xdr-endpoint"

  name                      = var.name
  vpc_id                    = var.vpc_id
  subnet_ids                = var.subnet_ids
  ports                     = local.xdr_ports
  manage_port               = local.manage_port
  target_type               = "instance"
  target_security_group_id  = aws_security_group.this.id
  client_security_group_ids = var.aerospike_security_group_ids
  client_cidrs              = var.aerospike_cidrs
  tags                      = var.tags
}

resource "aws_cloudwatch_log_group" "metrics" {
  #checkov:skip=CKV_AWS_338:Metrics outlive the log that carries them.
  name              = "/esp-connector/${var.name}/metrics"
  retention_in_days = 7
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_security_group" "this" {
  name        = "${var.name}-machine"
  description = "Machines of the connector"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each = { for port in var.egress_ports : tostring(port) => port }

  security_group_id = aws_security_group.this.id
  cidr_ipv4         = "0.0.0.0/0"
  description       = "To destinations, to AWS, and to where packages are"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
  tags              = var.tags
}

resource "aws_launch_template" "this" {
  name                   = var.name
  image_id               = local.ami_id
  instance_type          = var.instance_type
  update_default_version = true
  user_data              = base64encode(local.user_data)
  ebs_optimized          = true
  tags                   = var.tags

  iam_instance_profile {
    arn = aws_iam_instance_profile.this.arn
  }

  network_interfaces {
    associate_public_ip_address = false
    security_groups             = [aws_security_group.this.id]
    delete_on_termination       = true
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "disabled"
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = var.volume_gb
      encrypted             = true
      kms_key_id            = var.kms_key_arn
      delete_on_termination = true
    }
  }

  monitoring {
    enabled = true
  }

  tag_specifications {
    resource_type = "instance"
    tags          = merge(var.tags, { Name = var.name })
  }

  tag_specifications {
    resource_type = "volume"
    tags          = merge(var.tags, { Name = var.name })
  }

  lifecycle {
    precondition {
      condition     = length(local.user_data) <= 16384
      error_message = "What a machine is started with is larger than EC2 takes (16 KB): fewer secrets, secret_files and environment variables."
    }
  }
}

resource "aws_autoscaling_group" "this" {
  name                      = var.name
  min_size                  = var.min_machines
  max_size                  = var.max_machines
  vpc_zone_identifier       = var.subnet_ids
  target_group_arns         = values(module.endpoint.target_group_arns)
  health_check_type         = "ELB"
  health_check_grace_period = 300
  wait_for_capacity_timeout = "10m"

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  # A new configuration or package is a new template, and new machines one after the other.
  instance_refresh {
    strategy = "Rolling"

    preferences {
      min_healthy_percentage = 100
      max_healthy_percentage = 150
      instance_warmup        = 120
      auto_rollback          = true
    }
  }

  dynamic "tag" {
    for_each = merge(var.tags, { Name = var.name })

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  depends_on = [aws_iam_role_policy.this]
}

resource "aws_autoscaling_policy" "window" {
  name                      = "${var.name}-window"
  autoscaling_group_name    = aws_autoscaling_group.this.name
  policy_type               = "TargetTrackingScaling"
  estimated_instance_warmup = 120

  target_tracking_configuration {
    target_value = var.window_use_target_percent

    customized_metric_specification {
      metrics {
        id          = "used"
        return_data = false

        metric_stat {
          stat = "Average"

          metric {
            namespace   = module.collector.namespace
            metric_name = "esp_connector_window_records"

            dimensions {
              name  = "service"
              value = var.name
            }
          }
        }
      }

      metrics {
        id          = "limit"
        return_data = false

        metric_stat {
          stat = "Average"

          metric {
            namespace   = module.collector.namespace
            metric_name = "esp_connector_window_records_limit"

            dimensions {
              name  = "service"
              value = var.name
            }
          }
        }
      }

      metrics {
        id          = "use"
        label       = "Window in use, percent"
        expression  = "100 * used / limit"
        return_data = true
      }
    }
  }
}

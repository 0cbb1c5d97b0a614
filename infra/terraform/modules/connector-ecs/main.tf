# The connector as a Fargate service: behind a network load balancer, drained before it stops, and as many tasks as its
# window and its lag ask for.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  cluster_name = var.cluster_name == null ? aws_ecs_cluster.this[0].name : var.cluster_name
  user         = "${var.uid}:${var.uid}"

  log_options = {
    awslogs-group         = aws_cloudwatch_log_group.this.name
    awslogs-region        = data.aws_region.current.region
    awslogs-stream-prefix = "task"
    # A log that is not taken must not stop records.
    mode            = "non-blocking"
    max-buffer-size = "4m"
  }

  # The image holds one static binary and no shell: another one writes the files.
  write_files = join("\n", concat(
    ["set -eu", "cd /etc/esp-connector"],
    [local.compressed ? "printf %s \"$CONFIG\" | base64 -d | gunzip > esp-connector.yml" : "printf %s \"$CONFIG\" > esp-connector.yml"],
    [for name in local.file_names : format("printf %%s \"$%s\" > '%s'", local.file_variables[name], name)],
    ["chmod 0400 -- *", "chown ${local.user} -- *"],
  ))

  files = {
    name                   = "files"
    image                  = var.init_image
    essential              = false
    user                   = "0:0"
    readonlyRootFilesystem = true
    entryPoint             = ["/bin/sh", "-c"]
    command                = [local.write_files]
    secrets = concat(
      [{ name = "CONFIG", valueFrom = aws_ssm_parameter.config.arn }],
      [for name in local.file_names : { name = local.file_variables[name], valueFrom = var.secret_files[name] }],
    )
    # A new configuration is a new revision, and with it a deployment.
    environment      = [{ name = "CONFIG_SHA256", value = sha256(local.text) }]
    mountPoints      = [{ sourceVolume = "etc", containerPath = "/etc/esp-connector", readOnly = false }]
    logConfiguration = { logDriver = "awslogs", options = local.log_options }
  }

  connector = merge(
    {
      name                   = "esp-connector"
      image                  = var.image
      essential              = true
      user                   = local.user
      readonlyRootFilesystem = true
      command                = ["run", "--config", "/etc/esp-connector/esp-connector.yml"]
      stopTimeout            = local.stop_timeout
      dependsOn              = [{ containerName = "files", condition = "SUCCESS" }]
      linuxParameters        = { initProcessEnabled = false, capabilities = { drop = ["ALL"] } }
      environment            = [for name in sort(keys(var.environment)) : { name = name, value = var.environment[name] }]
      secrets                = [for name in sort(keys(var.secrets)) : { name = name, valueFrom = var.secrets[name] }]
      portMappings           = [for port in concat(local.xdr_ports, [local.manage_port]) : { containerPort = port, hostPort = port, protocol = "tcp" }]
      mountPoints = concat(
        [{ sourceVolume = "etc", containerPath = "/etc/esp-connector", readOnly = true }],
        var.letters == null ? [] : [{ sourceVolume = "state", containerPath = local.state_path, readOnly = false }],
      )
      logConfiguration = { logDriver = "awslogs", options = local.log_options }
    },
    { for key, value in { healthCheck = { command = var.health_check_command, interval = 10, timeout = 5, retries = 3, startPeriod = 15 } } : key => value if length(var.health_check_command) > 0 },
  )

  collector = {
    name                   = "collector"
    image                  = var.collector_image
    essential              = false
    readonlyRootFilesystem = true
    cpu                    = 64
    memory                 = 192
    environment            = [{ name = "AOT_CONFIG_CONTENT", value = module.collector.yaml }]
    healthCheck            = { command = ["/healthcheck"], interval = 30, timeout = 5, retries = 3, startPeriod = 10 }
    logConfiguration       = { logDriver = "awslogs", options = local.log_options }
  }
}

module "collector" {
  source = "../collector"

  service         = var.name
  namespace       = var.metric_namespace
  manage_port     = local.manage_port
  log_group_name  = aws_cloudwatch_log_group.metrics.name
  log_group_arn   = aws_cloudwatch_log_group.metrics.arn
  log_stream_name = "{TaskId}"
}

module "endpoint" {
  source = "../xdr-endpoint"

  name                      = var.name
  vpc_id                    = var.vpc_id
  subnet_ids                = var.subnet_ids
  ports                     = local.xdr_ports
  manage_port               = local.manage_port
  target_type               = "ip"
  target_security_group_id  = aws_security_group.this.id
  client_security_group_ids = var.aerospike_security_group_ids
  client_cidrs              = var.aerospike_cidrs
  tags                      = var.tags
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/esp-connector/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_cloudwatch_log_group" "metrics" {
  #checkov:skip=CKV_AWS_338:Metrics outlive the log that carries them.
  name              = "/esp-connector/${var.name}/metrics"
  retention_in_days = 7
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_ecs_cluster" "this" {
  count = var.cluster_name == null ? 1 : 0

  name = var.name
  tags = var.tags

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory_mb
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode([local.files, local.connector, local.collector])
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture == "arm64" ? "ARM64" : "X86_64"
  }

  volume {
    name = "etc"
  }

  dynamic "volume" {
    for_each = var.letters == null ? [] : [var.letters]

    content {
      name = "state"

      efs_volume_configuration {
        file_system_id     = volume.value.file_system_id
        transit_encryption = "ENABLED"

        authorization_config {
          access_point_id = volume.value.access_point_id
          iam             = "ENABLED"
        }
      }
    }
  }
}

resource "aws_security_group" "this" {
  name        = "${var.name}-task"
  description = "Tasks of the connector"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each = { for port in distinct(concat(var.egress_ports, var.letters == null ? [] : [2049])) : tostring(port) => port }

  security_group_id = aws_security_group.this.id
  cidr_ipv4         = "0.0.0.0/0"
  description       = "To destinations and to AWS"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
  tags              = var.tags
}

resource "aws_ecs_service" "this" {
  name                               = var.name
  cluster                            = local.cluster_name
  task_definition                    = aws_ecs_task_definition.this.arn
  desired_count                      = var.min_tasks
  launch_type                        = "FARGATE"
  platform_version                   = "LATEST"
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 60
  availability_zone_rebalancing      = "ENABLED"
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  tags                               = var.tags

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = var.assign_public_ip
  }

  dynamic "load_balancer" {
    for_each = module.endpoint.target_group_arns

    content {
      target_group_arn = load_balancer.value
      container_name   = "esp-connector"
      container_port   = load_balancer.key
    }
  }

  lifecycle {
    # The autoscaling's business.
    ignore_changes = [desired_count]
  }

  depends_on = [aws_iam_role_policy.task, aws_iam_role_policy.execution]
}

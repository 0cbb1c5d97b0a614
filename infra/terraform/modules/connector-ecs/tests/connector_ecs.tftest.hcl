mock_provider "aws" {
  source = "../../testing/aws"
}

variables {
  name            = "orders"
  vpc_id          = "vpc-1"
  subnet_ids      = ["subnet-1", "subnet-2"]
  aerospike_cidrs = ["10.0.4.0/24"]
  image           = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/esp-connector:1"
  statements      = [{ Sid = "InvokeConsumer", Effect = "Allow", Action = ["lambda:InvokeFunction"], Resource = ["arn:aws:lambda:eu-central-1:123456789012:function:orders:live"] }]

  config = {
    service      = { port = 8901, manage = { port = 8902 }, tls = { port = 8943 }, shutdown-grace-period = 20000 }
    destinations = { records = { type = "aws-lambda", function-name = "orders" } }
    routing      = { mode = "static", destination = "records" }
  }
}

run "the_container_may_do_little" {
  command = apply

  assert {
    condition     = local.connector.readonlyRootFilesystem && local.connector.user == "65532:65532" && local.connector.linuxParameters.capabilities.drop == ["ALL"]
    error_message = "Read-only root, not root, no capabilities."
  }

  assert {
    condition     = alltrue([for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : container.readonlyRootFilesystem])
    error_message = "And so the others have a read-only root."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[1].mountPoints == [{ sourceVolume = "etc", containerPath = "/etc/esp-connector", readOnly = true }]
    error_message = "It reads its configuration and cannot change it."
  }

  assert {
    condition     = !aws_ecs_service.this.network_configuration[0].assign_public_ip
    error_message = "Tasks have no public address."
  }
}

run "stops_after_it_has_drained" {
  command = apply

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[1].stopTimeout == 40
    error_message = "20 s longer than the grace period of the configuration."
  }

  assert {
    condition     = aws_ecs_service.this.deployment_minimum_healthy_percent == 100 && aws_ecs_service.this.deployment_circuit_breaker[0].rollback
    error_message = "No deployment has fewer tasks than there should be, and what does not start is rolled back."
  }
}

run "takes_ports_from_the_configuration" {
  command = apply

  assert {
    condition     = [for port in jsondecode(aws_ecs_task_definition.this.container_definitions)[1].portMappings : port.containerPort] == [8901, 8943, 8902]
    error_message = "XDR in the clear and over TLS, and management."
  }

  assert {
    condition     = toset([for group in aws_ecs_service.this.load_balancer : group.container_port]) == toset([8901, 8943])
    error_message = "The load balancer has one group for each port of XDR."
  }

  assert {
    condition     = output.aerospike_conf == "connector true\nnode-address-port made-0123456789abcdef.elb.eu-central-1.amazonaws.com 8901\nnode-address-port made-0123456789abcdef.elb.eu-central-1.amazonaws.com 8943"
    error_message = "What aerospike.conf has to say."
  }
}

run "the_configuration_is_a_secret_string_and_a_change_a_deployment" {
  command = apply

  assert {
    condition     = aws_ssm_parameter.config.type == "SecureString" && yamldecode(aws_ssm_parameter.config.value) == var.config && aws_ssm_parameter.config.tier == "Standard"
    error_message = "The parameter holds the configuration, encrypted."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment[0].value == sha256(aws_ssm_parameter.config.value)
    error_message = "Another configuration is another revision."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[1].dependsOn == [{ containerName = "files", condition = "SUCCESS" }]
    error_message = "The connector starts when its configuration is there."
  }
}

run "scales_by_window_and_lag" {
  command = apply

  assert {
    condition     = [for metric in aws_appautoscaling_policy.window.target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metrics : metric.expression if metric.return_data] == ["100 * used / limit"]
    error_message = "How full the window is."
  }

  assert {
    condition     = aws_appautoscaling_policy.lag.target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metric_name == "aerospike_esp_outbound_requests_lag" && aws_appautoscaling_policy.lag.target_tracking_scaling_policy_configuration[0].target_value == 10000
    error_message = "How late records are, in milliseconds."
  }

  assert {
    condition     = aws_appautoscaling_target.this.min_capacity == 2 && aws_appautoscaling_target.this.max_capacity == 6
    error_message = "Within limits."
  }

  assert {
    condition     = length(setsubtract(["esp_connector_window_records", "esp_connector_window_records_limit", "aerospike_esp_outbound_requests_lag"], module.collector.metrics.whole)) == 0
    error_message = "The collector brings what the autoscaling looks at."
  }
}

run "may_do_no_more_than_it_has_to" {
  command = apply

  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.task.policy).Statement : statement.Sid] == ["WriteMetrics", "InvokeConsumer"]
    error_message = "The task: metrics, and what was asked for."
  }

  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.execution.policy).Statement : statement.Sid] == ["ReadConfiguration", "WriteLogs"]
    error_message = "ECS: its configuration and its log."
  }

  assert {
    condition     = !strcontains(aws_iam_role_policy.task.policy, "\"*\"") && !strcontains(aws_iam_role_policy.execution.policy, "\"*\"")
    error_message = "Nothing is allowed on everything."
  }

  assert {
    condition     = jsondecode(aws_iam_role.task.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    error_message = "Only tasks of this account take the role."
  }
}

run "secrets_get_in_as_variables_and_files" {
  command = apply

  variables {
    secrets            = { ORDERS_TOKEN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:orders-AbCdEf:token::" }
    secret_files       = { "server.key" = "arn:aws:ssm:eu-central-1:123456789012:parameter/orders/key" }
    ecr_repository_arn = "arn:aws:ecr:eu-central-1:123456789012:repository/esp-connector"
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[1].secrets == [{ name = "ORDERS_TOKEN", valueFrom = var.secrets.ORDERS_TOKEN }]
    error_message = "The connector has the variable."
  }

  assert {
    condition     = strcontains(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].command[0], "printf %s \"$FILE_0\" > 'server.key'") && jsondecode(aws_ecs_task_definition.this.container_definitions)[0].secrets[1] == { name = "FILE_0", valueFrom = var.secret_files["server.key"] }
    error_message = "The file is written before it starts."
  }

  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.execution.policy).Statement : statement.Sid => statement.Resource } == {
      ReadConfiguration = [aws_ssm_parameter.config.arn, "arn:aws:ssm:eu-central-1:123456789012:parameter/orders/key"]
      WriteLogs         = ["${aws_cloudwatch_log_group.this.arn}:*"]
      ReadSecrets       = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:orders-AbCdEf"]
      PullImage         = ["arn:aws:ecr:eu-central-1:123456789012:repository/esp-connector"]
      LogInToRegistry   = ["*"]
    }
    error_message = "ECS may read these secrets, and no others; the member of a secret is no part of its ARN."
  }
}

run "a_large_configuration_is_compressed" {
  command = apply

  variables {
    config = {
      service      = { port = 8901, manage = { port = 8902 } }
      destinations = { for number in range(200) : "destination-${number}" => { urls = ["https://receiver.example.net/records"] } }
    }
  }

  assert {
    condition     = startswith(aws_ssm_parameter.config.value, "H4sI") && strcontains(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].command[0], "base64 -d | gunzip")
    error_message = "And unpacked before the connector starts."
  }
}

run "files_need_a_file_system" {
  command = apply

  variables {
    letters = { file_system_id = "fs-0123456789abcdef0", access_point_id = "fsap-0123456789abcdef0" }
    config = {
      service      = { port = 8901, manage = { port = 8902 } }
      destinations = { letters = { type = "file", path = "/var/lib/esp-connector/letters" } }
    }
  }

  assert {
    condition     = one([for volume in aws_ecs_task_definition.this.volume : volume if volume.name == "state"]).efs_volume_configuration[0].transit_encryption == "ENABLED"
    error_message = "The file system is mounted, over TLS."
  }

  assert {
    condition     = contains(keys(aws_vpc_security_group_egress_rule.this), "2049")
    error_message = "And it can be reached."
  }
}

run "refuses_files_that_would_be_lost" {
  command = plan

  variables {
    config = {
      service      = { port = 8901, manage = { port = 8902 } }
      destinations = { letters = { type = "file", path = "letters" } }
    }
  }

  expect_failures = [aws_ssm_parameter.config]
}

run "refuses_to_be_killed_while_it_drains" {
  command = plan

  variables {
    stop_timeout_seconds = 15
  }

  expect_failures = [aws_ssm_parameter.config]
}

run "refuses_a_configuration_without_management" {
  command = plan

  variables {
    config = {
      service      = { port = 8901 }
      destinations = { records = { urls = ["https://receiver.example.net/records"] } }
    }
  }

  expect_failures = [var.config]
}

run "refuses_root" {
  command = plan

  variables {
    uid = 0
  }

  expect_failures = [var.uid]
}

run "refuses_a_configuration_without_destinations" {
  command = plan

  variables {
    config = { service = { port = 8901, manage = { port = 8902 } } }
  }

  expect_failures = [var.config]
}

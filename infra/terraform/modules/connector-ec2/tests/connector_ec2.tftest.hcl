mock_provider "aws" {
  source = "../../testing/aws"
}

variables {
  name            = "orders"
  vpc_id          = "vpc-1"
  subnet_ids      = ["subnet-1", "subnet-2"]
  aerospike_cidrs = ["10.0.4.0/24"]
  package_url     = "s3://packages/esp-connector.rpm"
  statements      = [{ Sid = "InvokeConsumer", Effect = "Allow", Action = ["lambda:InvokeFunction"], Resource = ["arn:aws:lambda:eu-central-1:123456789012:function:orders:live"] }]

  config = {
    service      = { port = 8901, manage = { port = 8902 }, tls = { port = 8943 }, shutdown-grace-period = 20000 }
    destinations = { records = { type = "aws-lambda", function-name = "orders" } }
    routing      = { mode = "static", destination = "records" }
  }
}

run "machines_are_closed" {
  command = apply

  assert {
    condition     = aws_launch_template.this.metadata_options[0].http_tokens == "required" && aws_launch_template.this.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "Credentials by IMDSv2 only, and not past the machine itself."
  }

  assert {
    condition     = tobool(aws_launch_template.this.block_device_mappings[0].ebs[0].encrypted)
    error_message = "The volume is encrypted."
  }

  assert {
    condition     = aws_launch_template.this.key_name == null && !tobool(aws_launch_template.this.network_interfaces[0].associate_public_ip_address)
    error_message = "No key for SSH, no public address."
  }

  assert {
    condition     = toset(keys(aws_vpc_security_group_egress_rule.this)) == toset(["443"])
    error_message = "They reach HTTPS, and nothing else unless asked for."
  }
}

run "starts_the_package_with_its_configuration" {
  command = apply

  assert {
    condition     = strcontains(local.user_data, "fetch 's3://packages/esp-connector.rpm'") && strcontains(local.user_data, "parameter '/orders/config' > /etc/esp-connector/esp-connector.yml") && strcontains(local.user_data, "systemctl enable --now esp-connector.service")
    error_message = "It installs, writes the configuration, and starts the service."
  }

  assert {
    condition     = strcontains(local.user_data, "TimeoutStopSec=40")
    error_message = "The service is given longer than its grace period."
  }

  assert {
    condition     = base64decode(aws_launch_template.this.user_data) == local.user_data && strcontains(local.user_data, sha256(aws_ssm_parameter.config.value))
    error_message = "Another configuration is another template."
  }

  assert {
    condition     = aws_autoscaling_group.this.health_check_type == "ELB" && aws_autoscaling_group.this.instance_refresh[0].preferences[0].min_healthy_percentage == 100
    error_message = "What is not alive is replaced, and never more at once than can be spared."
  }
}

run "may_do_no_more_than_it_has_to" {
  command = apply

  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Sid => statement.Resource } == {
      ReadConfiguration = [aws_ssm_parameter.config.arn]
      SessionManager    = ["*"]
      ReadPackage       = ["arn:aws:s3:::packages/esp-connector.rpm"]
      WriteMetrics      = ["${aws_cloudwatch_log_group.metrics.arn}:*"]
      InvokeConsumer    = ["arn:aws:lambda:eu-central-1:123456789012:function:orders:live"]
    }
    error_message = "Its own configuration and package, sessions, metrics, and what was asked for."
  }
}

run "checks_the_package_and_fetches_secrets" {
  command = apply

  variables {
    package_url    = "https://packages.example.net/esp-connector.rpm"
    package_sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    secrets        = { ORDERS_TOKEN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:orders-AbCdEf:token::" }
    secret_files   = { "server.key" = "arn:aws:ssm:eu-central-1:123456789012:parameter/orders/key" }
  }

  assert {
    condition     = strcontains(local.user_data, "${var.package_sha256}  ") && strcontains(local.user_data, "sha256sum --check")
    error_message = "Another package than the one that was meant is not installed."
  }

  assert {
    condition     = strcontains(local.user_data, "secret 'arn:aws:ssm:eu-central-1:123456789012:parameter/orders/key' > '/etc/esp-connector/server.key'") && strcontains(local.user_data, "'ORDERS_TOKEN' \"$(secret 'arn:aws:secretsmanager")
    error_message = "Secrets are fetched by the machine: none stands in the template."
  }

  assert {
    condition     = !contains([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Sid], "ReadPackage") && contains([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Sid], "ReadSecrets")
    error_message = "It may read the secret, and no bucket."
  }
}

run "refuses_packages_in_the_clear" {
  command = plan

  variables {
    package_url = "http://packages.example.net/esp-connector.rpm"
  }

  expect_failures = [var.package_url]
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

mock_provider "aws" {
  source = "../../testing/aws"
}

variables {
  name                      = "orders"
  vpc_id                    = "vpc-1"
  subnet_ids                = ["subnet-1", "subnet-2"]
  ports                     = [8901, 8943]
  manage_port               = 8902
  target_type               = "ip"
  target_security_group_id  = "sg-22222222"
  client_security_group_ids = { aerospike = "sg-11111111" }
  client_cidrs              = ["10.0.4.0/24"]
}

run "lets_the_servers_in_and_nobody_else" {
  command = apply

  assert {
    condition     = aws_lb.this.internal && aws_lb.this.load_balancer_type == "network"
    error_message = "It has no public address."
  }

  assert {
    condition     = toset([for rule in values(aws_vpc_security_group_ingress_rule.groups) : "${rule.referenced_security_group_id} ${rule.from_port}"]) == toset(["sg-11111111 8901", "sg-11111111 8943"])
    error_message = "The servers' group, on XDR's ports."
  }

  assert {
    condition     = toset([for rule in values(aws_vpc_security_group_ingress_rule.cidrs) : "${rule.cidr_ipv4} ${rule.from_port}"]) == toset(["10.0.4.0/24 8901", "10.0.4.0/24 8943"])
    error_message = "The servers' addresses, on XDR's ports."
  }

  assert {
    condition     = alltrue([for rule in values(aws_vpc_security_group_ingress_rule.targets) : rule.referenced_security_group_id == aws_security_group.this.id && rule.security_group_id == "sg-22222222"])
    error_message = "The management port, which asks nobody who they are, is only open to the load balancer."
  }
}

run "asks_whether_it_is_alive" {
  command = apply

  assert {
    condition     = alltrue([for group in values(aws_lb_target_group.this) : group.health_check[0].path == "/healthz" && group.health_check[0].port == "8902"])
    error_message = "Not whether it is ready: a destination that holds would have all instances replaced, again and again."
  }

  assert {
    condition     = alltrue([for group in values(aws_lb_target_group.this) : group.deregistration_delay == "30" && group.connection_termination])
    error_message = "Connections to what goes away end."
  }

  assert {
    condition     = toset(keys(output.target_group_arns)) == toset(["8901", "8943"])
    error_message = "A group for each port."
  }
}

run "refuses_more_ports_than_ecs_takes" {
  command = plan

  variables {
    ports = [1, 2, 3, 4, 5, 6]
  }

  expect_failures = [var.ports]
}

# An address for `node-address-port` of aerospike.conf that outlives every instance of the connector: an internal network
# load balancer. Cloud Map would cost less, but its addresses change with every deployment, and the servers would have to
# look them up again.
#
# XDR keeps its connections: a new instance takes new ones, and those of instances that go. TCP all the way: where there is
# TLS, the connector ends it.

locals {
  ports = { for port in var.ports : tostring(port) => port }
}

resource "aws_security_group" "this" {
  name        = var.name
  description = "Network load balancer in front of the connector"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "groups" {
  for_each = { for pair in setproduct(keys(local.ports), keys(var.client_security_group_ids)) : join(" ", pair) => pair }

  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = var.client_security_group_ids[each.value[1]]
  description                  = "XDR of ${each.value[1]}"
  ip_protocol                  = "tcp"
  from_port                    = local.ports[each.value[0]]
  to_port                      = local.ports[each.value[0]]
  tags                         = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "cidrs" {
  for_each = { for pair in setproduct(keys(local.ports), var.client_cidrs) : join(" ", pair) => pair }

  security_group_id = aws_security_group.this.id
  cidr_ipv4         = each.value[1]
  description       = "XDR of the Aerospike servers"
  ip_protocol       = "tcp"
  from_port         = local.ports[each.value[0]]
  to_port           = local.ports[each.value[0]]
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each = merge(local.ports, { manage = var.manage_port })

  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = var.target_security_group_id
  description                  = each.key == "manage" ? "Health checks" : "XDR"
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  tags                         = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "targets" {
  for_each = merge(local.ports, { manage = var.manage_port })

  security_group_id            = var.target_security_group_id
  referenced_security_group_id = aws_security_group.this.id
  description                  = each.key == "manage" ? "Health checks" : "XDR"
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  tags                         = var.tags
}

resource "aws_lb" "this" {
  #checkov:skip=CKV_AWS_91:Network load balancers only log TLS listeners; these are TCP.
  #checkov:skip=CKV_AWS_150:Deletion protection is a variable; it holds nothing that could be lost.
  # Not the name alone: an application load balancer of the same pipeline may have that.
  name                             = "${var.name}-xdr"
  internal                         = true
  load_balancer_type               = "network"
  security_groups                  = [aws_security_group.this.id]
  subnets                          = var.subnet_ids
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = var.deletion_protection
  tags                             = var.tags
}

resource "aws_lb_target_group" "this" {
  for_each = local.ports

  name        = "${var.name}-${each.key}"
  vpc_id      = var.vpc_id
  target_type = var.target_type
  protocol    = "TCP"
  port        = each.value
  tags        = var.tags

  # What goes away keeps its connections for this long, then gets SIGTERM and answers what it has read.
  deregistration_delay   = 30
  connection_termination = true

  # Alive, not ready: a destination that holds needs an operator, and new instances would not help it.
  health_check {
    protocol            = "HTTP"
    port                = var.manage_port
    path                = "/healthz"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

resource "aws_lb_listener" "this" {
  for_each = local.ports

  load_balancer_arn        = aws_lb.this.arn
  port                     = each.value
  protocol                 = "TCP"
  tcp_idle_timeout_seconds = 3600
  tags                     = var.tags

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this[each.key].arn
  }
}

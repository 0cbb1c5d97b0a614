# Aerospike -> connector on Fargate -> internal load balancer that checks a token -> Lambda -> SQS (FIFO: a record's versions
# in order). The token is AWS's own, so there is no secret anywhere.

module "queue" {
  source = "../../modules/queue"

  name = "${var.name}-records"
  fifo = true
}

module "consumer" {
  source = "../../modules/consumer-lambda"

  name        = "${var.name}-to-sqs"
  zip_path    = var.zip_path
  environment = { QUEUE_URL = module.queue.url }
  statements  = module.queue.sender_statements
}

# Switched on once for an account; where it is already, name its issuer.
resource "aws_iam_outbound_web_identity_federation" "this" {
  count = var.token_issuer == null ? 1 : 0
}

locals {
  issuer = var.token_issuer == null ? aws_iam_outbound_web_identity_federation.this[0].issuer_identifier : var.token_issuer

  config = {
    service      = { port = 8901, manage = { port = 8902 }, cluster-name = var.name }
    destinations = { records = module.alb.destination }
    format       = { mode = "flat-json", metadata-key = "_meta" }
    # A load balancer takes requests of 1 MB; the connector splits what is larger.
    batching = { max-records = 100 }
    routing  = { mode = "static", destination = "records" }
    logging  = { format = "json", levels = { root = "info" } }
  }
}

module "alb" {
  source = "../../modules/alb"

  name                      = var.name
  vpc_id                    = var.vpc_id
  subnet_ids                = var.subnet_ids
  client_security_group_ids = { connector = module.connector.security_group_id }
  certificate_arn           = var.certificate_arn
  hostname                  = var.hostname
  zone_id                   = var.zone_id
  function_name             = module.consumer.function_name
  alias_name                = module.consumer.alias_name
  alias_arn                 = module.consumer.alias_arn

  jwt = {
    issuer        = local.issuer
    jwks_endpoint = "${local.issuer}/.well-known/jwks.json"
    audience      = var.hostname
    subject       = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:role/${var.name}-task"
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

module "connector" {
  source = "../../modules/connector-ecs"

  name               = var.name
  vpc_id             = var.vpc_id
  subnet_ids         = var.subnet_ids
  aerospike_cidrs    = var.aerospike_cidrs
  image              = var.image
  ecr_repository_arn = var.ecr_repository_arn
  config             = local.config
  statements         = module.alb.caller_statements
}

module "observability" {
  source = "../../modules/observability"

  name             = var.name
  connector        = module.connector.metrics
  functions        = { consumer = { name = module.consumer.function_name, alias = module.consumer.alias_name } }
  queues           = { records = { name = module.queue.name, dead_letter_name = module.queue.dead_letter_name } }
  alarm_topic_arns = var.alarm_topic_arns
}

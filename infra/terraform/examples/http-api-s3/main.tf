# Aerospike -> connector on Fargate -> HTTP API, signed -> Lambda -> S3.

data "aws_caller_identity" "current" {}

module "archive" {
  source = "../../modules/archive-bucket"

  name                   = "${var.name}-${data.aws_caller_identity.current.account_id}-${var.region}"
  prefix                 = "records/"
  infrequent_access_days = 30
}

module "consumer" {
  source = "../../modules/consumer-lambda"

  name        = "${var.name}-to-s3"
  zip_path    = var.zip_path
  environment = { BUCKET = module.archive.name, PREFIX = "records/" }
  statements  = module.archive.writer_statements
}

module "api" {
  source = "../../modules/http-api"

  name             = var.name
  function_name    = module.consumer.function_name
  alias_name       = module.consumer.alias_name
  alias_invoke_arn = module.consumer.alias_invoke_arn
}

locals {
  config = {
    service      = { port = 8901, manage = { port = 8902 }, cluster-name = var.name }
    destinations = { records = module.api.destination }
    format       = { mode = "flat-json", metadata-key = "_meta" }
    # An object for each request: larger ones are fewer and cheaper.
    batching = { max-records = 500, batch-interval = 1000 }
    routing  = { mode = "static", destination = "records" }
    logging  = { format = "json", levels = { root = "info" } }
  }
}

module "connector" {
  source = "../../modules/connector-ecs"

  name               = var.name
  vpc_id             = var.vpc_id
  subnet_ids         = var.subnet_ids
  aerospike_cidrs    = var.aerospike_cidrs
  image              = var.image
  ecr_repository_arn = var.ecr_repository_arn
  config             = local.config
  statements         = module.api.caller_statements
}

module "observability" {
  source = "../../modules/observability"

  name             = var.name
  connector        = module.connector.metrics
  functions        = { consumer = { name = module.consumer.function_name, alias = module.consumer.alias_name } }
  alarm_topic_arns = var.alarm_topic_arns
}

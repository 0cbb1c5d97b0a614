# Aerospike -> connector on Fargate -> Lambda, called directly -> SQS. The shortest way, and the cheapest.

module "queue" {
  source = "../../modules/queue"

  name = "${var.name}-records"
}

module "consumer" {
  source = "../../modules/consumer-lambda"

  name        = "${var.name}-to-sqs"
  zip_path    = var.zip_path
  environment = { QUEUE_URL = module.queue.url }
  statements  = module.queue.sender_statements
}

locals {
  config = {
    service      = { port = 8901, manage = { port = 8902 }, cluster-name = var.name }
    destinations = { records = module.consumer.destination }
    format       = { mode = "flat-json", metadata-key = "_meta" }
    batching     = { max-records = 100 }
    routing      = { mode = "static", destination = "records" }
    logging      = { format = "json", levels = { root = "info" } }
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
  statements         = module.consumer.caller_statements
}

module "observability" {
  source = "../../modules/observability"

  name             = var.name
  connector        = module.connector.metrics
  functions        = { consumer = { name = module.consumer.function_name, alias = module.consumer.alias_name } }
  queues           = { records = { name = module.queue.name, dead_letter_name = module.queue.dead_letter_name } }
  alarm_topic_arns = var.alarm_topic_arns
}

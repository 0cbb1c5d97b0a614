variable "name" {
  description = "First part of all names."
  type        = string
  default     = "orders-alb"
}

variable "region" {
  description = "Region of AWS."
  type        = string
  default     = "eu-central-1"
}

variable "vpc_id" {
  description = "VPC with the Aerospike servers, or with a way to them."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets in it, in two zones at least, with a way to AWS."
  type        = list(string)
}

variable "aerospike_cidrs" {
  description = "Addresses of the Aerospike servers, as IPv4 networks."
  type        = list(string)
}

variable "image" {
  description = "Image of the connector, built from infra/docker for `architecture`."
  type        = string
}

variable "ecr_repository_arn" {
  description = "ECR repository of the image, where it is private."
  type        = string
  default     = null
}

variable "zip_path" {
  description = "The consumer, built by `cargo lambda build --profile lambda --arm64 --output-format zip`."
  type        = string
  default     = "../../../../target/lambda/to-sqs/bootstrap.zip"
}

variable "certificate_arn" {
  description = "Certificate in ACM for `hostname`."
  type        = string
}

variable "hostname" {
  description = "Name that the connector calls."
  type        = string
}

variable "zone_id" {
  description = "Private hosted zone in which `hostname` is made; null when it is made elsewhere."
  type        = string
  default     = null
}

variable "token_issuer" {
  description = "Issuer of the account's outbound identity federation, where it is switched on already; it is switched on when null."
  type        = string
  default     = null
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms go to; without one they only show."
  type        = list(string)
  default     = []
}

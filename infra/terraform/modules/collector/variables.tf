variable "service" {
  description = "Value of the dimension `service`: the name of the connector."
  type        = string
}

variable "namespace" {
  description = "Namespace of the metrics in CloudWatch."
  type        = string
  default     = "EspConnector"
}

variable "manage_port" {
  description = "Management port of the connector."
  type        = number
}

variable "log_group_name" {
  description = "Log group that carries the metrics."
  type        = string
}

variable "log_group_arn" {
  description = "ARN of that log group."
  type        = string
}

variable "log_stream_name" {
  description = "Stream in it; `{TaskId}` stands for the task."
  type        = string
}

variable "name" {
  description = "Name of the API."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]{1,40}$", var.name))
    error_message = "Up to 40 letters, digits and hyphens."
  }
}

variable "function_name" {
  description = "Name of the function."
  type        = string
}

variable "alias_name" {
  description = "Name of its alias."
  type        = string
}

variable "alias_invoke_arn" {
  description = "What API Gateway calls: the invoke ARN of the alias."
  type        = string
}

variable "path" {
  description = "Path that takes records."
  type        = string
  default     = "records"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]+$", var.path))
    error_message = "One word without slashes."
  }
}

variable "stage_name" {
  description = "Name of the stage, the first part of the URL's path."
  type        = string
  default     = "live"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,128}$", var.stage_name))
    error_message = "Letters, digits, hyphens and underscores."
  }
}

variable "throttling_rate" {
  description = "Requests a second; more are answered 429, and the connector waits."
  type        = number
  default     = 1000

  validation {
    condition     = var.throttling_rate > 0
    error_message = "More than nothing."
  }
}

variable "throttling_burst" {
  description = "Requests at once above that."
  type        = number
  default     = 500

  validation {
    condition     = var.throttling_burst > 0
    error_message = "More than nothing."
  }
}

variable "integration_timeout_ms" {
  description = "How long the gateway waits for the function: longer than the function's own limit, shorter than `caller_timeout_ms`."
  type        = number
  default     = 6500

  validation {
    condition     = var.integration_timeout_ms >= 50 && var.integration_timeout_ms <= 29000
    error_message = "From 50 to 29000."
  }

  validation {
    condition     = var.integration_timeout_ms < var.caller_timeout_ms
    error_message = "The connector would give up before the gateway does; a 504 of the gateway tells more than no answer."
  }
}

variable "binary_media_types" {
  description = "Content types whose bodies are binary: those of compressed, MessagePack and Avro bodies. They reach the function as base64, and take 3 MiB at most."
  type        = list(string)
  default     = []
}

variable "manage_account_logging" {
  description = "Whether to set the role through which all REST APIs of this account and region write logs: true when it has none yet."
  type        = bool
  default     = false
}

variable "caller_timeout_ms" {
  description = "`call-timeout` of the connector's destination, in milliseconds."
  type        = number
  default     = 7000

  validation {
    condition     = var.caller_timeout_ms >= 100 && var.caller_timeout_ms < 8000
    error_message = "From 100 to 7999: each record is answered within 8 seconds, whatever its destination does."
  }
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 365

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "One of the numbers that CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, ..."
  }
}

variable "kms_key_arn" {
  description = "Your own key for the logs; its key policy has to allow CloudWatch Logs. AWS-owned keys when null."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything in here."
  type        = map(string)
  default     = {}
}

variable "function_name" {
  description = "Name of the function."
  type        = string
}

variable "alias_name" {
  description = "Name of its alias."
  type        = string
}

variable "alias_arn" {
  description = "ARN of the alias."
  type        = string
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


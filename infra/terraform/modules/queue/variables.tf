variable "name" {
  description = "Name of the queue, without `.fifo`. The one for dead letters has `-dead` behind it."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,70}$", var.name))
    error_message = "Up to 70 letters, digits, hyphens and underscores; `.fifo` is added where it belongs."
  }
}

variable "fifo" {
  description = "Whether messages of a group keep their order and are deduplicated for five minutes."
  type        = bool
  default     = false
}

variable "max_receive_count" {
  description = "How often a message is handed out before it becomes a dead letter."
  type        = number
  default     = 5

  validation {
    condition     = var.max_receive_count >= 1 && var.max_receive_count <= 1000
    error_message = "From 1 to 1000."
  }
}

variable "message_retention_seconds" {
  description = "How long a message is kept. Dead letters are kept for 14 days, the most there is."
  type        = number
  default     = 345600

  validation {
    condition     = var.message_retention_seconds >= 60 && var.message_retention_seconds <= 1209600
    error_message = "From a minute to 14 days."
  }
}

variable "visibility_timeout_seconds" {
  description = "How long a message that was handed out stays hidden from others: longer than its reader works on it."
  type        = number
  default     = 60

  validation {
    condition     = var.visibility_timeout_seconds >= 0 && var.visibility_timeout_seconds <= 43200
    error_message = "Up to 12 hours."
  }
}

variable "kms_key_arn" {
  description = "Your own key for encryption at rest. Without it the key of SQS encrypts, at no cost."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything in here."
  type        = map(string)
  default     = {}
}

variable "name" {
  description = "Name of the dashboard, and first part of the names of the alarms."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,100}$", var.name))
    error_message = "Up to 100 letters, digits, hyphens and underscores."
  }
}

variable "connector" {
  description = "Where the connector's metrics are: the output `metrics` of its module."
  type = object({
    namespace    = string
    service      = string
    destinations = list(string)
  })
}

variable "functions" {
  description = "Functions that it calls, by a name of your choice."
  type = map(object({
    name  = string
    alias = string
  }))
  default = {}
}

variable "queues" {
  description = "Queues behind them, by a name of your choice."
  type = map(object({
    name             = string
    dead_letter_name = string
  }))
  default = {}
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms go to; without one they only show."
  type        = list(string)
  default     = []
}

variable "lag_alarm_seconds" {
  description = "Lag that is an alarm when it lasts five minutes."
  type        = number
  default     = 60

  validation {
    condition     = var.lag_alarm_seconds > 0
    error_message = "More than nothing."
  }
}

variable "queue_age_alarm_seconds" {
  description = "Age of the oldest message that is an alarm when it lasts five minutes."
  type        = number
  default     = 600

  validation {
    condition     = var.queue_age_alarm_seconds > 0
    error_message = "More than nothing."
  }
}

variable "function_error_threshold" {
  description = "Errors of a function a minute that are no alarm yet."
  type        = number
  default     = 0
}

variable "function_throttle_threshold" {
  description = "Throttled calls a minute that are no alarm yet; the connector lives with some, that is how it finds its pace."
  type        = number
  default     = 60
}

variable "tags" {
  description = "Tags of everything in here."
  type        = map(string)
  default     = {}
}

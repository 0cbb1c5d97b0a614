variable "project" {
  description = "Project."
  type        = string
}

variable "name" {
  description = "First part of the names of the policies."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,100}$", var.name))
    error_message = "Up to 100 letters, digits, hyphens and underscores."
  }
}

variable "connector" {
  description = "Which metrics are the connector's: the output `metrics` of its module."
  type = object({
    service      = string
    destinations = list(string)
  })

  validation {
    condition     = alltrue([for name in concat([var.connector.service], var.connector.destinations) : can(regex("^[^\"\\\\%\n]+$", name))])
    error_message = "Names without quotation marks, backslashes and per cent signs: they stand in queries."
  }
}

variable "services" {
  description = "Cloud Run services, or functions of the second generation, that it calls, by a name of your choice."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for service in values(var.services) : can(regex("^[a-z][a-z0-9-]*$", service))])
    error_message = "Names of services: small letters, digits and hyphens."
  }
}

variable "notification_channels" {
  description = "Channels that alarms go to, `projects/PROJECT/notificationChannels/ID`; without one they only show."
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

variable "function_error_threshold" {
  description = "Errors of a function a minute that are no alarm yet."
  type        = number
  default     = 0
}

variable "function_throttle_threshold" {
  description = "Calls a minute that are answered 429 and are no alarm yet; the connector lives with some, that is how it finds its pace."
  type        = number
  default     = 60
}

variable "labels" {
  description = "Labels of everything in here."
  type        = map(string)
  default     = {}
}

variable "project" {
  description = "Project."
  type        = string
}

variable "region" {
  description = "Region of the function and of its bucket."
  type        = string
}

variable "name" {
  description = "Name of the function, and of the service account it runs as."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.name))
    error_message = "6 to 30 small letters, digits and hyphens, beginning with a letter: it is the name of a service account, too."
  }
}

variable "bucket" {
  description = "Name of the bucket for the archive, unique in all of Google Cloud."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9_-]{1,54}[a-z0-9]$", var.bucket))
    error_message = "3 to 56 small letters, digits, hyphens and underscores: `-source` is added for the code."
  }
}

variable "zip_path" {
  description = "The archive with the function's source."
  type        = string
}

variable "invoker_email" {
  description = "The one service account that may call: the connector's."
  type        = string

  validation {
    condition     = can(regex("^[^@:]+@[^@:]+$", var.invoker_email))
    error_message = "The e-mail address of a service account. Nobody else: not allUsers."
  }
}

variable "runtime" {
  description = "Runtime of the function."
  type        = string
  default     = "python313"
}

variable "entry_point" {
  description = "Function in the source."
  type        = string
  default     = "archive"
}

variable "environment" {
  description = "Environment variables beside BUCKET. No secrets."
  type        = map(string)
  default     = {}
}

variable "memory" {
  description = "Memory of an instance."
  type        = string
  default     = "512Mi"
}

variable "timeout_seconds" {
  description = "Longest run of a call: shorter than what the connector waits (`caller_timeout_ms`)."
  type        = number
  default     = 6

  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds <= 3600
    error_message = "From 1 to 3600."
  }
}

variable "caller_timeout_ms" {
  description = "`call-timeout` of the connector's destination, in milliseconds."
  type        = number
  default     = 7000
}

variable "min_instances" {
  description = "Instances that are kept; 0 costs nothing and starts slowly."
  type        = number
  default     = 0
}

variable "max_instances" {
  description = "Most instances; more calls are answered 429, and the connector waits."
  type        = number
  default     = 20

  validation {
    condition     = var.max_instances >= 1
    error_message = "At least 1."
  }
}

variable "instance_concurrency" {
  description = "Calls that an instance works on at once."
  type        = number
  default     = 8

  validation {
    condition     = var.instance_concurrency >= 1 && var.instance_concurrency <= 1000
    error_message = "From 1 to 1000."
  }
}

variable "ingress" {
  description = "Where calls may come from. From machines of the project's own networks by default; ALLOW_ALL where the connector is elsewhere."
  type        = string
  default     = "ALLOW_INTERNAL_ONLY"

  validation {
    condition     = contains(["ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB", "ALLOW_ALL"], var.ingress)
    error_message = "One of ALLOW_INTERNAL_ONLY, ALLOW_INTERNAL_AND_GCLB, ALLOW_ALL."
  }
}

variable "build_service_account" {
  description = "Service account that builds, projects/PROJECT/serviceAccounts/EMAIL; the project's default when null."
  type        = string
  default     = null
}

variable "kms_key_name" {
  description = "Your own key for the archive; keys of Google when null."
  type        = string
  default     = null
}

variable "noncurrent_days" {
  description = "Days after which versions that were overwritten or deleted go."
  type        = number
  default     = 30

  validation {
    condition     = var.noncurrent_days >= 1
    error_message = "At least a day."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes an archive that still holds objects."
  type        = bool
  default     = false
}

variable "labels" {
  description = "Labels of everything in here."
  type        = map(string)
  default     = {}
}

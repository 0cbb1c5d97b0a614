variable "name" {
  description = "Name of the function."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]{1,50}$", var.name))
    error_message = "Up to 50 letters, digits and hyphens."
  }
}

variable "zip_path" {
  description = "The archive with `bootstrap` in it, as `cargo lambda build --output-format zip` makes it."
  type        = string
}

variable "architecture" {
  description = "What `bootstrap` was built for: `arm64`, which costs a fifth less, or `x86_64`."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "Either arm64 or x86_64."
  }
}

variable "memory_mb" {
  description = "Memory in MB; processor time comes in proportion."
  type        = number
  default     = 256

  validation {
    condition     = var.memory_mb >= 128 && var.memory_mb <= 10240
    error_message = "From 128 to 10240."
  }
}

variable "timeout_seconds" {
  description = "Longest run of a call: shorter than what the connector waits (`caller_timeout_ms`)."
  type        = number
  default     = 6

  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds <= 900
    error_message = "From 1 to 900."
  }
}

variable "caller_timeout_ms" {
  description = "`call-timeout` of the connector's destination, in milliseconds; 7000 where its configuration does not say."
  type        = number
  default     = 7000
}

variable "reserved_concurrency" {
  description = "Most calls at once, kept free for this function; more are answered 429, and the connector waits. -1 for none of its own."
  type        = number
  default     = 32

  validation {
    condition     = var.reserved_concurrency == -1 || var.reserved_concurrency >= 1
    error_message = "At least 1, or -1; 0 would stop the function."
  }
}

variable "environment" {
  description = "Environment variables, such as QUEUE_URL or BUCKET. No secrets."
  type        = map(string)
  default     = {}
}

variable "statements" {
  description = "What the function may do: IAM statements, such as `sender_statements` of a queue. Writing its log is allowed anyway."
  type        = any
  default     = []
}

variable "alias_name" {
  description = "Name of the alias that is called."
  type        = string
  default     = "live"
}

variable "on_failure_queue_arn" {
  description = "Queue for what an asynchronous call (`invocation-type: Event`) failed on; null where calls are synchronous."
  type        = string
  default     = null
}

variable "tracing" {
  description = "Whether calls are traced with X-Ray."
  type        = bool
  default     = true
}

variable "subnet_ids" {
  description = "Subnets, where the function has to reach something private."
  type        = list(string)
  default     = []
}

variable "security_group_ids" {
  description = "Security groups of the function, with `subnet_ids`."
  type        = list(string)
  default     = []
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
  description = "Your own key for the logs and for the environment of the function; its key policy has to allow CloudWatch Logs. AWS-owned keys when null."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything in here."
  type        = map(string)
  default     = {}
}

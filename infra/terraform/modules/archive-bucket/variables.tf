variable "name" {
  description = "Name of the bucket, unique in all of AWS."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "3 to 63 small letters, digits and hyphens; dots break TLS to the bucket's own name."
  }
}

variable "prefix" {
  description = "What the keys of the writer begin with: it may write nothing else."
  type        = string
  default     = ""

  validation {
    condition     = !startswith(var.prefix, "/")
    error_message = "Keys do not begin with a slash."
  }
}

variable "kms_key_arn" {
  description = "Your own key for encryption at rest. Without it the key of S3 encrypts (SSE-S3)."
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

variable "infrequent_access_days" {
  description = "Days after which objects over 128 KB move to STANDARD_IA; never when null."
  type        = number
  default     = null

  validation {
    condition     = var.infrequent_access_days == null || try(var.infrequent_access_days >= 30, false)
    error_message = "S3 moves them after 30 days at the earliest."
  }
}

variable "expire_days" {
  description = "Days after which objects are deleted; never when null."
  type        = number
  default     = null

  validation {
    condition     = var.expire_days == null || try(var.expire_days >= 1, false)
    error_message = "At least a day."
  }
}

variable "access_log_bucket" {
  description = "Bucket for the access logs of this one; none when null."
  type        = string
  default     = null
}

variable "statements" {
  description = "More statements for the bucket's own policy, such as those of a service that writes logs."
  type        = any
  default     = []
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes a bucket that still holds objects."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of everything in here."
  type        = map(string)
  default     = {}
}

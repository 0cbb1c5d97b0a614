variable "name" {
  description = "Name of the load balancer."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]{1,32}$", var.name))
    error_message = "Up to 32 letters, digits and hyphens."
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

variable "alias_arn" {
  description = "ARN of the alias."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the load balancer."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the load balancer, in two zones at least."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "A load balancer needs subnets in two zones."
  }
}

variable "client_security_group_ids" {
  description = "Security groups that may connect, by a name of your choice: the connector's."
  type        = map(string)
}

variable "certificate_arn" {
  description = "Certificate of the listener, in ACM, for `hostname`."
  type        = string
}

variable "hostname" {
  description = "Name that the connector calls; the certificate is for it."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9.-]+$", var.hostname))
    error_message = "A host name: no scheme, no path."
  }
}

variable "zone_id" {
  description = "Private hosted zone in which `hostname` is made; null when it is made elsewhere."
  type        = string
  default     = null
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

variable "jwt" {
  description = "Whose tokens are taken (RS256): issuer, where its keys are, the audience, and the subject when only one may send. For tokens of AWS the issuer is that of the account's outbound identity federation."
  type = object({
    issuer        = string
    jwks_endpoint = string
    audience      = string
    subject       = optional(string)
  })
  default = null

  validation {
    condition     = var.jwt == null || try(startswith(var.jwt.jwks_endpoint, "https://"), false)
    error_message = "jwks_endpoint is an https address."
  }
}

variable "trust_store_arn" {
  description = "Trust store with the authorities of client certificates, for mutual TLS."
  type        = string
  default     = null
}

variable "access_log_bucket" {
  description = "Bucket for access logs; one is made when null."
  type        = string
  default     = null
}

variable "access_log_days" {
  description = "Days that access logs are kept, in the bucket that is made."
  type        = number
  default     = 90

  validation {
    condition     = var.access_log_days >= 1
    error_message = "At least a day."
  }
}

variable "deletion_protection" {
  description = "Whether the load balancer, and its logs, have to be unprotected before they can be destroyed."
  type        = bool
  default     = true
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

variable "tags" {
  description = "Tags of everything in here."
  type        = map(string)
  default     = {}
}

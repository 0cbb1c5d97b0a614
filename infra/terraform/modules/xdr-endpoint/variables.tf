variable "name" {
  description = "Name of the load balancer."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]{1,26}$", var.name))
    error_message = "Up to 26 letters, digits and hyphens: a port is added to it."
  }
}

variable "vpc_id" {
  description = "VPC of the load balancer."
  type        = string
}

variable "subnet_ids" {
  description = "Its subnets: those near the Aerospike servers."
  type        = list(string)
}

variable "ports" {
  description = "Ports that XDR connects to."
  type        = list(number)

  validation {
    condition     = length(var.ports) >= 1 && length(var.ports) <= 5
    error_message = "One to five: ECS takes no more target groups."
  }
}

variable "manage_port" {
  description = "Management port of the connector, which says whether it is alive."
  type        = number
}

variable "target_type" {
  description = "What stands behind it: `ip` for tasks, `instance` for machines."
  type        = string

  validation {
    condition     = contains(["ip", "instance"], var.target_type)
    error_message = "Either ip or instance."
  }
}

variable "target_security_group_id" {
  description = "Security group of the connector; it is opened for the load balancer."
  type        = string
}

variable "client_security_group_ids" {
  description = "Security groups of Aerospike servers, by a name of your choice."
  type        = map(string)
  default     = {}
}

variable "client_cidrs" {
  description = "Addresses of Aerospike servers, as IPv4 networks."
  type        = list(string)
  default     = []
}

variable "deletion_protection" {
  description = "Whether the load balancer has to be unprotected before it can be destroyed."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of everything in here."
  type        = map(string)
  default     = {}
}

variable "project" {
  description = "Project."
  type        = string
}

variable "region" {
  description = "Region of the machines."
  type        = string
}

variable "name" {
  description = "Name of the group, of its load balancer, and of the network tag of its machines."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,35}[a-z0-9]$", var.name))
    error_message = "2 to 37 small letters, digits and hyphens, beginning with a letter."
  }
}

variable "network" {
  description = "VPC network."
  type        = string
}

variable "subnetwork" {
  description = "Subnetwork of the machines, with private Google access; Cloud NAT where packages come from elsewhere."
  type        = string
}

variable "package_url" {
  description = "The connector's package, `https://...` or `gs://bucket/object`, ending in .deb."
  type        = string

  validation {
    condition     = can(regex("^(https|gs)://[A-Za-z0-9._~/%+-]+\\.deb$", var.package_url))
    error_message = "https://... or gs://bucket/object, ending in .deb."
  }
}

variable "package_sha256" {
  description = "SHA-256 of the package, in hexadecimal; not checked when null."
  type        = string
  default     = null

  validation {
    condition     = var.package_sha256 == null || can(regex("^[0-9a-f]{64}$", var.package_sha256))
    error_message = "64 small hexadecimal digits."
  }
}

variable "package_bucket" {
  description = "Bucket of the package, which the machines may then read; null when it is not in one."
  type        = string
  default     = null
}

variable "config" {
  description = "The connector's configuration: `yamldecode(file(\"esp-connector.yml\"))`, or a value with addresses from other modules. Its ports and its grace period are read from it. It holds no secret: it is metadata of the machines."
  type        = any

  validation {
    condition     = can(keys(var.config.service)) && can(keys(var.config.destinations))
    error_message = "An object with `service` and `destinations`, in the form that `esp-connector check --config FILE` takes."
  }

  validation {
    condition     = can(flatten([var.config.service.manage.port])[0] + 0)
    error_message = "service.manage.port is missing: the load balancer asks there whether the connector is alive."
  }
}

variable "service_account_email" {
  description = "Service account of the machines: the connector's, which may call the functions."
  type        = string
}

variable "aerospike_cidrs" {
  description = "Addresses of the Aerospike servers, as IPv4 networks."
  type        = list(string)

  validation {
    condition     = length(var.aerospike_cidrs) > 0 && !contains(var.aerospike_cidrs, "0.0.0.0/0")
    error_message = "Those of the servers, not of everybody."
  }
}

variable "allow_files" {
  description = "Whether destinations of type `file` are allowed, though their files go with the machine."
  type        = bool
  default     = false
}

variable "metrics" {
  description = "Whether the machines send the connector's metrics to Cloud Monitoring, by the Ops Agent, which they then install; what gcp/observability looks at."
  type        = bool
  default     = true
}

variable "image" {
  description = "Image of the machines: Debian."
  type        = string
  default     = "debian-cloud/debian-12"
}

variable "machine_type" {
  description = "Type of the machines."
  type        = string
  default     = "e2-standard-2"
}

variable "disk_gb" {
  description = "Size of the boot disk in GB."
  type        = number
  default     = 20

  validation {
    condition     = var.disk_gb >= 10
    error_message = "At least 10."
  }
}

variable "machines" {
  description = "How many machines: two, so that one may go."
  type        = number
  default     = 2

  validation {
    condition     = var.machines >= 1
    error_message = "At least 1."
  }
}

variable "kms_key_name" {
  description = "Your own key for the disks; keys of Google when null."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of everything in here."
  type        = map(string)
  default     = {}
}

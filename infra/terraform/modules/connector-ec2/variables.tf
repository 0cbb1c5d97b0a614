variable "name" {
  description = "Name of the group, of its load balancer, and of the dimension `service` of its metrics."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]{1,26}$", var.name))
    error_message = "Up to 26 small letters, digits and hyphens."
  }
}

variable "vpc_id" {
  description = "VPC of the machines."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, with a way to AWS: NAT, or endpoints for what the connector and the start of a machine call."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 1
    error_message = "At least one, better one in each zone."
  }
}

variable "package_url" {
  description = "The connector's package for the image, `https://...` or `s3://bucket/key`: .rpm for Amazon Linux, .deb for an image of your own."
  type        = string

  validation {
    condition     = can(regex("^(https|s3)://[A-Za-z0-9._~/%+-]+\\.(rpm|deb)$", var.package_url))
    error_message = "https://... or s3://bucket/key, ending in .rpm or .deb."
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

variable "config" {
  description = "The connector's configuration: `yamldecode(file(\"esp-connector.yml\"))`, or a value with addresses from other modules. Its ports and its grace period are read from it. It holds no secret: those are in `secrets` and `secret_files`."
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

variable "statements" {
  description = "What the connector may do: IAM statements, such as `caller_statements` of what it calls."
  type        = any
  default     = []
}

variable "aerospike_security_group_ids" {
  description = "Security groups of the Aerospike servers, by a name of your choice."
  type        = map(string)
  default     = {}
}

variable "aerospike_cidrs" {
  description = "Addresses of the Aerospike servers, as IPv4 networks, where a security group does not name them."
  type        = list(string)
  default     = []
}

variable "secrets" {
  description = "Environment variables from Secrets Manager or the parameter store: name to ARN. For `headers: {Authorization: {env: NAME}}`."
  type        = map(string)
  default     = {}
}

variable "secret_files" {
  description = "Files from Secrets Manager or the parameter store, in the folder of the configuration: name to ARN. For keys and certificates."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.secret_files) : can(regex("^[A-Za-z0-9][A-Za-z0-9._-]*$", name)) && name != "esp-connector.yml"])
    error_message = "Names of letters, digits, dots, hyphens and underscores; not esp-connector.yml."
  }
}

variable "environment" {
  description = "Environment variables that are no secret."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name, value in var.environment : can(regex("^[A-Za-z_][A-Za-z0-9_]*$", name)) && !strcontains(value, "'") && !strcontains(value, "\n")])
    error_message = "Names of letters, digits and underscores; values of one line without single quotes."
  }
}

variable "allow_files" {
  description = "Whether destinations of type `file` are allowed, though their files go with the machine."
  type        = bool
  default     = false
}

variable "ami_id" {
  description = "Image of the machines; the newest Amazon Linux 2023 when null. One of your own needs the AWS command line."
  type        = string
  default     = null
}

variable "architecture" {
  description = "Architecture of package, image and machines: `arm64` or `x86_64`."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "Either arm64 or x86_64."
  }
}

variable "instance_type" {
  description = "Type of the machines, of the architecture."
  type        = string
  default     = "c7g.medium"
}

variable "volume_gb" {
  description = "Size of the root volume in GB."
  type        = number
  default     = 16

  validation {
    condition     = var.volume_gb >= 8
    error_message = "At least 8."
  }
}

variable "min_machines" {
  description = "Fewest machines: two, so that one may go."
  type        = number
  default     = 2

  validation {
    condition     = var.min_machines >= 1
    error_message = "At least 1."
  }
}

variable "max_machines" {
  description = "Most machines. All of them together call the destinations: mind their concurrency."
  type        = number
  default     = 4

  validation {
    condition     = var.max_machines >= var.min_machines
    error_message = "No less than min_machines."
  }
}

variable "window_use_target_percent" {
  description = "How full the connector's window is to be, on average."
  type        = number
  default     = 60

  validation {
    condition     = var.window_use_target_percent > 0 && var.window_use_target_percent <= 100
    error_message = "A percentage."
  }
}

variable "collector_package_url" {
  description = "Package of the AWS Distro for OpenTelemetry, which brings the metrics to CloudWatch; AWS's own place when null."
  type        = string
  default     = null
}

variable "metric_namespace" {
  description = "Namespace of the metrics in CloudWatch."
  type        = string
  default     = "EspConnector"
}

variable "egress_ports" {
  description = "Ports of destinations."
  type        = list(number)
  default     = [443]
}

variable "kms_key_arn" {
  description = "Your own key for the volumes, the configuration and the secrets; its key policy has to allow CloudWatch Logs and the autoscaling. Keys of AWS when null."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything in here."
  type        = map(string)
  default     = {}
}

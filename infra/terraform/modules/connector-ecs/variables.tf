variable "name" {
  description = "Name of the service, of its load balancer, and of the dimension `service` of its metrics."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]{1,26}$", var.name))
    error_message = "Up to 26 small letters, digits and hyphens."
  }
}

variable "vpc_id" {
  description = "VPC of the service."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, with a way to AWS: NAT, or endpoints for what the connector and ECS call."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 1
    error_message = "At least one, better one in each zone."
  }
}

variable "image" {
  description = "Image of the connector, whose entry point is `esp-connector`."
  type        = string
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
}

variable "letters" {
  description = "EFS file system for destinations of type `file` below /var/lib/esp-connector; Fargate keeps no files. The access point belongs to `uid`, the mount targets take the tasks' security group (output `security_group_id`)."
  type = object({
    file_system_id  = string
    access_point_id = string
  })
  default = null
}

variable "cluster_name" {
  description = "Existing ECS cluster; one is made when null."
  type        = string
  default     = null
}

variable "architecture" {
  description = "What the image was built for: `arm64` or `x86_64`."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "Either arm64 or x86_64."
  }
}

variable "cpu" {
  description = "Processor units of a task, 1024 to the processor."
  type        = number
  default     = 1024

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.cpu)
    error_message = "One of 256, 512, 1024, 2048, 4096, 8192, 16384."
  }
}

variable "memory_mb" {
  description = "Memory of a task in MB, 192 of them for the collector."
  type        = number
  default     = 2048

  validation {
    condition     = var.memory_mb >= 512
    error_message = "At least 512."
  }
}

variable "min_tasks" {
  description = "Fewest tasks: two, so that one may go."
  type        = number
  default     = 2

  validation {
    condition     = var.min_tasks >= 1
    error_message = "At least 1."
  }
}

variable "max_tasks" {
  description = "Most tasks. All of them together call the destinations: mind their concurrency."
  type        = number
  default     = 6

  validation {
    condition     = var.max_tasks >= var.min_tasks
    error_message = "No less than min_tasks."
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

variable "lag_target_seconds" {
  description = "How far records may be behind, on average, before there are more tasks."
  type        = number
  default     = 10

  validation {
    condition     = var.lag_target_seconds > 0
    error_message = "More than nothing."
  }
}

variable "stop_timeout_seconds" {
  description = "How long ECS waits after SIGTERM; the configuration's grace period and 20 seconds when null."
  type        = number
  default     = null
}

variable "health_check_command" {
  description = "Health check of the container; none when empty. The load balancer asks /healthz in any case."
  type        = list(string)
  default     = ["CMD", "/usr/bin/esp-connector", "health", "--config", "/etc/esp-connector/esp-connector.yml"]
}

variable "uid" {
  description = "User and group that the connector runs as."
  type        = number
  default     = 65532

  validation {
    condition     = var.uid > 0
    error_message = "Not root."
  }
}

variable "init_image" {
  description = "Image with a shell, which writes the configuration before the connector starts."
  type        = string
  default     = "public.ecr.aws/docker/library/busybox:1.37"
}

variable "collector_image" {
  description = "Image of the AWS Distro for OpenTelemetry, which brings the metrics to CloudWatch."
  type        = string
  default     = "public.ecr.aws/aws-observability/aws-otel-collector:v0.43.3"
}

variable "metric_namespace" {
  description = "Namespace of the metrics in CloudWatch."
  type        = string
  default     = "EspConnector"
}

variable "ecr_repository_arn" {
  description = "ECR repository of the image, where it is private."
  type        = string
  default     = null
}

variable "egress_ports" {
  description = "Ports of destinations."
  type        = list(number)
  default     = [443]
}

variable "assign_public_ip" {
  description = "Whether tasks have a public address: only in public subnets without NAT."
  type        = bool
  default     = false
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
  description = "Your own key for the logs, the configuration and the secrets; its key policy has to allow CloudWatch Logs. Keys of AWS when null."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything in here."
  type        = map(string)
  default     = {}
}

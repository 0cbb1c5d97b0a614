# What the connector's own configuration says about ports, time and files: it is the one place for them.
#
# It comes as a value, not as text: of a text with an address that is made in the same run nothing would be known before.

locals {
  text    = yamlencode(var.config)
  service = try(var.config.service, {})

  xdr_ports = distinct(concat(
    flatten([try(local.service.port, [])]),
    flatten([try(local.service.tls.port, [])]),
  ))
  manage_port      = tonumber(flatten([local.service.manage.port])[0])
  grace_seconds    = ceil(try(tonumber(local.service["shutdown-grace-period"]), 10000) / 1000)
  stop_timeout     = local.grace_seconds + 20
  file_paths       = [for name, destination in var.config.destinations : destination.path if try(destination.type, "http") == "file"]
  destinations     = keys(var.config.destinations)
  compressed       = length(local.text) > 4096
  config_parameter = local.compressed ? base64gzip(local.text) : local.text
}

resource "aws_ssm_parameter" "config" {
  name        = "/${var.name}/config"
  description = "Configuration of ${var.name}${local.compressed ? " (gzip, base64)" : ""}"
  type        = "SecureString"
  key_id      = var.kms_key_arn
  tier        = length(local.config_parameter) > 4096 ? "Advanced" : "Standard"
  value       = local.config_parameter
  tags        = var.tags

  lifecycle {
    precondition {
      condition     = length(local.config_parameter) <= 8192
      error_message = "The configuration is larger than a parameter can be, even compressed (8 KB)."
    }

    precondition {
      condition     = length(local.xdr_ports) > 0 && length(local.xdr_ports) <= 5
      error_message = "config: service.port and service.tls.port have to name one to five ports."
    }

    precondition {
      condition     = length(local.file_paths) == 0 || var.allow_files
      error_message = "config: a destination of type file (${join(", ", local.file_paths)}) would be lost with its machine. Choose another type, or accept that with allow_files."
    }
  }
}

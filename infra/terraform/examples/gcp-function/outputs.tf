output "aerospike_conf" {
  description = "The lines for the `dc` section of aerospike.conf."
  value       = module.connector.aerospike_conf
}

output "config" {
  description = "The connector's configuration, for `esp-connector check` and `cost`."
  value       = yamlencode(local.config)
}

output "bucket" {
  description = "Where the records are."
  value       = module.function.bucket
}

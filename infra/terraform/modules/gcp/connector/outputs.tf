output "xdr_address" {
  description = "Address for `node-address-port` of aerospike.conf."
  value       = google_compute_forwarding_rule.this.ip_address
}

output "aerospike_conf" {
  description = "The lines for the `dc` section of aerospike.conf."
  value       = join("\n", concat(["connector true"], [for port in local.xdr_ports : "node-address-port ${google_compute_forwarding_rule.this.ip_address} ${port}"]))
}

output "instance_group" {
  description = "Instance group of the machines."
  value       = google_compute_region_instance_group_manager.this.instance_group
}

output "metrics" {
  description = "Which metrics are the connector's, for gcp/observability: their label `service`, and the destinations."
  value       = { service = var.name, destinations = keys(var.config.destinations) }
}

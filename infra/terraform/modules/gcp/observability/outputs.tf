output "policy_names" {
  description = "Names of all policies, by what they are shown as."
  value       = { for policy in concat(values(google_monitoring_alert_policy.connector), values(google_monitoring_alert_policy.function)) : policy.display_name => policy.name }
}

variable "project" {
  description = "Project."
  type        = string
}

variable "region" {
  description = "Region of Google Cloud."
  type        = string
  default     = "europe-west3"
}

variable "name" {
  description = "First part of all names."
  type        = string
  default     = "orders"
}

variable "network" {
  description = "VPC network with the Aerospike servers, or with a way to them."
  type        = string
  default     = "default"
}

variable "subnetwork" {
  description = "Subnetwork of the machines, with private Google access."
  type        = string
  default     = "default"
}

variable "aerospike_cidrs" {
  description = "Addresses of the Aerospike servers, as IPv4 networks."
  type        = list(string)
}

variable "package_url" {
  description = "The .deb of the connector, https:// or gs://bucket/object."
  type        = string
}

variable "package_bucket" {
  description = "Bucket of the package, where it is in one."
  type        = string
  default     = null
}

variable "notification_channels" {
  description = "Channels that alarms go to, `projects/PROJECT/notificationChannels/ID`; without one they only show."
  type        = list(string)
  default     = []
}

variable "zip_path" {
  description = "The source of the function: the files of lambda-examples/gcp/archive-to-gcs as a zip."
  type        = string
  default     = "archive-to-gcs.zip"
}

# The whole of it, with answers of AWS made up: nothing is reached.

mock_provider "aws" {
  source = "../../testing/aws"
}

variables {
  vpc_id          = "vpc-1"
  subnet_ids      = ["subnet-1", "subnet-2"]
  aerospike_cidrs = ["10.0.4.0/24"]
  # Any file: nothing is uploaded.
  zip_path        = "versions.tf"
  image           = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/esp-connector:1"
  certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"
  hostname        = "records.example.net"
}

run "the_connector_shows_a_token" {
  command = apply

  assert {
    condition     = yamldecode(output.config).destinations.records == { type = "aws-alb", urls = ["https://records.example.net/records"], region = "eu-central-1", call-timeout = 7000, token = { aws-web-identity = { audience = "records.example.net" } } }
    error_message = "For this audience."
  }

  assert {
    condition     = module.alb.caller_statements[0].Condition["ForAllValues:StringEquals"]["sts:IdentityTokenAudience"] == ["records.example.net"]
    error_message = "And may have tokens made for no other."
  }

  assert {
    condition     = length(aws_iam_outbound_web_identity_federation.this) == 1
    error_message = "Tokens are switched on in the account."
  }
}

run "or_with_what_the_account_has" {
  command = apply

  variables {
    token_issuer = "https://issuer.example.net"
  }

  assert {
    condition     = length(aws_iam_outbound_web_identity_federation.this) == 0
    error_message = "It is left alone."
  }
}

run "versions_of_a_record_keep_their_order" {
  command = apply

  assert {
    condition     = endswith(module.queue.name, ".fifo")
    error_message = "The queue is FIFO."
  }
}

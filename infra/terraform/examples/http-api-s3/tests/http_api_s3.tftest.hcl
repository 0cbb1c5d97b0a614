# The whole of it, with answers of AWS made up: nothing is reached.

mock_provider "aws" {
  source = "../../testing/aws"
}

variables {
  vpc_id          = "vpc-1"
  subnet_ids      = ["subnet-1", "subnet-2"]
  aerospike_cidrs = ["10.0.4.0/24"]
  # Any file: nothing is uploaded.
  zip_path = "versions.tf"
  image    = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/esp-connector:1"
}

run "the_connector_calls_the_api" {
  command = apply

  assert {
    condition     = yamldecode(output.config).destinations.records == { type = "aws-api-gateway", urls = ["https://api1234567.execute-api.eu-central-1.amazonaws.com/live/records"], region = "eu-central-1", call-timeout = 7000 }
    error_message = "Its one route, signed."
  }

  assert {
    condition     = module.api.caller_statements[0].Resource == ["arn:aws:execute-api:eu-central-1:123456789012:api1234567/live/POST/records"]
    error_message = "And may call nothing else."
  }
}

run "the_function_writes_below_its_prefix" {
  command = apply

  assert {
    condition     = module.archive.writer_statements[0].Action == ["s3:PutObject"] && module.archive.writer_statements[0].Resource == ["arn:aws:s3:::made/records/*"]
    error_message = "And may do nothing else."
  }

  assert {
    condition     = output.bucket == "orders-archive-123456789012-eu-central-1"
    error_message = "A name that nobody else has."
  }
}

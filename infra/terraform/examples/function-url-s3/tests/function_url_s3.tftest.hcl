# The whole of it, with answers of AWS made up: nothing is reached.

mock_provider "aws" {
  source = "../../testing/aws"
}

variables {
  vpc_id          = "vpc-1"
  subnet_ids      = ["subnet-1", "subnet-2"]
  aerospike_cidrs = ["10.0.4.0/24"]
  # Any file: nothing is uploaded.
  zip_path    = "versions.tf"
  package_url = "s3://packages/esp-connector.rpm"
}

run "the_connector_calls_the_url" {
  command = apply

  assert {
    condition     = yamldecode(output.config).destinations.records == { type = "aws-function-url", urls = ["https://abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-central-1.on.aws/"], region = "eu-central-1", call-timeout = 7000 }
    error_message = "Signed."
  }

  assert {
    condition     = [for statement in module.url.caller_statements : one(statement.Action)] == ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"] && module.url.caller_statements[1].Condition.Bool["lambda:InvokedViaFunctionUrl"] == "true"
    error_message = "With both permissions that URLs ask for, and no more."
  }
}

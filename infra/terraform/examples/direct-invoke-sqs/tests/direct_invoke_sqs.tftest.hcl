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

run "the_connector_calls_the_function_itself" {
  command = apply

  assert {
    condition     = yamldecode(output.config).destinations.records == { type = "aws-lambda", function-name = "orders-cdc-to-sqs", qualifier = "live", region = "eu-central-1", call-timeout = 7000 }
    error_message = "Directly, by its alias."
  }

  assert {
    condition     = module.consumer.timeout_seconds * 1000 < yamldecode(output.config).destinations.records.call-timeout
    error_message = "The function ends before the connector gives up."
  }

  assert {
    condition     = output.aerospike_conf == "connector true\nnode-address-port made-0123456789abcdef.elb.eu-central-1.amazonaws.com 8901"
    error_message = "The servers are told where it is."
  }
}

run "one_statement_for_each_thing_it_does" {
  command = apply

  assert {
    condition     = [for statement in concat(module.consumer.caller_statements, module.queue.sender_statements) : "${join(",", statement.Action)} ${join(",", statement.Resource)}"] == ["lambda:InvokeFunction arn:aws:lambda:eu-central-1:123456789012:function:made:live", "sqs:SendMessage arn:aws:sqs:eu-central-1:123456789012:made"]
    error_message = "The connector invokes the alias, the function sends to the queue."
  }
}

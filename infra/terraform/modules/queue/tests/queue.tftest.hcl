mock_provider "aws" {
  source = "../../testing/aws"
}

variables {
  name = "records"
}

run "is_encrypted_and_only_over_tls" {
  command = apply

  assert {
    condition     = aws_sqs_queue.this.sqs_managed_sse_enabled && aws_sqs_queue.dead_letter.sqs_managed_sse_enabled
    error_message = "Both queues have to be encrypted."
  }

  assert {
    condition = alltrue([for policy in [aws_sqs_queue_policy.this.policy, aws_sqs_queue_policy.dead_letter.policy] : (
      length(jsondecode(policy).Statement) == 1 &&
      jsondecode(policy).Statement[0].Effect == "Deny" &&
      jsondecode(policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    )])
    error_message = "The queues' policies refuse what does not come over TLS, and allow nothing."
  }

  assert {
    condition     = jsondecode(aws_sqs_queue.this.redrive_policy).maxReceiveCount == 5 && jsondecode(aws_sqs_queue.this.redrive_policy).deadLetterTargetArn == aws_sqs_queue.dead_letter.arn
    error_message = "What readers failed on goes to the other queue."
  }

  assert {
    condition     = aws_sqs_queue.dead_letter.message_retention_seconds > aws_sqs_queue.this.message_retention_seconds
    error_message = "Dead letters have to outlive messages: their age counts from the beginning."
  }

  assert {
    condition     = output.sender_statements == [{ Sid = "SendToQueue", Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [aws_sqs_queue.this.arn] }]
    error_message = "A sender may send to this queue, and nothing else."
  }
}

run "fifo" {
  command = apply

  variables {
    fifo = true
  }

  assert {
    condition     = aws_sqs_queue.this.name == "records.fifo" && aws_sqs_queue.dead_letter.name == "records-dead.fifo" && aws_sqs_queue.dead_letter.fifo_queue
    error_message = "Both are FIFO, and end in .fifo."
  }

  assert {
    condition     = aws_sqs_queue.this.fifo_throughput_limit == "perMessageGroupId"
    error_message = "Each record is a group, with a limit of its own."
  }
}

run "with_a_key_of_ones_own" {
  command = apply

  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }

  assert {
    condition     = aws_sqs_queue.this.kms_master_key_id == var.kms_key_arn && aws_sqs_queue.dead_letter.kms_master_key_id == var.kms_key_arn
    error_message = "Both queues use the key."
  }

  assert {
    condition     = output.sender_statements[1].Resource == [var.kms_key_arn]
    error_message = "A sender may encrypt with that key."
  }
}

run "refuses_a_name_with_its_suffix" {
  command = plan

  variables {
    name = "records.fifo"
  }

  expect_failures = [var.name]
}

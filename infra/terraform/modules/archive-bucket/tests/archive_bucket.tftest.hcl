mock_provider "aws" {
  source = "../../testing/aws"
}

variables {
  name = "orders-archive"
}

run "is_private_encrypted_and_only_over_tls" {
  command = apply

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "Nothing of it may be public."
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "AES256"
    error_message = "It has to be encrypted."
  }

  assert {
    condition = (
      jsondecode(aws_s3_bucket_policy.this.policy).Statement[0].Effect == "Deny" &&
      jsondecode(aws_s3_bucket_policy.this.policy).Statement[0].Action == "s3:*" &&
      jsondecode(aws_s3_bucket_policy.this.policy).Statement[0].Resource == [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"] &&
      jsondecode(aws_s3_bucket_policy.this.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    )
    error_message = "What does not come over TLS is refused, for the bucket and for what is in it."
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "What is overwritten is kept."
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this.rule[0].abort_incomplete_multipart_upload[0].days_after_initiation == 7 && length(aws_s3_bucket_lifecycle_configuration.this.rule) == 1
    error_message = "What was never finished goes; nothing else does unless it is asked for."
  }

  assert {
    condition     = !aws_s3_bucket.this.force_destroy
    error_message = "A full bucket is not destroyed."
  }
}

run "a_writer_may_only_write_below_the_prefix" {
  command = apply

  variables {
    prefix = "records/"
  }

  assert {
    condition     = output.writer_statements == [{ Sid = "WriteArchive", Effect = "Allow", Action = ["s3:PutObject"], Resource = ["${aws_s3_bucket.this.arn}/records/*"] }]
    error_message = "Neither reading, listing nor deleting, and nothing outside the prefix."
  }
}

run "with_a_key_and_an_end" {
  command = apply

  variables {
    kms_key_arn            = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    expire_days            = 400
    infrequent_access_days = 30
    access_log_bucket      = "logs"
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default[0].kms_master_key_id == var.kms_key_arn && one(aws_s3_bucket_server_side_encryption_configuration.this.rule).bucket_key_enabled
    error_message = "It is encrypted with that key, once for many objects."
  }

  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.this.rule) == 3 && aws_s3_bucket_lifecycle_configuration.this.rule[2].expiration[0].days == 400
    error_message = "Objects get cheaper, and end."
  }

  assert {
    condition     = aws_s3_bucket_logging.this[0].target_bucket == "logs" && output.writer_statements[1].Action == ["kms:GenerateDataKey"]
    error_message = "Access is logged, and a writer may encrypt."
  }
}

run "refuses_dots_in_names" {
  command = plan

  variables {
    name = "orders.archive"
  }

  expect_failures = [var.name]
}

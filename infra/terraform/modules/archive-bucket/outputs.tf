output "arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.this.arn
}

output "name" {
  description = "Name of the bucket, for `BUCKET` of the consumer."
  value       = aws_s3_bucket.this.bucket

  # A service that is to write logs tries that when it is told of the bucket.
  depends_on = [aws_s3_bucket_policy.this]
}

output "writer_statements" {
  description = "What a writer has to be allowed: statements for its role. It may neither read, list nor delete."
  value = concat(
    [{
      Sid      = "WriteArchive"
      Effect   = "Allow"
      Action   = ["s3:PutObject"]
      Resource = ["${aws_s3_bucket.this.arn}/${var.prefix}*"]
    }],
    var.kms_key_arn == null ? [] : [{
      Sid      = "EncryptArchive"
      Effect   = "Allow"
      Action   = ["kms:GenerateDataKey"]
      Resource = [var.kms_key_arn]
    }],
  )
}

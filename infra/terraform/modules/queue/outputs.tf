output "arn" {
  description = "ARN of the queue."
  value       = aws_sqs_queue.this.arn
}

output "url" {
  description = "URL of the queue, for `QUEUE_URL` of the consumer."
  value       = aws_sqs_queue.this.url
}

output "name" {
  description = "Name of the queue, as metrics call it."
  value       = aws_sqs_queue.this.name
}

output "dead_letter_arn" {
  description = "ARN of the queue for dead letters."
  value       = aws_sqs_queue.dead_letter.arn
}

output "dead_letter_name" {
  description = "Name of the queue for dead letters, as metrics call it."
  value       = aws_sqs_queue.dead_letter.name
}

output "sender_statements" {
  description = "What a sender has to be allowed: statements for its role."
  value = concat(
    [{
      Sid      = "SendToQueue"
      Effect   = "Allow"
      Action   = ["sqs:SendMessage"]
      Resource = [aws_sqs_queue.this.arn]
    }],
    var.kms_key_arn == null ? [] : [{
      Sid      = "EncryptForQueue"
      Effect   = "Allow"
      Action   = ["kms:GenerateDataKey", "kms:Decrypt"]
      Resource = [var.kms_key_arn]
    }],
  )
}

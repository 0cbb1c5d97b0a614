# What the machines may do: read their own configuration and package, be reached through Systems Manager, and what the
# connector needs.

locals {
  # A reference to one member of a secret has more behind its ARN.
  secret_arns  = distinct([for arn in concat(values(var.secrets), values(var.secret_files)) : join(":", slice(split(":", arn), 0, min(7, length(split(":", arn)))))])
  from_manager = [for arn in local.secret_arns : arn if strcontains(arn, ":secretsmanager:")]

  own_statements = concat(
    [
      {
        Sid      = "ReadConfiguration"
        Effect   = "Allow"
        Action   = ["ssm:GetParameter"]
        Resource = concat([aws_ssm_parameter.config.arn], [for arn in local.secret_arns : arn if strcontains(arn, ":ssm:")])
      },
      # Not AmazonSSMManagedInstanceCore: that may read every parameter. These know no resources.
      {
        Sid    = "SessionManager"
        Effect = "Allow"
        Action = [
          "ssm:UpdateInstanceInformation",
          "ssmmessages:CreateControlChannel",
          "ssmmessages:CreateDataChannel",
          "ssmmessages:OpenControlChannel",
          "ssmmessages:OpenDataChannel",
        ]
        Resource = ["*"]
      },
    ],
    local.package_arn == null ? [] : [{
      Sid      = "ReadPackage"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = [local.package_arn]
    }],
    length(local.from_manager) == 0 ? [] : [{
      Sid      = "ReadSecrets"
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue"]
      Resource = local.from_manager
    }],
    var.kms_key_arn == null ? [] : [{
      Sid      = "Decrypt"
      Effect   = "Allow"
      Action   = ["kms:Decrypt"]
      Resource = [var.kms_key_arn]
    }],
  )
}

resource "aws_iam_role" "this" {
  name = "${var.name}-machine"
  tags = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "all-it-may"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local.own_statements, module.collector.statements, var.statements)
  })
}

resource "aws_iam_instance_profile" "this" {
  name = "${var.name}-machine"
  role = aws_iam_role.this.name
  tags = var.tags
}

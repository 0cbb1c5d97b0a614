# The URL of a function's alias, which only signed requests get through.
#
# Function URLs have no access log and no throttling of their own: the function's log and its reserved concurrency are
# what they have. Principals of the same account need no permission on the function, only one in their own role.

data "aws_region" "current" {}

resource "aws_lambda_function_url" "this" {
  function_name      = var.function_name
  qualifier          = var.alias_name
  authorization_type = "AWS_IAM"
  invoke_mode        = "BUFFERED"
}

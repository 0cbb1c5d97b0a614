#!/usr/bin/env python3
"""Builds what a Lambda consumer needs on AWS, as an operator would: a queue, a function with an alias, the front that is
asked for, and a role with nothing but the permission to call it. Prints where everything is as one JSON object.

    setup.py ENDPOINT BOOTSTRAP SETTINGS
    setup.py ENDPOINT grant POLICY

SETTINGS is JSON: `front` (invoke, function-url, http-api, rest-api, alb, none), `environment` and `timeout` of the
function, `forbidden` when the role shall not have its permission yet, and `event-sources`: how many queues, each with one
for its dead letters, Lambda shall read for the function.
"""

import io
import json
import subprocess
import sys
import zipfile

import boto3
from botocore.config import Config

REGION, ACCOUNT = "us-east-1", "000000000000"
FUNCTION, ALIAS = "consumer", "live"
ENDPOINT, BOOTSTRAP, SETTINGS = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])


def client(service):
    return boto3.client(service, endpoint_url=ENDPOINT, region_name=REGION, aws_access_key_id="test",
                        aws_secret_access_key="test", config=Config(retries={"max_attempts": 1}))


def archive():
    # Debug information would make it several times larger.
    stripped = subprocess.run(["strip", "-o", "/dev/stdout", BOOTSTRAP], capture_output=True)
    binary = stripped.stdout or open(BOOTSTRAP, "rb").read()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        file.writestr(entry, binary)
    return out.getvalue()


def role(name, trusted, statements):
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": trusted}]}
    iam = client("iam")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    if statements:
        policy = {"Version": "2012-10-17", "Statement": statements}
        iam.put_role_policy(RoleName=name, PolicyName="all-it-may", PolicyDocument=json.dumps(policy))
    return arn


def allow(action, resource, **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def function(queue_arn, source_arns):
    # AWS has one permission for SendMessage and SendMessageBatch; MiniStack asks for one named like each call.
    statements = [allow(["sqs:SendMessage", "sqs:SendMessageBatch"], queue_arn)]
    if source_arns:
        statements.append(allow(["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], source_arns))
    runs_as = role("consumer", {"Service": "lambda.amazonaws.com"}, statements)
    aws = client("lambda")
    aws.create_function(
        FunctionName=FUNCTION, Runtime="provided.al2023", Handler="bootstrap", Role=runs_as, Code={"ZipFile": archive()},
        Timeout=SETTINGS.get("timeout", 5), MemorySize=256, Environment={"Variables": SETTINGS.get("environment", {})})
    version = aws.publish_version(FunctionName=FUNCTION)["Version"]
    alias = aws.create_alias(FunctionName=FUNCTION, Name=ALIAS, FunctionVersion=version)["AliasArn"]
    return aws, alias


def front(aws, alias):
    """Path of the front, and what a caller has to be allowed."""
    kind = SETTINGS.get("front", "none")
    if kind == "invoke":
        # AWS looks at the alias; MiniStack, where the alias is a parameter of the call, at the function.
        return None, [allow("lambda:InvokeFunction", [alias, alias.removesuffix(f":{ALIAS}")])]
    if kind == "function-url":
        url = aws.create_function_url_config(FunctionName=FUNCTION, Qualifier=ALIAS, AuthType="AWS_IAM")["FunctionUrl"]
        number = url.split("//")[1].split(".")[0]
        # Both are needed since October 2025.
        return f"/_aws/lambda-url/{number}/records", [
            allow("lambda:InvokeFunctionUrl", alias, Condition={"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}),
            allow("lambda:InvokeFunction", alias, Condition={"Bool": {"lambda:InvokedViaFunctionUrl": "true"}})]
    if kind == "http-api":
        apis = client("apigatewayv2")
        api = apis.create_api(Name="records", ProtocolType="HTTP")["ApiId"]
        target = apis.create_integration(ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=alias,
                                         PayloadFormatVersion="2.0")["IntegrationId"]
        apis.create_route(ApiId=api, RouteKey="POST /records", AuthorizationType="AWS_IAM", Target=f"integrations/{target}")
        apis.create_stage(ApiId=api, StageName="live", AutoDeploy=True)
        let_in(aws, "apigateway.amazonaws.com", f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api}/*/POST/records")
        return (f"/_aws/execute-api/{api}/live/records",
                [allow("execute-api:Invoke", f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api}/live/POST/records")])
    if kind == "rest-api":
        apis = client("apigateway")
        api = apis.create_rest_api(name="records")["id"]
        top = apis.get_resources(restApiId=api)["items"][0]["id"]
        place = apis.create_resource(restApiId=api, parentId=top, pathPart="records")["id"]
        apis.put_method(restApiId=api, resourceId=place, httpMethod="POST", authorizationType="AWS_IAM")
        apis.put_integration(
            restApiId=api, resourceId=place, httpMethod="POST", type="AWS_PROXY", integrationHttpMethod="POST",
            uri=f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{alias}/invocations")
        apis.create_deployment(restApiId=api, stageName="live")
        let_in(aws, "apigateway.amazonaws.com", f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api}/*/POST/records")
        return (f"/_aws/execute-api/{api}/live/records",
                [allow("execute-api:Invoke", f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api}/live/POST/records")])
    if kind == "alb":
        elb = client("elbv2")
        balancer = elb.create_load_balancer(Name="records")["LoadBalancers"][0]
        group = elb.create_target_group(Name="consumer", TargetType="lambda")["TargetGroups"][0]["TargetGroupArn"]
        let_in(aws, "elasticloadbalancing.amazonaws.com", group)
        elb.register_targets(TargetGroupArn=group, Targets=[{"Id": alias}])
        elb.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80,
                            DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])
        return f"/_alb/records/records", []
    return None, []


def let_in(aws, service, source):
    aws.add_permission(FunctionName=FUNCTION, Qualifier=ALIAS, StatementId="front", Action="lambda:InvokeFunction",
                       Principal=service, SourceArn=source)


def queue(sqs, name, **attributes):
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def main():
    sqs = client("sqs")
    arrived, arrived_arn = queue(sqs, "arrived")
    SETTINGS.setdefault("environment", {})["QUEUE_URL"] = arrived
    made, source_arns = {"queue": arrived, "sources": []}, []
    for number in range(SETTINGS.get("event-sources", 0)):
        dead, dead_arn = queue(sqs, f"dead-{number}")
        redrive = {"deadLetterTargetArn": dead_arn, "maxReceiveCount": 1}
        source, arn = queue(sqs, f"source-{number}", VisibilityTimeout="5", RedrivePolicy=json.dumps(redrive))
        made["sources"].append([source, dead])
        source_arns.append(arn)
    aws, alias = function(arrived_arn, source_arns)
    made["function"] = alias
    made["path"], statements = front(aws, alias)
    made["policy"] = {"Version": "2012-10-17", "Statement": statements}
    given = [] if SETTINGS.get("forbidden") else statements
    made["role"] = role("connector", {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, given)
    for arn in source_arns:
        aws.create_event_source_mapping(EventSourceArn=arn, FunctionName=alias, BatchSize=10,
                                        FunctionResponseTypes=["ReportBatchItemFailures"])
    print(json.dumps(made))


if BOOTSTRAP == "grant":
    client("iam").put_role_policy(RoleName="connector", PolicyName="all-it-may", PolicyDocument=json.dumps(SETTINGS))
else:
    main()

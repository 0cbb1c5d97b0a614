#!/usr/bin/env python3
"""An example of `infra/terraform` in MiniStack: its resources under their own names, its roles with their own policies.

    least_privilege.py ENDPOINT PLAN setup [BOOTSTRAP]         builds it, its function from this program or else from
                                                               stand_in.py; prints what the test has to know, as JSON
    least_privilege.py ENDPOINT PLAN without ROLE SID ACTION   takes one action away from a role (none: gives all back)
    least_privilege.py ENDPOINT PLAN start                     what ECS, EC2 and Lambda do with the roles before and beside the
                                                               connector; ends with 1 where it may not
    least_privilege.py ENDPOINT PLAN arrived                   how many different records are in the queue or the bucket

PLAN is what `infra/terraform/policies.py` prints. What MiniStack does differently from AWS stands in `translated` and
`UNPROVEN`, all of it.
"""

import gzip
import io
import json
import os
import pathlib
import subprocess
import sys
import zipfile

import boto3
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT, PLAN, COMMAND, *REST = sys.argv[1:]
REGION, ACCOUNT = "us-east-1", "000000000000"
POLICY = "all-it-may"
# In place of a role, where it is about permissions on the function.
FRONTS = "fronts"
# What MiniStack does not have, or lets pass: X-Ray; Session Manager's channels; that calls through a URL made since October
# 2025 also need lambda:InvokeFunction; and that who stands in front of a function needs a permission on it.
UNPROVEN = {"WriteTraces", "SessionManager", "InvokeThroughUrl", FRONTS}


def client(service, **credentials):
    credentials = credentials or {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=ENDPOINT, region_name=REGION, config=Config(retries={"max_attempts": 1}), **credentials)


def load():
    """The plan, with MiniStack's account in place of the one that was made up."""
    text = pathlib.Path(PLAN).read_text().replace("123456789012", ACCOUNT)
    plan = json.loads(text)
    made = pathlib.Path(PLAN).with_suffix(".made")
    if made.exists():
        for old, new in json.loads(made.read_text()).items():
            text = text.replace(old, new)
        plan = json.loads(text)
    return plan


def one(of):
    [value] = of.values()
    return value


def translated(statement):
    """As MiniStack reads it."""
    statement = json.loads(json.dumps(statement))
    # AWS has one permission for SendMessage and SendMessageBatch; MiniStack asks for one named like each call.
    if "sqs:SendMessage" in statement["Action"]:
        statement["Action"].append("sqs:SendMessageBatch")
    # AWS looks at the alias; MiniStack, where the alias is a parameter of the call, at the function.
    if statement["Action"] == ["lambda:InvokeFunction"]:
        statement["Resource"] += [arn.rsplit(":", 1)[0] for arn in statement["Resource"]]
    # MiniStack looks for one parameter, and finds none in a call for several.
    statement["Action"] = ["ssm:GetParameter" if action == "ssm:GetParameters" else action for action in statement["Action"]]
    # AWS's log groups are followed by their streams; MiniStack's are not.
    statement["Resource"] = [arn.removesuffix(":*") if ":logs:" in arn else arn for arn in statement["Resource"]]
    # MiniStack does not tell policies about the token that is asked for.
    conditions = statement.get("Condition", {})
    for operator in list(conditions):
        conditions[operator] = {key: value for key, value in conditions[operator].items() if not key.startswith("sts:")}
        if not conditions[operator]:
            del conditions[operator]
    return statement


def grant(role, sid=None, action=None):
    statements = []
    for statement in role["statements"]:
        # The policy itself is as it is in the plan: only then is it translated.
        left = [each for each in statement["Action"] if (statement["Sid"], each) != (sid, action)]
        if left:
            statements.append(translated(statement | {"Action": left}))
    document = {"Version": "2012-10-17", "Statement": statements}
    client("iam").put_role_policy(RoleName=role["name"], PolicyName=POLICY, PolicyDocument=json.dumps(document))


def archive(bootstrap):
    if bootstrap:
        # Debug information would make it several times larger.
        program = subprocess.run(["strip", "-o", "/dev/stdout", bootstrap], capture_output=True).stdout or pathlib.Path(bootstrap).read_bytes()
    else:
        program = f"#!{sys.executable}\n{pathlib.Path(__file__).with_name('stand_in.py').read_text()}"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        file.writestr(entry, program)
    return out.getvalue()


def set_up(plan, bootstrap=None):
    iam, found = client("iam"), {}
    # Whom AWS's services would be: here the test is.
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {
        "AWS": f"arn:aws:iam::{ACCOUNT}:root", "Service": "lambda.amazonaws.com"}}]}
    for role in plan["roles"].values():
        iam.create_role(RoleName=role["name"], AssumeRolePolicyDocument=json.dumps(trust))
    environment = {}
    for address, queue in plan["queues"].items():
        fifo = {"FifoQueue": "true"} if queue.get("fifo_queue") else {}
        url = client("sqs").create_queue(QueueName=queue["name"], Attributes=fifo)["QueueUrl"]
        if address.endswith(".this"):
            environment = {"QUEUE_URL": url}
    for bucket in plan["buckets"].values():
        if "-alb-logs-" not in bucket["bucket"]:
            client("s3").create_bucket(Bucket=bucket["bucket"])
            environment = {"BUCKET": bucket["bucket"], "PREFIX": "records/"}
    for group in plan["log_groups"].values():
        try:
            client("logs").create_log_group(logGroupName=group["name"])
        except ClientError:
            pass  # Lambda made it
    for parameter in plan["parameters"].values():
        client("ssm").put_parameter(Name=parameter["name"], Value=parameter["value"], Type="SecureString")
    client("s3").create_bucket(Bucket="packages")
    client("s3").put_object(Bucket="packages", Key="esp-connector.rpm", Body=b"package")

    aws, function, alias = client("lambda"), one(plan["functions"]), one(plan["aliases"])
    [runs_as] = [role for address, role in plan["roles"].items() if address.startswith("module.consumer.")]
    aws.create_function(
        FunctionName=function["function_name"], Runtime="provided.al2023", Handler="bootstrap", Timeout=6, MemorySize=256,
        Role=f"arn:aws:iam::{ACCOUNT}:role/{runs_as['name']}", Code={"ZipFile": archive(bootstrap)}, Environment={"Variables": environment})
    version = aws.publish_version(FunctionName=function["function_name"])["Version"]
    aws.create_alias(FunctionName=function["function_name"], Name=alias["name"], FunctionVersion=version)

    where = {"endpoint-url": ENDPOINT}
    for front in plan["apis"].values():
        apis = client("apigatewayv2")
        api = apis.create_api(Name=front["name"], ProtocolType="HTTP")["ApiId"]
        target = apis.create_integration(ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=alias["arn"], PayloadFormatVersion="2.0")["IntegrationId"]
        apis.create_route(ApiId=api, RouteKey="POST /records", AuthorizationType="AWS_IAM", Target=f"integrations/{target}")
        apis.create_stage(ApiId=api, StageName="live", AutoDeploy=True)
        found[front["execution_arn"]] = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api}"
        where = {"urls": [f"{ENDPOINT}/_aws/execute-api/{api}/live/records"]}
    for front in plan["urls"].values():
        url = aws.create_function_url_config(FunctionName=function["function_name"], Qualifier=alias["name"], AuthType="AWS_IAM")["FunctionUrl"]
        where = {"urls": [f"{ENDPOINT}/_aws/lambda-url/{url.split('//')[1].split('.')[0]}/records"]}
    for front in plan["load_balancers"].values():
        if front["load_balancer_type"] == "application":
            elb = client("elbv2")
            balancer = elb.create_load_balancer(Name=front["name"])["LoadBalancers"][0]
            group = elb.create_target_group(Name=front["name"], TargetType="lambda")["TargetGroups"][0]["TargetGroupArn"]
            [target] = [each for each in plan["permissions"] if each["principal"].startswith("elasticloadbalancing")]
            found[target["source_arn"]] = group
            elb.register_targets(TargetGroupArn=group, Targets=[{"Id": alias["arn"]}])
            elb.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])
            where = {"urls": [f"{ENDPOINT}/_alb/{front['name']}/records"]}

    pathlib.Path(PLAN).with_suffix(".made").write_text(json.dumps(found))
    plan = load()
    for permission in plan["permissions"]:
        aws.add_permission(FunctionName=permission["function_name"], Qualifier=permission["qualifier"], StatementId=permission["statement_id"],
                           Action=permission["action"], Principal=permission["principal"], SourceArn=permission["source_arn"])
    for role in plan["roles"].values():
        grant(role)
    [sends_as] = [role for address, role in plan["roles"].items() if address in ("module.connector.aws_iam_role.task", "module.connector.aws_iam_role.this")]
    steps = [[address, statement["Sid"], action] for address, role in plan["roles"].items() for statement in role["statements"] for action in statement["Action"]]
    # Who may call the function is in the plan, too.
    steps += [[FRONTS, permission["statement_id"], permission["action"]] for permission in plan["permissions"]]
    print(json.dumps({
        "role": f"arn:aws:iam::{ACCOUNT}:role/{sends_as['name']}",
        "config": configuration(plan, where),
        "queue": environment.get("QUEUE_URL"),
        "bucket": environment.get("BUCKET"),
        "steps": [step for step in steps if not UNPROVEN & set(step)],
        "unproven": [step for step in steps if UNPROVEN & set(step)],
    }))


def configuration(plan, where):
    """The connector's configuration as it is in the plan, but for its ports, its log, and where its destination is."""
    config = yaml.safe_load(plan["config"])
    config["destinations"]["records"] |= where
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items() if key not in ("service", "logging"))


def as_role(role, service):
    session = client("sts").assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role['name']}", RoleSessionName="start")["Credentials"]
    return client(service, aws_access_key_id=session["AccessKeyId"], aws_secret_access_key=session["SecretAccessKey"], aws_session_token=session["SessionToken"])


def log(role, group):
    """As the log drivers do: a stream for each start."""
    logs, stream = as_role(role, "logs"), os.urandom(10).hex()
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[{"timestamp": 1767225600000, "message": "started"}])


def start(plan):
    """Raises where something may not."""
    groups = {group["name"] for group in plan["log_groups"].values()}
    parameter = one(plan["parameters"])["name"]
    for address, role in plan["roles"].items():
        if address == "module.connector.aws_iam_role.execution":
            as_role(role, "ssm").get_parameter(Name=parameter, WithDecryption=True)
            log(role, next(name for name in groups if name.startswith("/esp-connector/") and not name.endswith("/metrics")))
        elif address == "module.connector.aws_iam_role.task":
            log(role, next(name for name in groups if name.endswith("/metrics")))
        elif address == "module.connector.aws_iam_role.this":
            as_role(role, "ssm").get_parameter(Name=parameter, WithDecryption=True)
            as_role(role, "s3").get_object(Bucket="packages", Key="esp-connector.rpm")
            log(role, next(name for name in groups if name.endswith("/metrics")))
        elif address.startswith("module.consumer."):
            log(role, next(name for name in groups if name.startswith("/aws/lambda/")))
        else:
            raise SystemExit(f"nobody starts with {address}")


def arrived(plan):
    seen = set()
    for bucket in plan["buckets"].values():
        if "-alb-logs-" not in bucket["bucket"]:
            s3 = client("s3")
            for item in s3.list_objects_v2(Bucket=bucket["bucket"], Prefix="records/").get("Contents", []):
                body = s3.get_object(Bucket=bucket["bucket"], Key=item["Key"])["Body"].read()
                lines = (gzip.decompress(body) if item["Key"].endswith(".gz") else body).decode().splitlines()
                seen |= {json.loads(line)["_meta"]["digest"] for line in lines}
    sqs = client("sqs")
    for address, queue in plan["queues"].items():
        if address.endswith(".this"):
            url = sqs.get_queue_url(QueueName=queue["name"])["QueueUrl"]
            while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600).get("Messages", []):
                seen |= {json.loads(message["Body"])["_meta"]["digest"] for message in messages}
    print(len(seen))


def main():
    plan = load()
    if COMMAND == "setup":
        set_up(plan, *REST)
    elif COMMAND == "without":
        for address, role in plan["roles"].items():
            grant(role, *(REST[1:] if REST and REST[0] == address else []))
    elif COMMAND == "start":
        try:
            start(plan)
        except ClientError as why:
            print(f"{why.operation_name}: {why.response['Error']['Code']}")
            sys.exit(1 if "AccessDenied" in why.response["Error"]["Code"] else 2)
    elif COMMAND == "arrived":
        arrived(plan)


main()

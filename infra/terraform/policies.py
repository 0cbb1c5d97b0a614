#!/usr/bin/env python3
"""The policies of an example as JSON: `python3 infra/terraform/policies.py EXAMPLE`.

Applies the example to nothing, with providers that know schemas only (`offline/`): no account is reached, and what only a
cloud could say is made up, the same every time. Prints

    roles        by address: name, and the statements of its policies
    queues, buckets, functions, aliases, apis, urls, load_balancers, parameters, log_groups
                 by address: name, ARN, and what else tells them apart
    permissions  what may call a function besides
    config       the connector's configuration

Ends with 3, and says why, where Terraform, npm or PyPI are missing.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "offline"))
sys.dont_write_bytecode = True
import mirror  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent.parent / "target")).resolve() / "terraform"
# For the variables that have no default; each example takes those that it has.
SETTINGS = {
    "region": "us-east-1", "vpc_id": "vpc-1", "subnet_ids": '["subnet-1","subnet-2"]', "aerospike_cidrs": '["10.0.4.0/24"]',
    "image": "esp-connector:1", "package_url": "s3://packages/esp-connector.rpm", "hostname": "records.example.net",
    "certificate_arn": "arn:aws:acm:us-east-1:123456789012:certificate/1", "zip_path": "versions.tf", "project": "my-project",
}
GOOGLE = {"region": "europe-west3", "package_url": "gs://packages/esp-connector.deb"}
KINDS = {
    "aws_sqs_queue": "queues", "aws_s3_bucket": "buckets", "aws_lambda_function": "functions", "aws_lambda_alias": "aliases",
    "aws_apigatewayv2_api": "apis", "aws_lambda_function_url": "urls", "aws_lb": "load_balancers", "aws_ssm_parameter": "parameters",
    "aws_cloudwatch_log_group": "log_groups",
}
TELLING = ("name", "function_name", "bucket", "arn", "url", "id", "execution_arn", "function_url", "dns_name", "load_balancer_type", "fifo_queue", "value")


def apply(example):
    """The state of the applied example."""
    work = TARGET / f"apply-{example}"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(HERE, work, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "tests", "__pycache__"))
    folder = work / "examples" / example
    has = (folder / "variables.tf").read_text()
    settings = SETTINGS | (GOOGLE if 'variable "project"' in has else {})
    (folder / "terraform.tfvars").write_text("".join(
        f"{name} = {value if value.startswith('[') else json.dumps(value)}\n" for name, value in settings.items() if f'variable "{name}"' in has))
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GOOGLE_", "TF_VAR_"))}
    variables |= {"TF_CLI_CONFIG_FILE": str(mirror.build(TARGET)), "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    for arguments in (["init", "-input=false", "-no-color"], ["apply", "-input=false", "-auto-approve", "-no-color"]):
        done = subprocess.run(["terraform", *arguments], cwd=folder, env=variables, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"terraform {arguments[0]}: {done.stdout}{done.stderr}")
    shown = subprocess.run(["terraform", "show", "-json"], cwd=folder, env=variables, capture_output=True, text=True, check=True)
    return json.loads(shown.stdout)["values"]


def resources(module):
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from resources(child)


def main():
    example = sys.argv[1]
    if not (HERE / "examples" / example / "versions.tf").exists():
        sys.exit(f"no example {example}")
    try:
        if not shutil.which("terraform"):
            raise mirror.Missing("terraform is not on this machine")
        state = apply(example)
    except mirror.Missing as why:
        print(why, file=sys.stderr)
        return 3
    out = {"example": example, "roles": {}, "permissions": [], "config": state["outputs"]["config"]["value"]} | {kind: {} for kind in KINDS.values()}
    all_of_it = [one for one in resources(state["root_module"]) if one["mode"] == "managed"]
    for one in all_of_it:
        address, kind, values = one["address"], one["type"], one["values"]
        if kind == "aws_iam_role":
            out["roles"][address] = {"name": values["name"], "arn": values["arn"], "trust": json.loads(values["assume_role_policy"]), "statements": []}
        elif kind == "aws_lambda_permission":
            out["permissions"].append({name: values[name] for name in ("statement_id", "function_name", "qualifier", "principal", "source_arn", "action")})
        elif kind in KINDS:
            out[KINDS[kind]][address] = {name: values[name] for name in TELLING if values.get(name) is not None}
    # What AWS would refuse, and no provider: two of a kind with one name.
    names = [(one["type"], one["values"]["name"]) for one in all_of_it if one["values"].get("name") and one["type"] != "aws_iam_role_policy"]
    if twins := {name for name in names if names.count(name) > 1}:
        sys.exit(f"{example}: twice {sorted(twins)}")
    by_id = {one["values"]["id"]: one["address"] for one in all_of_it if one["type"] == "aws_iam_role"}
    for one in all_of_it:
        if one["type"] == "aws_iam_role_policy":
            out["roles"][by_id[one["values"]["role"]]]["statements"] += json.loads(one["values"]["policy"])["Statement"]
    print(json.dumps(out, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Everything here that can be checked without an account: `python3 infra/terraform/check.py`.

Of every module and example: formatted, `init`, `validate`, `test`; that the tables of its README are those of its variables and
outputs; and what checkov says. With the providers of the public registry where it can be reached, else with ones that know
their schemas only, made from npm packages (`offline/`): it prints which. Everything is done in copies below target/.

    check.py [--write-docs] [--only NAME] [--no-checkov]

Ends with 0 when all is well, 1 when something is not. Where Terraform, npm or PyPI are missing it says so and ends with 0,
except where `CI` is set.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "offline"))
sys.dont_write_bytecode = True
import mirror  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent.parent / "target")).resolve() / "terraform"
CHECKOV = ["checkov==3.3.30"]
REGISTRY = "https://registry.terraform.io/.well-known/terraform.json"


def folders(root):
    """Modules and examples: where there is a versions.tf."""
    return sorted(path.parent.relative_to(root) for part in ("modules", "examples") for path in (root / part).rglob("versions.tf"))


def registry_answers():
    try:
        with urllib.request.urlopen(REGISTRY, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def copy():
    """A copy to work in: nothing that Terraform leaves behind gets into the repository."""
    work = TARGET / "work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(HERE, work, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "__pycache__"))
    return work


def environment(offline):
    variables = {**os.environ, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"}
    # Nothing here may reach an account.
    variables = {name: value for name, value in variables.items() if not name.startswith(("AWS_", "GOOGLE_", "CLOUDSDK_", "TF_VAR_"))}
    if offline:
        variables["TF_CLI_CONFIG_FILE"] = str(mirror.build(TARGET))
    else:
        cache = TARGET / "plugins"
        cache.mkdir(parents=True, exist_ok=True)
        variables["TF_PLUGIN_CACHE_DIR"] = str(cache)
        variables.pop("TF_CLI_CONFIG_FILE", None)
    return variables


def run(command, folder, variables):
    done = subprocess.run([str(part) for part in command], cwd=folder, env=variables, capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr


def check(folder, variables):
    """What came of each step, by its name; nothing after the first that failed. And what the failing one printed."""
    outcome = {}
    steps = [("fmt", ["fmt", "-check", "-diff", "-no-color"]), ("init", ["init", "-backend=false", "-no-color"]), ("validate", ["validate", "-no-color"]), ("test", ["test", "-no-color"])]
    for name, arguments in steps:
        well, printed = run(["terraform", *arguments], folder, variables)
        summary = printed.strip().splitlines()[-1] if printed.strip() else ""
        if name == "test" and well:
            if "0 passed" in summary or "passed" not in summary:
                well, printed = False, f"{printed}\nno test here"
            outcome[name] = summary.removeprefix("Success! ").rstrip(".")
        else:
            outcome[name] = "ok" if well else "FAILED"
        if not well:
            outcome[name] = "FAILED"
            return outcome, printed
    return outcome, ""


def checkov(work):
    interpreter = mirror.python(TARGET, "checkov-venv", CHECKOV)
    command = [interpreter, "-m", "checkov.main", "--directory", work, "--framework", "terraform", "--skip-download", "--compact", "--quiet", "--download-external-modules", "false"]
    well, printed = run(command, work, {**os.environ, "LOG_LEVEL": "ERROR"})
    counts = [line for line in printed.splitlines() if line.startswith("Passed checks")]
    return well, counts[0] if counts else "nothing was checked", printed


def main():
    arguments = argparse.ArgumentParser(description="Checks the Terraform modules and examples.")
    arguments.add_argument("--write-docs", action="store_true", help="write the tables of the READMEs")
    arguments.add_argument("--only", default="", help="only folders with this in their name")
    arguments.add_argument("--no-checkov", action="store_true", help="leave checkov out")
    arguments = arguments.parse_args()
    try:
        interpreter = mirror.python(TARGET)
        if arguments.write_docs:
            return subprocess.run([interpreter, HERE / "offline" / "readme.py", "--write", HERE]).returncode
        if not shutil.which("terraform"):
            raise mirror.Missing("terraform is not on this machine (no package registry has it: https://developer.hashicorp.com/terraform/install)")
        offline = not registry_answers()
        variables = environment(offline)
    except mirror.Missing as why:
        print(f"SKIPPED, the check of infra/terraform: {why}")
        return 1 if os.environ.get("CI") else 0

    print("providers: " + ("schemas from npm packages, as registry.terraform.io cannot be reached" if offline else "those of registry.terraform.io"))
    work = copy()
    failed = []
    started = time.monotonic()
    chosen = [folder for folder in folders(work) if arguments.only in str(folder)]
    width = max(len(str(folder)) for folder in chosen)
    print(f"{'':{width}}  fmt     init    validate  test")
    for folder in chosen:
        outcome, printed = check(work / folder, variables)
        print(f"{str(folder):{width}}  {outcome.get('fmt', ''):6}  {outcome.get('init', ''):6}  {outcome.get('validate', ''):8}  {outcome.get('test', '')}", flush=True)
        if printed:
            failed.append(f"{folder}:\n{printed}")
    done = subprocess.run([interpreter, HERE / "offline" / "readme.py", HERE], capture_output=True, text=True)
    print(f"READMEs: {'tables as in the code' if done.returncode == 0 else 'FAILED'}")
    if done.returncode:
        failed.append(done.stdout + done.stderr)
    if not arguments.no_checkov:
        try:
            well, counts, printed = checkov(work)
            print(f"checkov: {counts}")
            if not well:
                failed.append(printed)
        except mirror.Missing as why:
            print(f"SKIPPED, checkov: {why}")
            if os.environ.get("CI"):
                failed.append(str(why))
    print(f"{len(chosen)} modules and examples in {time.monotonic() - started:.0f} s")
    for text in failed:
        print(f"\n--- {text}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

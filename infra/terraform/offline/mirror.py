"""A mirror of providers for Terraform where the public registry cannot be reached.

    mirror.py TARGET

Builds it below the folder TARGET, and prints the CLI configuration that uses it. The providers know schemas only
(`schema.py`, `provider.py`), made from packages of npm that are pinned here.
"""

import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import venv

import schema

HERE = pathlib.Path(__file__).resolve().parent
TERRAFORM = HERE.parent
# Language bindings of hashicorp/aws and hashicorp/google.
PACKAGES = ["@cdktn/provider-aws@25.7.0", "@cdktf/provider-google@16.12.1"]
REQUIREMENTS = ["tf==1.2.0", "cryptography==50.0.2", "python-hcl2==8.1.4"]


class Missing(Exception):
    """Something that this machine does not have, or that cannot be reached from it."""


def python(target, name="venv", requirements=REQUIREMENTS):
    """A Python with these packages, in an environment of its own."""
    folder = target / name
    interpreter = folder / "bin" / "python"
    # Written last, so that what was interrupted is begun anew.
    installed = folder / "installed.txt"
    wanted = "\n".join(requirements)
    if not (installed.exists() and installed.read_text() == wanted):
        venv.create(folder, clear=True, with_pip=True)
        done = subprocess.run([interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements], capture_output=True, text=True)
        if done.returncode:
            raise Missing(f"PyPI: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no answer'}")
        installed.write_text(wanted)
    return interpreter


def archive(target, package):
    """The package as npm packs it; nothing of it is unpacked, nothing is run."""
    folder = target / "npm"
    folder.mkdir(parents=True, exist_ok=True)
    name, version = package.rsplit("@", 1)
    path = folder / f"{name.lstrip('@').replace('/', '-')}-{version}.tgz"
    if not path.exists():
        npm = shutil.which("npm")
        if not npm:
            raise Missing("npm is not on this machine")
        # To another place first: what was interrupted is no package.
        part = folder / "part"
        part.mkdir(exist_ok=True)
        done = subprocess.run([npm, "pack", "--silent", package, "--pack-destination", part], capture_output=True, text=True, cwd=folder)
        if done.returncode:
            raise Missing(f"npm: {(done.stderr.strip() or 'no answer').splitlines()[0]}")
        (part / path.name).rename(path)
    return path


def used_types():
    """Of resources and data sources: those that any file here names."""
    text = "\n".join(path.read_text() for path in sorted(TERRAFORM.rglob("*.tf")) + sorted(TERRAFORM.rglob("*.hcl")))
    return {("data" if kind == "data" or kind == "mock_data" else "resource", name) for kind, name in re.findall(r'^\s*(resource|data|mock_resource|mock_data) "(\w+)"', text, re.M)}


def build(target):
    """Path of the CLI configuration that uses the mirror."""
    interpreter = python(target)
    types = used_types()
    system = "linux" if sys.platform.startswith("linux") else sys.platform
    machine = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), platform.machine())
    mirror = target / "mirror"
    # The configuration and the plugins name both folders, which may have been moved.
    key = hashlib.sha256(json.dumps([str(target), str(HERE), sorted(types), PACKAGES, (HERE / "schema.py").read_text(), (HERE / "provider.py").read_text()]).encode()).hexdigest()
    stamp = target / "mirror.key"
    configuration = target / "terraform.rc"
    if stamp.exists() and stamp.read_text() == key:
        return configuration
    shutil.rmtree(mirror, ignore_errors=True)
    for package in PACKAGES:
        path = target / f"{package.split('/')[1].split('@')[0]}.json"
        known = schema.write(archive(target, package), types, path)
        folder = mirror / "registry.terraform.io" / known["source"] / known["version"] / f"{system}_{machine}"
        folder.mkdir(parents=True)
        plugin = folder / f"terraform-provider-{known['source'].split('/')[1]}_v{known['version']}"
        plugin.write_text(f"#!/bin/sh\nSCHEMA='{path}' exec '{interpreter}' '{HERE / 'provider.py'}' \"$@\"\n")
        plugin.chmod(0o755)
    configuration.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path    = "{mirror}"\n    include = ["*/*/*"]\n  }}\n}}\n')
    stamp.write_text(key)
    return configuration


if __name__ == "__main__":
    try:
        print(build(pathlib.Path(os.path.abspath(sys.argv[1]))))
    except Missing as why:
        sys.exit(f"no mirror: {why}")

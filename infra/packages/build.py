#!/usr/bin/env python3
"""Builds the .deb and the .rpm from one static binary, with a list of what is in it (SBOM, CycloneDX).

    python3 infra/packages/build.py            build the binary too
    python3 infra/packages/build.py --no-build take the one that is there
    python3 infra/packages/build.py --no-packages, the binary alone
    python3 infra/packages/build.py --maintainer "NAME <ADDRESS>", for packages that others get

The results are in target/packages/. Needs cargo-deb, cargo-generate-rpm and cargo-cyclonedx, which it builds once below target/tools.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from checks import tools  # noqa: E402
from checks.connector import STATIC  # noqa: E402
from checks.image import RUSTFLAGS, TRIPLE  # noqa: E402
from checks.outcome import TOP, Failed, Skipped, run  # noqa: E402

# As small as it can be; Cargo.toml says how.
PROFILE = "dist"
OUT = TOP / "target" / "packages"
SBOM = "esp-connector.cdx.json"


def build_binary():
    """As in infra/docker/Dockerfile: with --target, so that build scripts and macros are not made static."""
    environment = {**os.environ, "RUSTFLAGS": RUSTFLAGS}
    command = ["cargo", "build", "--profile", PROFILE, "--locked", "-p", "esp-connector", "--target", TRIPLE]
    subprocess.run(command, check=True, cwd=TOP, env=environment)


def write_pages(binary):
    """Manual pages and completions, from the program itself."""
    for folder in (OUT / "man", OUT / "completions"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    run(binary, "manual", OUT / "man")
    for shell, name in (("bash", "esp-connector.bash"), ("zsh", "_esp-connector"), ("fish", "esp-connector.fish")):
        (OUT / "completions" / name).write_text(run(binary, "completions", shell))


def packages(binary, maintainer):
    """Both packages from this binary."""
    for old in [*OUT.glob("*.deb"), *OUT.glob("*.rpm")]:
        old.unlink()
    # Where both tools look for what was built for TRIPLE.
    place = TOP / "target" / TRIPLE / PROFILE / "esp-connector"
    if binary.resolve() != place.resolve():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(binary, place)
    run(tools.cargo_tool("cargo-deb"), "deb", "--no-build", "--no-strip", "--locked", "--profile", PROFILE, "--target", TRIPLE, "-p", "esp-connector",
        "--output", OUT, *(("--maintainer", maintainer) if maintainer else ()), cwd=TOP, timeout_s=300)
    run(tools.cargo_tool("cargo-generate-rpm"), "generate-rpm", "--package", "connector", "--profile", PROFILE, "--target", TRIPLE, "--output", OUT, cwd=TOP,
        timeout_s=300)
    return [*OUT.glob("*.deb"), *OUT.glob("*.rpm")]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--no-build", action="store_true", help="take the static binary that is there")
    arguments.add_argument("--no-packages", action="store_true", help="build the binary only")
    arguments.add_argument("--maintainer", metavar="WHO", help="who answers for the packages: NAME <ADDRESS>")
    chosen = arguments.parse_args()
    if not chosen.no_build:
        build_binary()
    if chosen.no_packages:
        return
    try:
        write_pages(STATIC)
        listed = tools.sbom(TRIPLE, OUT / SBOM)
        for made in [*packages(STATIC, chosen.maintainer), listed]:
            print(f"{made.stat().st_size / 1e6:6.2f} MB  {made.relative_to(TOP)}")
    except (Failed, Skipped) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

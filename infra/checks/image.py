"""The container image: its file system laid out, run as a container would be, and the last stage of the Dockerfile built.

No image can be pulled here, so the first stage of the Dockerfile is not run; its script `rootfs.sh` is, with a binary that was
built with the same flags.
"""

import json
import re
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from . import tools
from .connector import STATIC
from .outcome import INFRA, TOP, Skipped, expect, run

DOCKERFILE = INFRA / "docker" / "Dockerfile"
BYTES_MAX = 30_000_000
TRIPLE = "x86_64-unknown-linux-gnu"
# Static, and a word for each place that the loader adjusts instead of three; wants glibc 2.36 on the machine that builds.
RUSTFLAGS = "-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs"
BUILD = f"RUSTFLAGS='{RUSTFLAGS}' cargo build --profile dist -p esp-connector --target {TRIPLE}"


def check(binary=STATIC):
    """Lint, layout, size, linkage, a run, and a real image where buildah is installed."""
    tools.need("hadolint", "openssl", "unshare", "bwrap")
    run("hadolint", DOCKERFILE)
    check_dockerfile(DOCKERFILE.read_text())
    if not binary.exists():
        raise Skipped(f"no static binary: {BUILD}")
    check_static(binary)
    tools.need_root("a network of its own")
    tools.need_namespaces("net", "user", "mount", "pid")
    with tempfile.TemporaryDirectory(prefix="esp-connector-") as name:
        folder = Path(name)
        root = folder / "rootfs"
        sbom = tools.sbom(TRIPLE, folder / "sbom.json")
        run(INFRA / "docker" / "rootfs.sh", binary, sbom, root)
        listed = check_sbom(root / "usr/share/doc/esp-connector/esp-connector.cdx.json")
        run("chown", "65532:65532", root / "var/lib/esp-connector")
        with tarfile.open(folder / "rootfs.tar", "w") as tar:
            tar.add(root, "/")
        size = (folder / "rootfs.tar").stat().st_size
        expect(size < BYTES_MAX, f"the file system has {size} bytes, more than {BYTES_MAX}")
        built = build(root, folder)
        ran = run("unshare", "--net", sys.executable, "-m", "checks.inside", root, folder, cwd=INFRA, timeout_s=180).strip()
    return f"{size / 1e6:.1f} MB; {ran}; {listed}; {built}"


def check_static(binary):
    """Nothing of the machine it runs on is needed."""
    headers = run("readelf", "--program-headers", "--dynamic", binary)
    expect("INTERP" not in headers and "(NEEDED)" not in headers, f"{binary} is not static:\n{headers}")


def check_sbom(file):
    """The list names what is surely in the binary, with licences and checksums."""
    sbom = json.loads(file.read_text())
    expect(sbom["bomFormat"] == "CycloneDX" and sbom["metadata"]["component"]["name"] == "esp-connector", "not a list of ours")
    crates = {component["name"]: component for component in sbom["components"]}
    for crate in ("rustls", "aws-lc-sys", "tokio", "adapters"):
        expect(crate in crates, f"the SBOM does not name {crate}")
    expect("proptest" not in crates, "the SBOM names crates of the tests")
    foreign = [crate for crate in crates.values() if crate["name"] != "adapters"]
    bare = [crate["name"] for crate in foreign if not crate.get("hashes") or not crate.get("licenses")]
    expect(not bare, f"without checksum or licence: {bare}")
    return f"SBOM of {len(crates)} crates"


def check_dockerfile(text):
    """What hadolint does not know: that it agrees with the rest of the repository."""
    pinned = re.search(r'channel = "([\d.]+)"', (TOP / "rust-toolchain.toml").read_text()).group(1)
    expect(f"ARG RUST_VERSION={pinned}\n" in text, f"the Dockerfile does not build with Rust {pinned}")
    expect(f'RUSTFLAGS="{RUSTFLAGS}"' in text, f"the image's binary is not built with {RUSTFLAGS}")
    listing = tools.CARGO_TOOLS["cargo-cyclonedx"]
    expect(f"ARG CYCLONEDX_VERSION={listing}\n" in text, f"the image's SBOM is not made by cargo-cyclonedx {listing}")
    version = re.search(r'^version = "([\d.]+)"', (TOP / "Cargo.toml").read_text(), re.MULTILINE).group(1)
    expect(f"ARG VERSION={version}\n" in text, f"the Dockerfile's VERSION is not {version}")
    ignored = DOCKERFILE.with_suffix(".dockerignore").read_text()
    for member in re.findall(r'"([^"]+)"', re.search(r"members = \[([^\]]*)\]", (TOP / "Cargo.toml").read_text()).group(1)):
        expect(f"!{member.split('/')[0]}" in ignored, f"{member} is a member of the workspace and not sent to the builder")


def build(root, folder):
    """The last stage as a real image, by buildah: what it says of user, health and command."""
    if shutil.which("buildah") is None:
        return "no image built: buildah is not installed"
    last = DOCKERFILE.read_text().split("\nFROM scratch\n")[1].replace("--from=build ", "").replace(" /rootfs/", " rootfs-of-image/")
    last = last.replace(" /state/", " state/")
    (folder / "Dockerfile").write_text(f"FROM scratch\n{last}")
    shutil.copytree(root, folder / "rootfs-of-image")
    (folder / "state").mkdir()
    (folder / "rootfs-of-image/var/lib/esp-connector").rename(folder / "state/esp-connector")
    buildah = ("buildah", "--storage-driver", "vfs", "--root", folder / "storage", "--runroot", folder / "run")
    run(*buildah, "bud", "--isolation", "chroot", "--format", "docker", "--tag", "esp-connector", "--file",
        folder / "Dockerfile", folder)
    image = json.loads(run(*buildah, "inspect", "--type", "image", "esp-connector"))["Docker"]["config"]
    expect(image["User"] == "65532:65532", f"runs as {image['User']!r}")
    expect(image["Healthcheck"]["Test"][:3] == ["CMD", "/usr/bin/esp-connector", "health"], f"{image['Healthcheck']}")
    expect(image["Entrypoint"] == ["/usr/bin/esp-connector"] and image["Cmd"][0] == "run", f"{image['Entrypoint']} {image['Cmd']}")
    expect(image["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0", "no label of the licence")
    run(*buildah, "push", "esp-connector", f"docker-archive:{folder}/image.tar:esp-connector:check")
    with tarfile.open(folder / "image.tar") as archive:
        layers = [name for name in archive.getnames() if name.endswith(".tar")]
        owners = {}
        for layer in layers:
            with tarfile.open(fileobj=archive.extractfile(layer)) as files:
                owners.update({entry.name.strip("/"): entry.uid for entry in files})
    expect(owners["var/lib/esp-connector"] == 65532, "the place to write belongs to somebody else")
    expect(owners["usr/bin/esp-connector"] == 0, "the program does not belong to root")
    return f"image of {(folder / 'image.tar').stat().st_size / 1e6:.1f} MB by buildah, {len(layers)} layers"

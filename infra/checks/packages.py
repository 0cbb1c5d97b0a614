"""The .deb and the .rpm: built, looked through, unpacked into roots of their own and started there as the service's user."""

import re
import shutil
import sys
import tempfile
from pathlib import Path

from . import tools
from .connector import STATIC
from .image import BUILD, check_sbom, check_static
from .outcome import INFRA, TOP, Skipped, expect, run

OUT = TOP / "target" / "packages"
CONFIG = "etc/esp-connector/esp-connector.yml"
SBOM = "usr/share/doc/esp-connector/esp-connector.cdx.json"

# Of every package: the place, and who may read it besides its owner.
FILES = {
    "usr/bin/esp-connector": 0o755,
    CONFIG: 0o640,
    "etc/default/esp-connector": 0o640,
    "usr/lib/systemd/system/esp-connector.service": 0o644,
    "usr/lib/sysusers.d/esp-connector.conf": 0o644,
    "usr/lib/tmpfiles.d/esp-connector.conf": 0o644,
    "usr/share/bash-completion/completions/esp-connector": 0o644,
    "usr/share/esp-connector/prometheus/alerts.yml": 0o644,
    "usr/share/esp-connector/grafana/esp-connector.json": 0o644,
    "usr/share/doc/esp-connector/configuration.md": 0o644,
    SBOM: 0o644,
}

# What lintian says of packages that are made to be installed beside a distribution, not in it.
LINTIAN_TAGS_ALLOWED = {
    # Static on purpose: one binary for every distribution, and for the image.
    "statically-linked-binary", "embedded-library",
    # No upload to Debian closes a bug there.
    "no-changelog", "initial-upload-closes-no-bugs",
    # Stripped of what debuggers want, not of the symbols that a backtrace wants.
    "unstripped-binary-or-object", "unstripped-static-library",
}


def check():
    """Builds both, and has each installed and started."""
    tools.need("dpkg-deb", "systemd-sysusers", "systemd-tmpfiles", "unshare", "chroot")
    if not STATIC.exists():
        raise Skipped(f"no static binary: {BUILD}")
    tools.need_root("a service that runs as another user")
    run(sys.executable, INFRA / "packages" / "build.py", "--no-build", timeout_s=1800)
    (deb,), (rpm,) = OUT.glob("*.deb"), OUT.glob("*.rpm")
    seen = [check_deb(deb), check_rpm(rpm), check_pages()]
    return "; ".join(filter(None, seen))


def check_deb(deb):
    """Its fields and scripts, lintian's opinion, and the service in a root."""
    fields = run("dpkg-deb", "--field", deb)
    for part in ("Package: esp-connector", "Architecture: amd64", "Section: net", "Depends: systemd"):
        expect(part in fields, f"{part!r} is not in\n{fields}")
    with tempfile.TemporaryDirectory(prefix="esp-connector-") as name:
        folder = Path(name)
        run("dpkg-deb", "--control", deb, folder / "control")
        for script in ("postinst", "prerm", "postrm"):
            text = (folder / "control" / script).read_text()
            expect("#DEBHELPER#" not in text, f"{script} is not filled in")
            run("sh", "-n", folder / "control" / script)
            if shutil.which("shellcheck"):
                run("shellcheck", "--severity=warning", folder / "control" / script)
        postinst = (folder / "control" / "postinst").read_text()
        expect("was-enabled" in postinst and "deb-systemd-invoke start" not in postinst,
               "the service is enabled or started before anybody configured it")
        conffiles = (folder / "control" / "conffiles").read_text().split()
        expect(f"/{CONFIG}" in conffiles and "/etc/default/esp-connector" in conffiles, f"conffiles are {conffiles}")
        root = folder / "root"
        run("dpkg-deb", "--extract", deb, root)
        check_files(root)
        expect((root / "usr/share/man/man1/esp-connector.1.gz").exists(), "no manual page")
        said = f"{start(root)}, {check_sbom(root / SBOM)}"
    if shutil.which("lintian"):
        found = run("lintian", "--allow-root", "--tag-display-limit", "0", "--fail-on", "none", deb, timeout_s=300)
        bad = [line for line in found.splitlines() if line.startswith("E:") and line.split()[2] not in LINTIAN_TAGS_ALLOWED]
        expect(not bad, "lintian:\n" + "\n".join(bad))
    return f"deb {deb.stat().st_size / 1e6:.1f} MB {said}"


def check_rpm(rpm):
    """Its head and scripts, and the service in a root that rpm itself fills."""
    if shutil.which("rpm") is None:
        return "rpm built; rpm is not installed, so nobody looked into it"
    scripts = run("rpm", "-qp", "--scripts", rpm)
    for part in ("systemd-sysusers esp-connector.conf", "try-restart", "disable --now"):
        expect(part in scripts, f"{part!r} is not in the scripts\n{scripts}")
    expect("systemd" in run("rpm", "-qp", "--requires", rpm), "it does not require systemd")
    configuration = run("rpm", "-qp", "--configfiles", rpm).split()
    expect(f"/{CONFIG}" in configuration, f"configuration files are {configuration}")
    with tempfile.TemporaryDirectory(prefix="esp-connector-") as name:
        # A root that others than root may enter.
        root = Path(name) / "root"
        root.mkdir(mode=0o755)
        run("rpm", "--root", root, "--nodeps", "--noscripts", "--install", rpm)
        check_files(root)
        expect((root / "usr/share/man/man1/esp-connector.1").exists(), "no manual page")
        said = f"{start(root)}, {check_sbom(root / SBOM)}"
    return f"rpm {rpm.stat().st_size / 1e6:.1f} MB {said}"


def check_files(root):
    """All is there, for those to read who should."""
    for name, mode in FILES.items():
        file = root / name
        expect(file.is_file(), f"{name} is not in the package")
        expect(file.stat().st_mode & 0o777 == mode, f"{name} has mode {file.stat().st_mode & 0o777:o}, {mode:o} is wanted")
    check_static(root / "usr/bin/esp-connector")


def start(root):
    """Makes user and places as the scripts do, and runs the service's command as that user, with what was shipped."""
    run("systemd-sysusers", f"--root={root}", "esp-connector.conf")
    run("systemd-tmpfiles", f"--root={root}", "--create", "esp-connector.conf")
    line = re.search(r"^esp-connector:[^:]*:(\d+):(\d+):", (root / "etc/passwd").read_text(), re.MULTILINE)
    unit = (root / "usr/lib/systemd/system/esp-connector.service").read_text()
    command = re.search(r"^ExecStart=(.+)$", unit, re.MULTILINE).group(1)
    # Its ports are those that were shipped: in a network of its own nobody else has them.
    apart = ("unshare", "--net") if tools.may_separate("net") else ()
    said = run(*apart, sys.executable, "-m", "checks.service_user", root, line.group(1), line.group(2), command, cwd=INFRA, timeout_s=180)
    return f"({said.strip()}{'' if apart else ', in the network of this machine'})"


def check_pages():
    """Manual pages and completions that their readers accept."""
    pages = sorted((OUT / "man").glob("*.1"))
    expect(len(pages) > 10, f"{len(pages)} manual pages")
    if shutil.which("mandoc"):
        for page in pages:
            run("mandoc", "-T", "lint", "-W", "error", page)
    scripts = {"bash": "esp-connector.bash", "zsh": "_esp-connector", "fish": "esp-connector.fish"}
    for shell, script in scripts.items():
        if shutil.which(shell):
            run(shell, "-n", OUT / "completions" / script)
    return f"{len(pages)} manual pages"

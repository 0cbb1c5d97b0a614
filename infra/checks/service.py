"""The systemd unit, the user and the places it needs: verified in a root of their own."""

import re
import tempfile
from pathlib import Path

from . import tools
from .outcome import INFRA, expect, run
from .scene import at_work_under

PACKAGES = INFRA / "packages"
UNIT = PACKAGES / "esp-connector.service"

# Of 10; systemd calls anything below 2 "OK", which leaves the network and the shared root.
EXPOSURE_MAX = 1.5


def check(unit=UNIT):
    """systemd's own opinion of the unit, and whether the connector lives within it."""
    tools.need("systemd-analyze", "systemd-sysusers", "systemd-tmpfiles")
    with tempfile.TemporaryDirectory(prefix="esp-connector-") as name:
        root = Path(name)
        lay_out(root, unit)
        said = run("systemd-analyze", "verify", f"--root={root}", "--man=no", "esp-connector.service")
        expect("esp-connector" not in said, f"systemd-analyze verify says:\n{said}")
        run("systemd-sysusers", f"--root={root}", "esp-connector.conf")
        expect("esp-connector:" in (root / "etc/passwd").read_text(), "no user was made")
        run("systemd-tmpfiles", f"--root={root}", "--create", "esp-connector.conf")
        mode = (root / "etc/esp-connector/esp-connector.yml").stat().st_mode & 0o777
        expect(mode == 0o640, f"the configuration has mode {mode:o}")
    report = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    exposure = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", report).group(1))
    expect(exposure <= EXPOSURE_MAX, f"exposure {exposure}, at most {EXPOSURE_MAX} is wanted\n{report}")
    check_times(unit.read_text())
    return f"verified, exposure {exposure}, {check_calls(unit.read_text())}"


def lay_out(root, unit):
    """The files where a package puts them."""
    for source, target in ((unit, "usr/lib/systemd/system/esp-connector.service"),
                           (PACKAGES / "esp-connector.sysusers", "usr/lib/sysusers.d/esp-connector.conf"),
                           (PACKAGES / "esp-connector.tmpfiles", "usr/lib/tmpfiles.d/esp-connector.conf"),
                           (PACKAGES / "esp-connector.yml", "etc/esp-connector/esp-connector.yml"),
                           (PACKAGES / "esp-connector.default", "etc/default/esp-connector")):
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        (root / target).write_bytes(source.read_bytes())
    # The connector, and the shell that a reload goes by.
    for target in ("usr/bin/esp-connector", "bin/sh"):
        program = root / target
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/true\n")
        program.chmod(0o755)
    # What every system has; the unit only wants to be after them.
    for target in ("multi-user", "network-online", "nss-lookup", "basic", "sysinit", "shutdown", "-.slice", "system.slice"):
        name = target if "." in target else f"{target}.target"
        (root / "usr/lib/systemd/system" / name).write_text("[Unit]\nDescription=stands in\n")


def check_times(text):
    """Stopping may take longer than the drain, and a sign of life comes in time."""
    seconds = lambda key: int(re.search(rf"^{key}=(\d+)$", text, re.MULTILINE).group(1))
    reference = (INFRA.parent / "docs" / "configuration.md").read_text()
    grace_ms = int(re.search(r"`shutdown-grace-period`[^|]*\|[^|]*\| (\d+)", reference).group(1))
    expect(seconds("TimeoutStopSec") * 1000 > grace_ms, f"TimeoutStopSec is not longer than {grace_ms} ms")
    expect(seconds("WatchdogSec") >= 10, "WatchdogSec would end a connector that is merely busy")
    expect("RestartPreventExitStatus=64" in text, "a configuration that cannot be used is started again and again")


def check_calls(text):
    """Every system call that the connector makes at work is one that the unit allows."""
    tools.need("strace")
    allowed = system_calls("@system-service") - system_calls("@privileged") - system_calls("@resources")
    with tempfile.TemporaryDirectory(prefix="esp-connector-") as name:
        trace = Path(name) / "calls"
        at_work_under("strace", "-D", "-f", "-qq", "-e", "signal=none", "-o", trace)
        made = set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)", trace.read_text(), re.MULTILINE))
    made -= {"strace"}
    expect("accept4" in made and "epoll_wait" in made, f"the trace shows no connector at work: {sorted(made)}")
    # The filter is in force once execve is done.
    forbidden = made - allowed - {"execve"}
    expect(not forbidden, f"calls that the unit's filter refuses: {sorted(forbidden)}")
    return f"{len(made)} system calls, all allowed"


def system_calls(group):
    """The names in one of systemd's groups, and in the groups that it names."""
    names = set()
    for line in run("systemd-analyze", "syscall-filter", "--no-pager", group).splitlines():
        word = line.strip()
        if word.startswith("@") and word != group:
            names |= system_calls(word)
        elif word and not word.startswith("#") and line.startswith(" "):
            names.add(word)
    return names

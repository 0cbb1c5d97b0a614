"""The service under a real systemd: the package in a Debian of its own, booted in a container, with every setting of the unit in force."""

import contextlib
import os
import shutil
import signal
import tempfile
from pathlib import Path

from . import tools
from .connector import Process, wait
from .lifecycle import CONFIG, OUT, debian
from .outcome import Failed, Skipped, expect, run

UNIT = "esp-connector.service"


def check():
    """Starts, says that it is ready, is watched, restarted when it hangs, stopped in order, and not restarted for nothing."""
    tools.need("systemd-nspawn", "nsenter", "debootstrap")
    tools.need_root("systemd-nspawn")
    tools.need_namespaces("mount", "pid", "net")
    debs = list(OUT.glob("*.deb"))
    if not debs:
        raise Skipped("no package: python3 infra/packages/build.py makes it")
    base = debian()
    with tempfile.TemporaryDirectory(prefix="esp-connector-", dir=tools.TARGET) as name:
        root = Path(name) / "root"
        run("cp", "-a", base, root)
        shutil.copy(debs[0], root / "package.deb")
        run("unshare", "--mount", "--pid", "--fork", f"--mount-proc={root}/proc", "chroot", root, "dpkg", "--install", "/package.deb")
        # Nobody waits half a minute for the watchdog.
        drop_in = root / "etc/systemd/system" / f"{UNIT}.d" / "watchdog.conf"
        drop_in.parent.mkdir(parents=True)
        drop_in.write_text("[Service]\nWatchdogSec=2\n")
        with booted(root) as inside:
            return seen(inside, root)


@contextlib.contextmanager
def booted(root):
    """A function that runs a command beside the container's systemd."""
    command = ["systemd-nspawn", "--quiet", f"--directory={root}", "--boot", "--register=no", "--keep-unit", "--private-network",
               "--console=pipe", "systemd.unit=multi-user.target"]
    with Process(*command) as process:
        children = Path(f"/proc/{process.child.pid}/task/{process.child.pid}/children")
        # The first child only makes the container; systemd is the one that stays.
        leader = lambda: (children.read_text().split() or ["0"])[-1]
        inside = lambda *words, **more: run("nsenter", f"--target={leader()}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root",
                                            "--wd=/", *words, **more).strip()
        def up():
            try:
                return inside("systemctl", "is-system-running", "--wait") and True
            except Failed as reason:
                # Whatever else of a small Debian fails in a container is not ours to judge.
                return "degraded" in str(reason)
        try:
            wait(up, "systemd does not come up in a container", lambda: process.printed)
        except Failed as reason:
            end(int(leader()))
            raise Skipped(str(reason)) from reason
        try:
            yield inside
        finally:
            end(int(leader()))


def end(leader):
    """Ends a container with all that runs in it, which does not end with systemd-nspawn itself."""
    if leader:
        with contextlib.suppress(ProcessLookupError):
            os.kill(leader, signal.SIGKILL)


def seen(inside, root):
    """What systemd says at each turn."""
    show = lambda name: inside("systemctl", "show", "--value", f"--property={name}", UNIT)
    log = lambda: inside("journalctl", "--no-pager", "--unit", UNIT)
    expect(show("ActiveState") == "inactive", "it runs though nobody enabled it")
    # Comes back once the connector said READY=1.
    inside("systemctl", "enable", "--now", UNIT)
    expect(show("ActiveState") == "active" and show("StatusText"), f"not active, or without a word\n{log()}")
    expect(show("User") == "esp-connector", "another user")
    health = ("/usr/bin/esp-connector", "health", "--ready", "--config", f"/{CONFIG}")
    inside(*health)

    # One that hangs gives no sign of life, and is replaced.
    first = show("MainPID")
    inside("systemctl", "kill", "--kill-whom=main", "--signal=STOP", UNIT)
    wait(lambda: show("NRestarts") == "1" and show("ActiveState") == "active", "it hangs and is not restarted", log)
    expect("watchdog" in log().lower() and show("MainPID") != first, "it was restarted for another reason")
    inside(*health)

    inside("systemctl", "stop", UNIT)
    expect(show("Result") == "success" and show("ExecMainStatus") == "0", f"stopped with {show('Result')}\n{log()}")
    expect("stopping: no new records are read" in log(), "it was not asked to stop")

    # A configuration that cannot be used: once, and not again and again.
    (root / CONFIG).write_text("service: {prot: 8901}\n")
    inside("systemctl", "reset-failed", UNIT)
    inside("systemctl", "start", UNIT, status=1)
    expect(show("ActiveState") == "failed" and show("ExecMainStatus") == "64" and show("NRestarts") == "0", f"restarted:\n{log()}")
    expect("prot" in log(), "the journal does not say what is wrong")
    return "ready, restarted by the watchdog when stopped short, ended in order, not restarted for a bad configuration"

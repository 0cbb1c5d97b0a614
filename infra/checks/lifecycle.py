"""The .deb in a Debian of its own: installed, configured, upgraded, removed and purged by dpkg, with its scripts."""

import re
import shutil
import tempfile
from pathlib import Path

from . import tools
from .outcome import Failed, Skipped, TOP, expect, run

OUT = TOP / "target" / "packages"
CONFIG = "etc/esp-connector/esp-connector.yml"
# What the package depends on, and nothing to spare.
INCLUDE = "systemd"


def check():
    """The life of an installation."""
    tools.need("debootstrap", "chroot", "unshare")
    debs = list(OUT.glob("*.deb"))
    if not debs:
        raise Skipped("no package: python3 infra/packages/build.py makes it")
    tools.need_root("dpkg")
    tools.need_namespaces("mount", "pid")
    base = debian()
    with tempfile.TemporaryDirectory(prefix="esp-connector-", dir=tools.TARGET) as name:
        root = Path(name) / "root"
        run("cp", "-a", base, root)
        shutil.copy(debs[0], root / "package.deb")
        return live(root)


def debian():
    """A small Debian, made once."""
    base = tools.TOOLS / "debian"
    if not (base / "done").exists():
        shutil.rmtree(base, ignore_errors=True)
        try:
            run("debootstrap", "--variant=minbase", f"--include={INCLUDE}", "stable" if not codename() else codename(), base,
                *mirror(), timeout_s=900)
        except Failed as error:
            shutil.rmtree(base, ignore_errors=True)
            raise Skipped(f"debootstrap cannot make a Debian: {str(error)[-400:]}") from error
        shutil.rmtree(base / "var/cache/apt", ignore_errors=True)
        (base / "done").touch()
    return base


def codename():
    """Of this machine's Debian."""
    match = re.search(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text())
    return match and match.group(1)


def mirror(apt=Path("/etc/apt")):
    """Where this machine's apt gets this release of Debian from, if that can be read off."""
    release = re.escape(codename() or "stable")
    # Either of apt's two notations. What ends otherwise, apt does not read.
    notations = ((rf"^deb (?:\[[^]]*\] )?(\S+) {release} ", [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))]),
                 (rf"^URIs: (\S+).*\n(?:\S.*\n)*?Suites: (?:.* )?{release}(?: |$)", sorted(apt.glob("sources.list.d/*.sources"))))
    for pattern, places in notations:
        for place in filter(Path.exists, places):
            match = re.search(pattern, place.read_text(), re.MULTILINE)
            if match:
                return [match.group(1)]
    return []


def live(root):
    """From the first installation to the purge."""
    inside = lambda *words, **more: run("unshare", "--mount", "--pid", "--fork", f"--mount-proc={root}/proc", "chroot", root, *words,
                                        env={"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}, **more)
    inside("dpkg", "--install", "/package.deb")
    said = inside("id", "esp-connector")
    expect("esp-connector" in said, "no user was made")
    owner = inside("stat", "-c", "%U:%G %a", f"/{CONFIG}").strip()
    expect(owner == "root:esp-connector 640", f"the configuration belongs to {owner}")
    wanted = root / "etc/systemd/system/multi-user.target.wants/esp-connector.service"
    expect(not wanted.is_symlink(), "the service is enabled before anybody configured it")
    inside("/usr/bin/esp-connector", "check", "--config", f"/{CONFIG}")
    inside("setpriv", "--reuid=esp-connector", "--regid=esp-connector", "--clear-groups", "/usr/bin/esp-connector", "check",
           "--config", f"/{CONFIG}")
    # What the operator wrote, what the operator enabled and what nobody took stays.
    changed = (root / CONFIG).read_text() + "# changed by the operator\n"
    (root / CONFIG).write_text(changed)
    inside("systemctl", "enable", "esp-connector.service")
    letters = root / "var/lib/esp-connector/letters"
    letters.parent.mkdir(parents=True, exist_ok=True)
    letters.write_text("a dead letter\n")
    inside("dpkg", "--install", "/package.deb")
    expect((root / CONFIG).read_text() == changed, "the upgrade changed the configuration")
    expect(wanted.is_symlink(), "the upgrade disabled the service")
    inside("dpkg", "--remove", "esp-connector")
    expect(not (root / "usr/bin/esp-connector").exists() and (root / CONFIG).exists(), "remove takes the program only")
    inside("dpkg", "--purge", "esp-connector")
    expect(not (root / CONFIG).exists(), "purge leaves the configuration")
    expect(not wanted.is_symlink(), "purge leaves the service enabled")
    expect(letters.exists(), "purge took dead letters, which nobody has anywhere else")
    left = [path for path in root.rglob("*esp-connector*") if "var/lib/esp-connector" not in str(path)]
    left = [path for path in left if path.name != "package.deb" and not str(path).startswith(str(root / "proc"))]
    expect(not left, f"purge leaves {[str(path.relative_to(root)) for path in left]}")
    return "installed, upgraded, removed and purged by dpkg; changes and dead letters kept"

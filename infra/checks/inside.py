"""Runs the image's file system in a network of its own, as a container runtime would; started by `image.py`.

Nothing of this machine is in it: no shell, no libraries, no names but those that a DNS server here tells. First with the
configuration it comes with, then delivering over TLS to a host that only DNS knows, signed by an authority of its own.
"""

import fcntl
import socket
import struct
import sys
import threading
from pathlib import Path

from .connector import Process, binary, wait, get
from .outcome import expect, run

HOST = "receiver.check.test"
CONFIG = f"""
service: {{port: 8901, manage: {{port: 8902}}}}
destinations:
  receiver: {{urls: ["https://{HOST}:8443/"], dead-letter: letters, call-timeout: 5000}}
  letters: {{type: file, path: /var/lib/esp-connector/letters}}
format: json
routing: {{mode: static-multi-destination, destinations: [receiver, letters]}}
"""
RECORDS = 2000


def main(root, folder):
    """Prints what was seen."""
    loopback_up()
    # As every container runtime does before it mounts them.
    for place in ("proc", "dev"):
        (root / place).mkdir()
    seen = [shipped_configuration(root), delivery(root, folder)]
    print("; ".join(seen))


def container(root, *arguments, mounts=()):
    """The command line that runs the image's program: another user, nothing writable but its state, no capability."""
    command = ["bwrap", "--ro-bind", root, "/", "--bind", root / "var/lib/esp-connector", "/var/lib/esp-connector"]
    for source, target in mounts:
        command += ["--ro-bind", source, target]
    command += ["--proc", "/proc", "--dev", "/dev", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--uid", "65532", "--gid",
                "65532", "--cap-drop", "ALL", "--die-with-parent", "--clearenv", "/usr/bin/esp-connector", *arguments]
    return [str(part) for part in command]


CONFIG_PATH = "/etc/esp-connector/esp-connector.yml"


def shipped_configuration(root):
    """It listens, is well, and says so to its own health check; and cannot write to its root."""
    with Process(*container(root, "run", "--config", CONFIG_PATH)) as process:
        process.wait_for(r"(listening for XDR)")
        run(*container(root, "health", "--config", CONFIG_PATH))
        run(*container(root, "health", "--ready", "--config", CONFIG_PATH))
        said = run(*container(root, "manual", "/etc/manual"), status=1)
        expect("Read-only file system" in said, f"the root can be written to: {said}")
    run(*container(root, "health", "--config", CONFIG_PATH), status=1)
    return "healthy as shipped, read-only, uid 65532"


def delivery(root, folder):
    """Records over TLS to a name, with every one accounted for."""
    certificate, key = folder / "receiver.crt", folder / "receiver.key"
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}", "-addext",
        f"subjectAltName=DNS:{HOST}", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", certificate)
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (folder / "connector.yml").write_text(CONFIG)
    (root / "etc/resolv.conf").touch()
    asked = serve_names()
    mounts = [(folder / "connector.yml", CONFIG_PATH), (folder / "resolv.conf", "/etc/resolv.conf"),
              (certificate, "/etc/ssl/certs/ca-certificates.crt")]
    (root / "var/lib/esp-connector").chmod(0o777)
    with Process(binary(), "receive", "--listen", "127.0.0.1:8443", "--tls-cert", certificate, "--tls-key", key,
                 "--ledger", folder / "delivered") as receiver:
        receiver.wait_for(r"(receiving at)")
        with Process(*container(root, "run", "--config", CONFIG_PATH, mounts=mounts)) as process:
            wait(lambda: get("http://127.0.0.1:8902/readyz")[0] == 200, "not ready", lambda: process.printed)
            try:
                run(binary(), "simulate", "--to", "127.0.0.1:8901", "--records", RECORDS, "--deadline", 60, "--ledger",
                    folder / "acked")
            except Exception as error:
                raise type(error)(f"{error}\n{process.printed}") from error
        receiver.stop()
    account = run(binary(), "account", folder / "acked", folder / "delivered")
    expect(asked, "the name was not asked for")
    return f"{RECORDS} records over TLS to a name from DNS ({account.strip().splitlines()[-1].strip()})"


def serve_names():
    """A DNS server that knows one name, and the list of the names it was asked for."""
    asked = []
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def answer():
        while True:
            question, peer = server.recvfrom(512)
            labels, at = [], 12
            while question[at]:
                labels.append(question[at + 1:at + 1 + question[at]].decode())
                at += 1 + question[at]
            kind, = struct.unpack(">H", question[at + 1:at + 3])
            name = ".".join(labels).lower()
            asked.append(name)
            known = name == HOST
            body = question[12:at + 5]
            address = known and kind == 1
            flags = 0x8580 if known else 0x8583
            head = question[:2] + struct.pack(">HHHHH", flags, 1, int(address), 0, 0)
            record = struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton("127.0.0.1") if address else b""
            server.sendto(head + body + record, peer)

    threading.Thread(target=answer, daemon=True).start()
    return asked


def loopback_up():
    """A new network has a loopback device that is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14s", b"lo", 0x1 | 0x40, b"")
        fcntl.ioctl(any_socket, 0x8914, request)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:3]))

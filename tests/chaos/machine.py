"""The machine fails: descriptors, disks, names, networks, and processes that are stopped or killed. And sources that misbehave."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

from scene import BINARY, Failed, Scene, Skipped, end_now, free_port, started

RATE = 1500


def isolated():
    """Whether this is a network and a mount namespace of its own, as `faults.py` arranges it for root."""
    return os.environ.get("CHAOS_NAMESPACE") == "1"


def resolver(folder):
    """A function that gives receiver.test another address, in this mount namespace alone."""
    if not isolated():
        raise Skipped("needs root, for a mount namespace with an /etc/hosts of its own")
    hosts = os.path.join(folder, "hosts")

    def resolves(address):
        # In place: what is mounted is the file and not its name.
        with open(hosts, "w") as file:
            file.write(f"127.0.0.1 localhost\n{address} receiver.test\n")

    resolves("127.0.0.1")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    return resolves


def small_disk(folder, kib):
    """A folder that holds so much."""
    if not isolated():
        raise Skipped("needs root, for a small disk in a mount namespace")
    path = os.path.join(folder, "disk")
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "chaos", path], check=True)
    return path


def stopped(seconds):
    def case(folder):
        scene = Scene(folder)
        yield scene
        scene.ship(seconds + 6, RATE)
        time.sleep(3)
        scene.connector.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        scene.connector.send_signal(signal.SIGCONT)
        yield scene.finish()

    return case


def kill_loop(folder):
    scene = Scene(folder)
    yield scene
    scene.ship(24, RATE)
    for _ in range(20):
        time.sleep(0.8)
        scene.kill_connector()
    yield scene.finish()


def descriptors(folder):
    """Idle connections take every descriptor for five seconds; those that are open go on."""
    scene = Scene(folder, limits=["prlimit", "--nofile=96:96"])
    yield scene
    scene.ship(14, RATE)
    time.sleep(2)
    idle = [socket.create_connection(("127.0.0.1", scene.port), 5) for _ in range(200)]
    time.sleep(1)
    most = max(files for _, _, files in scene.samples.taken)
    time.sleep(4)
    for connection in idle:
        connection.close()
    row = scene.finish()
    if most < 96:
        raise Failed(f"only {most} descriptors were in use")
    yield row


def full_log(folder):
    """Somebody else takes all the room, and gives it back after five seconds."""
    disk = small_disk(folder, 256)
    log, other = os.path.join(disk, "connector.log"), os.path.join(disk, "other")
    logging = {"file": log, "levels": {"root": "info"}, "ticker-interval": 1}
    scene = Scene(folder, config={"logging": logging}, receive=["--fail-share", "0.2"])
    yield scene
    scene.ship(12, RATE)
    time.sleep(3)
    with open(other, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 1024)
        except OSError:
            pass
    # The last page of the log may have room for a line or two.
    time.sleep(2)
    full = os.path.getsize(log)
    time.sleep(3)
    if os.path.getsize(log) > full + 4096 or shutil.disk_usage(disk).free:
        raise Failed("the disk was not full")
    os.remove(other)
    time.sleep(3)
    if os.path.getsize(log) <= full:
        raise Failed("nothing was logged any more when there was room again")
    yield scene.finish()


def full_letters(folder):
    """Dead letters find no room for six seconds: what has no place among them is not acknowledged."""
    disk = small_disk(folder, 64)
    letters = os.path.join(disk, "letters")
    scene = Scene(folder, batch=1, receive=["--fail-share", "0.1", "--fail-status", "422"],
                  destination={"dead-letter": "letters"}, config={"destinations": {"letters": {"type": "file", "path": letters}}})
    yield scene
    scene.ship(12, 300)
    time.sleep(6)
    if shutil.disk_usage(disk).free > 4096:
        raise Failed("dead letters did not fill the disk")
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
    row = scene.finish()
    # What is neither delivered nor a letter is lost.
    digests = set()
    for name in os.listdir(letters):
        with open(os.path.join(letters, name)) as file:
            for line in file:
                digests.add(json.loads(line)["digest"])
    row["lost"] = max(0, row["lost"] - len(digests))
    if not digests:
        raise Failed("there are no dead letters")
    yield row


def idle_connections(folder):
    """Ten thousand that say nothing, beside those that ship."""
    scene = Scene(folder, limits=["prlimit", "--nofile=16384:16384"])
    yield scene
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 11_000:
        raise Skipped(f"a process may have {hard} descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idle = []
    try:
        for number in range(10_000):
            # From several addresses, as one has not so many ports to spare.
            idle.append(socket.create_connection(("127.0.0.1", scene.port), 10, (f"127.0.1.{number % 20 + 1}", 0)))
        scene.ship(8, RATE)
        row = scene.finish()
    finally:
        for connection in idle:
            connection.close()
    if row["files"] < 10_000:
        raise Failed(f"{row['files']} descriptors at most")
    yield row


def captured(folder, records, *options):
    """What a source puts on the wire, from the simulator."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [BINARY, "simulate", "--to", f"127.0.0.1:{server.getsockname()[1]}", "--records", str(records), "--nodes", "1",
                   "--connections", "1", "--depth", str(records), "--deadline", "4", "--probe-seconds", "1000", *options]
        source = started(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        best = b""
        server.settimeout(5)
        # A probe says nothing; the other connection ships.
        for _ in range(2):
            connection, _ = server.accept()
            connection.settimeout(1.5)
            got = b""
            try:
                while data := connection.recv(1 << 20):
                    got += data
            except TimeoutError:
                pass
            best = max(best, got, key=len)
            if best:
                break
        end_now(source)
    if not best:
        raise Failed("the simulator shipped nothing")
    return best


def deaf_sources(folder):
    """Fifty that ship as fast as they can and read no answer, to a destination of their own."""
    other = free_port()
    receiver = started([BINARY, "receive", "--listen", f"127.0.0.1:{other}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    scene = Scene(folder, config={
        "destinations": {"other": {"urls": [f"http://127.0.0.1:{other}/"], "protocol": "HTTP_1_1", "max-connections-per-endpoint": 4}},
        "namespaces": {"deaf": {"routing": {"mode": "static", "destination": "other"}}}})
    yield scene
    frames = captured(folder, 2_000, "--namespace", "deaf")
    closed, open_at_end = [], []

    def deaf():
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.connect(("127.0.0.1", scene.port))
            connection.settimeout(40)
            try:
                end = time.monotonic() + 40
                while time.monotonic() < end:
                    connection.sendall(frames)
                open_at_end.append(1)
            except TimeoutError:
                open_at_end.append(1)
            except OSError:
                closed.append(1)

    threads = [threading.Thread(target=deaf, daemon=True) for _ in range(50)]
    try:
        for thread in threads:
            thread.start()
        scene.ship(20, 500)
        row = scene.finish()
        # The connector's end closes what is left; before it, its own limit must have closed some.
        if not closed:
            raise Failed("no source that takes no answers lost its connection")
        yield row
    finally:
        end_now(receiver)


class Elsewhere:
    """A network namespace with a cable to this one."""

    HERE, THERE = "10.213.7.1", "10.213.7.2"

    def __init__(self):
        if not isolated():
            raise Skipped("needs root, for network namespaces")
        self.holder = started(["unshare", "-n", "sleep", "infinity"])
        time.sleep(0.3)
        self.inside = ["nsenter", "-n", "-t", str(self.holder.pid)]
        run = lambda *command: subprocess.run(command, check=True)
        run("ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns", str(self.holder.pid))
        run("ip", "addr", "add", f"{self.HERE}/24", "dev", "here")
        run("ip", "link", "set", "here", "up")
        run(*self.inside, "ip", "link", "set", "lo", "up")
        run(*self.inside, "ip", "addr", "add", f"{self.THERE}/24", "dev", "there")
        self.cable("up")

    def cable(self, how):
        """Cut at its far end, where nobody here is told."""
        subprocess.run([*self.inside, "ip", "link", "set", "there", how], check=True)

    def stop(self):
        end_now(self.holder)


def receiver_cut(folder):
    there = Elsewhere()
    try:
        scene = Scene(folder, address=there.THERE, receiver_wrap=there.inside)
        yield scene
        scene.ship(20, RATE)
        for seconds in (3, 6):
            time.sleep(3)
            there.cable("down")
            time.sleep(seconds)
            there.cable("up")
        yield scene.finish()
    finally:
        there.stop()


def source_cut(folder):
    """Twelve seconds without a network: XDR gives its connections up, and nobody tells the connector."""
    there = Elsewhere()
    try:
        scene = Scene(folder, config={"service": {"address": ["127.0.0.1", there.HERE]}})
        yield scene
        scene.ship(20, RATE, to=there.HERE, wrap=there.inside)
        time.sleep(3)
        there.cable("down")
        time.sleep(12)
        there.cable("up")
        yield scene.finish()
    finally:
        there.stop()


def lossy(folder):
    """Source and receiver are over there, and either end of the cable drops one in twenty of the packets that reach it."""
    there = Elsewhere()
    ends = {"here": [], "there": there.inside}
    try:
        if not shutil.which("nft"):
            raise Skipped("needs nft, of the package nftables")
        for cable, inside in ends.items():
            subprocess.run([*inside, "nft", "-f", "-"], input=LOSS.replace("CABLE", cable), text=True, check=True)
        scene = Scene(folder, address=there.THERE, receiver_wrap=there.inside, config={"service": {"address": ["127.0.0.1", there.HERE]}})
        yield scene
        scene.ship(10, RATE, to=there.HERE, wrap=there.inside)
        row = scene.finish()
        dropped = [packets_dropped(inside) for inside in ends.values()]
        if not all(dropped):
            raise Failed(f"both ends should have dropped packets: {dropped}")
        yield row | {"faults": sum(dropped)}
    finally:
        if shutil.which("nft"):
            # What this namespace dropped it shall not drop in the next case.
            subprocess.run(["nft", "flush", "ruleset"], check=True)
        there.stop()


LOSS = """table inet loss {
    chain input { type filter hook input priority 0; iifname "CABLE" numgen random mod 100 < 5 counter drop; }
}"""


def packets_dropped(inside):
    rules = subprocess.run([*inside, "nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"packets (\d+)", rules).group(1))


CASES = {
    "stopped": ("connector stopped (SIGSTOP) for 5 s", stopped(5), {}),
    "stopped-long": ("connector stopped for 15 s: XDR gives up its connections", stopped(15), {"timeouts": True}),
    "kill-9": ("connector killed (SIGKILL) 20 times", kill_loop, {}),
    "descriptors": ("no descriptor left for 5 s", descriptors, {}),
    "full-log": ("no room for logs", full_log, {}),
    "full-letters": ("no room for dead letters for 6 s", full_letters, {}),
    "idle": ("10,000 idle connections", idle_connections, {}),
    # What is read and not answered may take `max-concurrent-bytes`, 64 MiB.
    "deaf": ("50 sources that read no answers", deaf_sources, {"memory_mib": 96}),
    "receiver-cut": ("network to the receiver cut for 3 s and 6 s", receiver_cut, {}),
    "source-cut": ("network to the source cut for 12 s", source_cut, {"timeouts": True}),
    "lossy": ("network that loses 5 % of packets", lossy, {}),
}

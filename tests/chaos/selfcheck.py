"""Cases that have to fail: each breaks one thing that the others are judged by. `faults.py --self-check` runs them."""

import signal
import time

from answers import hung, spoiled
from scene import Scene

RATE = 1000


def impatient(folder):
    """XDR that waits for two seconds only, and a receiver that is stopped for longer."""
    scene = Scene(folder, destination={"call-timeout": 6000})
    yield scene
    scene.ship(8, RATE, "--timeout-seconds", "2")
    time.sleep(1)
    scene.receiver.send_signal(signal.SIGSTOP)
    time.sleep(5)
    scene.receiver.send_signal(signal.SIGCONT)
    yield scene.finish()


def aborted(folder):
    """It ends before its time, once everything is acknowledged."""
    scene = Scene(folder)
    yield scene
    scene.ship(2, RATE)
    scene.source.wait()
    scene.connector.send_signal(signal.SIGABRT)
    yield scene.finish()


def said_so(folder):
    """Its log says that it panicked."""
    scene = Scene(folder)
    yield scene
    scene.ship(2, RATE)
    with open(scene.log, "a") as log:
        log.write("thread 'tokio-rt-worker' panicked at connector/src/lane.rs:1:1:\n")
    yield scene.finish()


def endless(folder):
    """The source ends at its deadline, with records unanswered for good."""
    scene = Scene(folder)
    yield scene
    scene.ship(2, RATE)
    time.sleep(1)
    scene.receiver.kill()
    scene.source.send_signal(signal.SIGINT)
    yield scene.finish()


# What has to stand in the verdict.
CASES = {
    "liar": ("1 answer in 20 confirms what nobody received", spoiled("liar", 0.05), {}, "records lost"),
    "impatient": ("a source that waits for two seconds", impatient, {}, "stayed unanswered"),
    "memory": ("a bound of 5 MiB", hung, {"memory_mib": 5}, "MiB, of at most 5"),
    "aborted": ("the connector ends with SIGABRT", aborted, {}, "ended with -6"),
    "panic": ("a panic in its log", said_so, {}, "panicked"),
    "endless": ("a source that gives up", endless, {}, "open"),
}

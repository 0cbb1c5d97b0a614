"""How a check ends, and running other programs so that it does."""

import os
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
INFRA = TOP / "infra"


class Failed(Exception):
    """Something is wrong with what is checked."""


class Skipped(Exception):
    """The machine lacks what the check needs; the message says what."""


def run(*command, timeout_s=120, env=None, cwd=None, status=0, stdin=None):
    """Output and error of a program that must end with this exit status."""
    command = [str(part) for part in command]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, cwd=cwd, input=stdin,
            env={**os.environ, **(env or {})},
        )
    except FileNotFoundError as error:
        raise Skipped(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(command)}: not done within {timeout_s} s") from error
    said = done.stdout + done.stderr
    if done.returncode != status:
        raise Failed(f"{' '.join(command)}: exit {done.returncode}, expected {status}\n{said}")
    return said


def expect(condition, message):
    """Fails with the message unless the condition holds."""
    if not condition:
        raise Failed(message)

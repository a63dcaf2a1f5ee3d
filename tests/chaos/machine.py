"""A machine of its own for some processes: a network namespace, whose cable can be pulled."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Machine:
    """A namespace behind a cable. `host_address` is where it reaches this machine."""

    name: str
    cable: str
    host_address: str
    guest_address: str

    @property
    def prefix(self) -> list[str]:
        """What a command begins with to run there."""
        return [shutil.which("ip") or "ip", "netns", "exec", self.name]

    def pull_cable(self) -> None:
        """Let the machine vanish: nobody is told, and nothing arrives any more."""
        run_ip("-n", self.name, "link", "set", f"{self.cable}g", "down")

    def plug_in(self) -> None:
        """Let it be reached again."""
        run_ip("-n", self.name, "link", "set", f"{self.cable}g", "up")


def can_make_machines() -> bool:
    """Say whether this user may, and can."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"fuseboard-try-{os.getpid()}"
    try:
        run_ip("netns", "add", name)
        run_ip("netns", "del", name)
    except subprocess.CalledProcessError:
        return False
    return True


@contextmanager
def run_machine() -> Iterator[Machine | None]:
    """Make a machine, and take it away; None where this user may not."""
    if not can_make_machines():
        yield None
        return
    number = os.getpid()
    net = f"10.{200 + number % 50}.{number // 50 % 250}"
    machine = Machine(f"fuseboard-chaos-{number}", f"fb{number}", f"{net}.1", f"{net}.2")
    host, guest = f"{machine.cable}h", f"{machine.cable}g"
    try:
        run_ip("netns", "add", machine.name)
        run_ip("link", "add", host, "type", "veth", "peer", "name", guest, "netns", machine.name)
        run_ip("addr", "add", f"{machine.host_address}/30", "dev", host)
        run_ip("link", "set", host, "up")
        run_ip("-n", machine.name, "addr", "add", f"{machine.guest_address}/30", "dev", guest)
        run_ip("-n", machine.name, "link", "set", "lo", "up")
        run_ip("-n", machine.name, "link", "set", guest, "up")
        yield machine
    finally:
        # the cable goes with one of its ends
        for command in (("link", "del", host), ("netns", "del", machine.name)):
            with suppress(subprocess.CalledProcessError):
                run_ip(*command)


def run_ip(*arguments: str) -> None:
    """Run `ip`."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)  # noqa: S607 - of the path, as an administrator's

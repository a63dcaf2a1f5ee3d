"""What people and networks do to the data amid load: entries twice, repricing, rebuilding, new tags."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from chaos.field import Field, Wound, fault
from chaos.fleet import make_environment
from chaos.observer import STREAM

TWICE: Final = 20
TWICE_SECONDS: Final = 2.0
COMMAND_SECONDS: Final = 60.0


def run_command(field: Field, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a command of Fuseboard, past all links."""
    log = field.fleet.list_kind("api")[0].folder / "commands.log"
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "fuseboard_cli", *arguments],
            env=make_environment(field.servers.database_url, field.servers.redis_url),
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def add_twice(field: Field) -> int:
    """Add again what is in the stream, as a producer does that heard no answer; returns how many entries."""
    found: Any = field.observer.redis.xrange(STREAM, count=TWICE)
    for _, fields in random.sample(found, len(found)):
        field.observer.redis.xadd(STREAM, fields)
    return len(found)


@fault("entries delivered twice")
def deliver_twice(field: Field) -> Iterator[Wound]:
    """Add entries a second time, while the first ones wait and after they were stored."""
    ends_at = time.monotonic() + TWICE_SECONDS
    while time.monotonic() < ends_at:
        add_twice(field)
        time.sleep(0.01)
    yield Wound(time.time(), "stream")


@fault("repriced amid load")
def reprice(field: Field) -> Iterator[Wound]:
    """Compute all costs again while they come in: once killed in the middle, once to the end."""
    order = ("prices", "reprice", "--all", "--apply")
    with run_command(field, *order) as killed:
        time.sleep(field.randomness.uniform(0.5, 2.0))
        killed.kill()
    with run_command(field, *order) as whole:
        yield Wound(time.time(), "prices")
        end_command(whole)


@fault("rebuilt amid load")
def rebuild(field: Field) -> Iterator[Wound]:
    """Make the days those of another zone and of UTC again, while events come in."""
    with run_command(field, "rebuild", "--time-zone", "Asia/Kathmandu") as there:
        yield Wound(time.time(), "days")
        end_command(there)
    with run_command(field, "rebuild", "--time-zone", "UTC") as back:
        end_command(back)


def end_command(command: subprocess.Popen[bytes]) -> None:
    """Wait until a command has ended well; raises where it has not, or not in a minute."""
    try:
        code = command.wait(COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        command.kill()
        raise
    if code:
        raise subprocess.CalledProcessError(code, command.args)

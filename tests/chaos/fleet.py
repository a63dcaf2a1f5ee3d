"""The processes under test, each on links of its own: started, killed, frozen, and started again."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chaos.links import Links
from chaos.machine import Machine
from fuseboard_cli.embedded_files import POSTGRES_PORT
from fuseboard_cli.embedded_identity import bind_command
from private_servers import REDIS_PORT
from waiting import wait_until

NAMESPACE: Final = "chaos"
TESTS: Final = Path(__file__).parents[1]
STOP_SECONDS: Final = 60.0
# those on a machine of their own
GUEST_CONSUMER: Final = "guestconsumer"
GUEST_AGGREGATOR: Final = "guestaggregator"


@dataclass(frozen=True)
class Size:
    """How many of each run, and how many events a second each producer makes."""

    consumers: int = 3
    aggregators: int = 2
    producers: int = 3
    per_second: float = 60.0


@dataclass
class Member:
    """One process under test. `killed_at` are its sudden ends, in seconds since 1970."""

    name: str
    command: list[str]
    environment: dict[str, str]
    folder: Path
    killed_at: list[float] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    @property
    def kind(self) -> str:
        """What it is: consumer, aggregator, ..."""
        return self.name.partition("-")[0]

    @property
    def log(self) -> Path:
        """Where it logs, over all its lives."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start it where it does not run."""
        if self.process is None or self.process.poll() is not None:
            with self.log.open("ab") as out:
                self.process = subprocess.Popen(
                    # it ends when the harness does, however that ends
                    [*bind_command(signal.SIGTERM), *self.command],
                    env=self.environment,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )

    def send(self, number: signal.Signals) -> None:
        """Signal it, and whatever it has started."""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """Kill it as the out-of-memory killer would."""
        assert self.process is not None
        if self.process.poll() is None:
            self.killed_at.append(time.time())
            self.send(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it in good order."""
        assert self.process is not None
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
        self.process.wait(STOP_SECONDS)

    def dismiss(self) -> None:
        """End it, and do not miss it."""
        self.stop()
        self.process = None

    @property
    def has_started(self) -> bool:
        """Whether a consumer or an aggregator has said that it works, in this life or an earlier one."""
        return "_started" in self.log.read_text()

    @property
    def has_exited(self) -> bool:
        """Whether it ended by itself."""
        return self.process is not None and self.process.poll() is not None


class Fleet:
    """All members by name. `api_port` is where the API answers."""

    def __init__(self, members: list[Member]) -> None:
        self.members = {member.name: member for member in members}
        self.api_port = int(self.members["api-1"].command[-1])

    def list_kind(self, kind: str) -> list[Member]:
        """List the members of a kind, in order of their names."""
        return [member for member in self.members.values() if member.kind == kind]

    def list_exited(self) -> list[Member]:
        """List those that ended though nobody killed them."""
        return [member for member in self.members.values() if member.has_exited]

    def stop_kind(self, kind: str) -> None:
        """End the members of a kind in good order."""
        members = self.list_kind(kind)
        for member in members:
            if not member.has_exited:
                member.send(signal.SIGTERM)
        for member in members:
            assert member.process is not None
            member.process.wait(STOP_SECONDS)


def list_names(size: Size) -> list[str]:
    """Name the members of a fleet."""
    counts = {"consumer": size.consumers, "aggregator": size.aggregators, "producer": size.producers}
    numbered = [f"{kind}-{number}" for kind, count in counts.items() for number in range(1, count + 1)]
    return [*numbered, "router-1", "api-1"]


def make_environment(database_url: str, redis_url: str) -> dict[str, str]:
    """Make the environment of a process: of the servers it is given, and nothing else of ours."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FUSEBOARD_", "PG"))}
    return kept | {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "FUSEBOARD_NAMESPACE": NAMESPACE,
        "FUSEBOARD_FOLD_INTERVAL_SECONDS": "1",
        "PYTHONPATH": str(TESTS),
    }


def make_linked_environment(name: str, links: Links) -> dict[str, str]:
    """Make the environment of a member, which reaches both servers through links of its own."""
    database, redis = (links.ports[f"{name}/{server}"] for server in ("database", "redis"))
    return make_environment(
        f"postgresql://postgres@127.0.0.1:{database}/postgres?application_name={name}", f"redis://127.0.0.1:{redis}/0"
    )


def make_command(name: str, environment: dict[str, str], folder: Path, size: Size, seed: int) -> list[str]:
    """Make the command of one member."""
    kind = name.partition("-")[0]
    if kind in {"producer", "router"}:
        orders = {
            "name": name,
            "redis_url": environment["REDIS_URL"],
            "namespace": NAMESPACE,
            "spool_dir": str(folder / f"{name}.spool"),
            "journal": str(folder / f"{name}.journal"),
            "per_second": size.per_second if kind == "producer" else size.per_second / 3,
            "uses_router": kind == "router",
            "seed": seed,
        }
        return [sys.executable, "-m", "chaos.recorder", json.dumps(orders)]
    command = [sys.executable, "-m", "fuseboard_cli", kind]
    return [*command, "--port", str(find_free_port())] if kind == "api" else command


def find_free_port() -> int:
    """Find a port that nobody listens at just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def make_guests(machine: Machine, folder: Path) -> list[Member]:
    """Make the members that reach both servers over a cable of their own."""
    members = []
    for kind, command in ((GUEST_CONSUMER, "consumer"), (GUEST_AGGREGATOR, "aggregator")):
        name = f"{kind}-1"
        environment = make_environment(
            f"postgresql://postgres@{machine.host_address}:{POSTGRES_PORT}/postgres?application_name={name}",
            f"redis://{machine.host_address}:{REDIS_PORT}/0",
        )
        line = [*machine.prefix, sys.executable, "-m", "fuseboard_cli", command]
        members.append(Member(name, line, environment, folder))
    return members


@contextmanager
def run_fleet(size: Size, links: Links, machine: Machine | None, folder: Path, seed: int) -> Iterator[Fleet]:
    """Run all members; those that still live at the end are killed."""
    members = make_guests(machine, folder) if machine else []
    for number, name in enumerate(list_names(size)):
        environment = make_linked_environment(name, links)
        command = make_command(name, environment, folder, size, seed * 1000 + number)
        members.append(Member(name, command, environment, folder))
    fleet = Fleet(members)
    try:
        for member in members:
            # guests are called when a machine is to vanish: beside them no outage of all consumers would be one
            if member.kind not in {GUEST_CONSUMER, GUEST_AGGREGATOR}:
                member.start()
        started = [*fleet.list_kind("consumer"), *fleet.list_kind("aggregator")]
        wait_until(lambda: all(member.has_started for member in started), timeout_seconds=120)
        yield fleet
    finally:
        for member in members:
            if member.process is not None and not member.has_exited:
                member.send(signal.SIGCONT)
                member.send(signal.SIGKILL)
                member.process.wait()

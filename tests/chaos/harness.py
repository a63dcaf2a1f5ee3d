"""One run: servers and fleet up, one fault after the other, each until all is well again, then the verdict."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Self

import psycopg
import redis as redis_client

from chaos.checker import Verdict, judge, list_differences
from chaos.field import FAULTS, Fault, Field, Wound, combine
from chaos.fleet import Size, list_names, run_fleet
from chaos.journal import JournalContent, read_last_event
from chaos.links import run_links
from chaos.machine import run_machine
from chaos.observer import Observer, find_socket
from chaos.recorder import Prober
from fuseboard_schema.database import connect_database
from fuseboard_schema.migrate import migrate
from private_servers import PrivateServers, run_private_servers

PATIENCE_SECONDS: Final = 90.0
LOOK_EVERY_SECONDS: Final = 0.02
# what the documents say that a killed producer may lose, and as much again for a machine that is busy
MAY_LOSE_SECONDS: Final = 0.5
# after a fault all processes are up, and some traffic is between it and the next one
PAUSE_SECONDS: Final = 1.0
CHECKED_AFTER_EACH: Final = ("compare_days", "compare_health")


@dataclass(frozen=True, slots=True)
class Trial:
    """One fault that was tried, until `ended_at`. `recovery_seconds` None: not within a minute and a half."""

    fault: Fault
    wound: Wound
    ended_at: float
    recovery_seconds: float | None
    differences: tuple[str, ...]

    @property
    def is_late(self) -> bool:
        """Whether it took longer than what is aimed at."""
        return self.recovery_seconds is None or self.recovery_seconds > self.fault.aim_seconds


class Harness:
    """Tries faults on a field."""

    def __init__(self, field: Field, prober: Prober, folder: Path) -> None:
        self.field, self.prober, self.folder = field, prober, folder
        self.is_brief = False
        self.exits: list[str] = []
        self.journals: dict[str, JournalContent] = {}

    @classmethod
    @contextmanager
    def run(cls, folder: Path, size: Size, seed: int, *, wants_machine: bool) -> Iterator[Self]:
        """Start everything, and stop it."""
        with ExitStack() as stack:
            machine = stack.enter_context(run_machine() if wants_machine else nullcontext())
            servers = stack.enter_context(run_private_servers(folder, machine.host_address if machine else None))
            with connect_database(servers.database_url, application_name="observer") as connection:
                migrate(connection)
            links = stack.enter_context(run_links(list_targets(servers, size), folder / "proxy.log"))
            fleet = stack.enter_context(run_fleet(size, links, machine, folder, seed))
            observer = Observer(servers.database_url, servers.redis_url)
            stack.callback(observer.close)
            prober = stack.enter_context(Prober.run(servers.redis_url, folder))
            randomness = random.Random(seed)  # noqa: S311 - chosen victims, not secrets
            yield cls(Field(fleet, links, servers, observer, randomness, machine), prober, folder)

    def try_fault(self, fault: Fault) -> Trial | None:
        """Try one fault; None where it could not be injected, as a second one of a server that is away."""
        try:
            return self.inject(fault)
        except (psycopg.Error, redis_client.RedisError):
            self.start_the_dead()
            return None

    def inject(self, fault: Fault) -> Trial:
        """Inject one fault, wait until all is well, heal it, and wait until all is well again."""
        last_entry = self.field.observer.read_last_entry()
        recovery_seconds: float | None = None
        with fault.strike(self.field) as wound:
            last_entry = (None if fault.is_outage else self.field.observer.read_last_entry()) or last_entry
            if not fault.is_outage:
                recovery_seconds = self.wait_until_well(wound, wound.at, last_entry)
            if fault.is_outage or not self.is_brief:
                time.sleep(max(0.0, wound.at + fault.held_seconds - time.time()))
        healed_at = time.time()
        healed_seconds = self.wait_until_well(wound, healed_at, last_entry)
        self.start_the_dead()
        time.sleep(PAUSE_SECONDS)
        differences = tuple(list_differences(self.field.observer, CHECKED_AFTER_EACH))
        return Trial(fault, wound, time.time(), healed_seconds if fault.is_outage else recovery_seconds, differences)

    def wait_until_well(self, wound: Wound, since: float, last_entry: bytes | None) -> float | None:
        """Wait for a new event and all that were there before to be stored; returns the seconds since a time."""
        observer = self.field.observer
        probe = self.prober.record()
        conditions: list[Callable[[], bool]] = [
            lambda: observer.is_stored(probe),
            lambda: observer.is_stored_up_to(last_entry),
        ]
        if wound.needs_fold:
            conditions.append(lambda: observer.has_folded_since(since))
        made = [read_last_event(self.folder / f"{name}.journal") for name in wound.producers]
        conditions += [partial(observer.is_stored, event_id) for event_id in made]
        if wound.needs_api:
            conditions.append(lambda: observer.is_api_ready(self.field.fleet.api_port))
        while conditions:
            if conditions[0]():
                del conditions[0]
            elif time.time() - since > PATIENCE_SECONDS:
                return None
            else:
                time.sleep(LOOK_EVERY_SECONDS)
        return time.time() - since

    def start_the_dead(self) -> None:
        """Start what has ended by itself, as a supervisor would; each end is noted."""
        for member in self.field.fleet.list_exited():
            self.exits.append(f"{member.name} ended with {member.process.returncode if member.process else None}")
            member.start()

    def list_event_times(self) -> list[float]:
        """List when the journalled events were made."""
        return [entry.at for content in self.journals.values() for entry in content.entries.values()]

    def finish(self) -> Verdict:
        """End the traffic, let everything be stored and folded, and judge."""
        fleet, observer = self.field.fleet, self.field.observer
        for kind in ("producer", "router"):
            fleet.stop_kind(kind)
        self.prober.close()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not observer.is_drained() and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_SECONDS)
        names = [*(member.name for kind in ("producer", "router") for member in fleet.list_kind(kind)), "prober"]
        journals = self.journals = {name: JournalContent.read(self.folder / f"{name}.journal") for name in names}
        may_lose = {
            member.name: [(killed_at - MAY_LOSE_SECONDS, killed_at) for killed_at in member.killed_at]
            for member in fleet.members.values()
        }
        return judge(observer, journals, may_lose)


def list_targets(servers: PrivateServers, size: Size) -> dict[str, tuple[Path, str]]:
    """List the links: two for each member."""
    sockets = {"database": find_socket(servers.database_url), "redis": find_socket(servers.redis_url)}
    return {f"{name}/{server}": (path, "127.0.0.1") for name in list_names(size) for server, path in sockets.items()}


def draw_faults(names: list[str], seed: int, pairs_share: float) -> Iterator[Fault]:
    """Draw faults without end: in each round every kind once, in another order, some beside a second one."""
    randomness = random.Random(f"faults {seed}")  # noqa: S311 - the order of trials
    while True:
        for name in randomness.sample(names, len(names)):
            yield FAULTS[name]
            if randomness.random() < pairs_share:
                first, second = randomness.sample(names, 2)
                yield combine(FAULTS[first], FAULTS[second])

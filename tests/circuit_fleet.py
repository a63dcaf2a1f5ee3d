"""Consumers, routing workers and fake providers on servers of one's own, each to be started and killed by a test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from redis import Redis

from consumers import ConsumerProcess
from fake_provider import Behaviour, FakeProvider, running_provider
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_snapshot
from fuseboard_schema.database import connect_database
from fuseboard_schema.redis_client import connect_redis
from private_servers import PrivateServers
from router_workers import Json, RouterWorker, kill_worker
from waiting import wait_until

NAMESPACE: Final = "fleet"
# in order of choice; the last one is the remote one, and never fails
PROVIDERS: Final = ("ollama", "localai", "claude")
SETTINGS: Final[Json] = {
    "min_reporters": 2,
    # two workers that fail three times each
    "consecutive_failures": 6,
    "min_calls": 100,
    "half_open_max_probes": 2,
    "success_threshold": 2,
    "open_base_s": 600,
    "ramp_s": 0,
    "min_timeout_for_failure_s": 0.2,
}


@dataclass
class Fleet:
    """What a test may start, kill and ask. Workers live until their test ends."""

    servers: PrivateServers
    folder: Path
    providers: dict[str, FakeProvider]
    consumer: ConsumerProcess | None = None
    workers: list[RouterWorker] = field(default_factory=list)

    def start_consumer(self) -> None:
        self.consumer = ConsumerProcess(self.folder, self.servers.database_url, self.servers.redis_url, NAMESPACE)

    def kill_consumer(self) -> None:
        """Kill the consumer as the out-of-memory killer would."""
        if self.consumer is not None:
            self.consumer.process.kill()
            self.consumer.process.wait()
            self.consumer = None

    def kill_all(self) -> None:
        self.kill_consumer()
        for worker in self.workers:
            kill_worker(worker)

    def start_worker(self, **options: Any) -> RouterWorker:  # noqa: ANN401 - as RouterWorker takes them
        """Start a worker; `urls` replaces addresses of providers."""
        urls = {name: provider.url for name, provider in self.providers.items()} | options.pop("urls", {})
        name = f"worker-{len(self.workers)}"
        worker = RouterWorker(self.folder, name, self.servers.redis_url, NAMESPACE, urls, **options)
        self.workers.append(worker)
        return worker

    def start_workers(self, count: int, **options: Any) -> list[RouterWorker]:  # noqa: ANN401 - as RouterWorker takes them
        """Start workers side by side, and wait until all have read the circuits."""
        workers = [self.start_worker(**options) for _ in range(count)]
        for worker in workers:
            worker.wait_until_ready()
        return workers

    def configure(self, provider: str, **settings: object) -> None:
        """Give a provider's circuit settings that differ from those of the fleet."""
        values = Jsonb(SETTINGS | settings)
        self.fetch("UPDATE llm_providers SET circuit_settings = %s WHERE name = %s RETURNING 1", values, provider)

    def behave(self, behaviour: Behaviour, *names: str) -> None:
        for name in names:
            self.providers[name].behave(behaviour)

    def fetch(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Run a statement on a connection of its own, so that it may be run after an outage."""
        with (
            connect_database(self.servers.database_url, application_name="tests") as database,
            database.cursor(row_factory=dict_row) as cursor,
        ):
            return cursor.execute(query.encode(), values).fetchall()

    def fetch_health(self, provider: str) -> dict[str, Any]:
        return self.fetch("SELECT * FROM llm_provider_health WHERE provider = %s", provider)[0]

    def list_reasons(self, provider: str) -> list[str]:
        """List why a provider's circuit changed, oldest first."""
        query = "SELECT reason FROM llm_circuit_transitions WHERE provider = %s ORDER BY version"
        return [row["reason"] for row in self.fetch(query, provider)]

    def count_requests(self) -> int:
        return int(self.fetch("SELECT count(*) AS count FROM llm_requests")[0]["count"])

    @contextmanager
    def redis(self) -> Iterator[Redis]:
        with connect_redis(self.servers.redis_url, retries=10) as redis:
            yield redis

    def read_published(self) -> set[str]:
        """Read the names of the fields that workers would find."""
        with self.redis() as redis:
            names = redis.hkeys(name_snapshot(NAMESPACE))
        return {name.decode() if isinstance(name, bytes) else name for name in names}

    def wait_until_published(self) -> None:
        """Wait until the projection is complete, its heartbeat included."""
        wait_until(lambda: self.read_published() >= {HEARTBEAT_FIELD, *PROVIDERS})

    def wait_until_stored(self) -> None:
        """Wait until every attempt that any worker's ledger has is a row."""
        for worker in self.workers:
            worker.ask("flush")
        made = sum(len(line["attempts"]) for worker in self.workers for line in worker.read_ledger())
        wait_until(lambda: self.count_requests() == made)


@contextmanager
def running_fleet(servers: PrivateServers, folder: Path) -> Iterator[Fleet]:
    """Run the providers and a consumer; everything that is started later ends with the block."""
    with ExitStack() as stack:
        providers = {name: stack.enter_context(running_provider(name)) for name in PROVIDERS}
        fleet = Fleet(servers, folder, providers)
        names = list(PROVIDERS)
        fleet.fetch("UPDATE llm_providers SET enabled = name = ANY (%s) RETURNING 1", names)
        for name in names:
            fleet.configure(name)
        fleet.start_consumer()
        stack.callback(fleet.kill_all)
        fleet.wait_until_published()
        yield fleet


def wait_for_all(workers: list[RouterWorker], condition: Callable[[Json], object]) -> None:
    """Wait until what every worker sees fulfils a condition."""
    wait_until(lambda: all(condition(worker.look()) for worker in workers))


def call_until_each_failed(workers: list[RouterWorker], provider: str, times: int) -> None:
    """Let workers make requests in turn until each has failed so often at a provider."""
    for _ in range(times):
        for worker in workers:
            line = worker.call()
            assert line["error"] is None
            assert provider in [attempt["provider"] for attempt in line["attempts"]]

"""What docs/backup.md says, tried: a dump of a live system that is restored, and roles that are no superusers."""

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from redis import Redis

from api_tools import make_api_token, open_client
from conftest import ServerUrls
from consumers import drain_all, make_settings, running_drain, shorten_waits
from events import add_entry, make_event
from fuseboard_aggregator.jobs import JOBS, run_job
from fuseboard_aggregator.reconcile import reconcile
from fuseboard_cli.embedded_binaries import find_postgres
from fuseboard_schema.database import connect_database
from fuseboard_schema.migrate import migrate
from fuseboard_schema.settings import Settings
from queries import Database, fetch_value

PAGE = (Path(__file__).parents[2] / "docs" / "backup.md").read_text()
GRANTS, ROLES = (re.findall(r"```postgresql\n(.*?)```", PAGE, re.DOTALL)[index] for index in (1, 0))


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_waits(monkeypatch.setattr)


def restore(from_url: str, into_url: str) -> None:
    """Dump one database and restore the dump into another, as the page says."""
    folder, _ = find_postgres(None)
    dump = subprocess.run(
        [folder / "pg_dump", "--format=plain", "--no-owner", "--no-privileges", from_url],
        capture_output=True, check=True,
    )  # fmt: skip
    subprocess.run(
        [folder / "psql", "--quiet", "--single-transaction", "-v", "ON_ERROR_STOP=1", into_url],
        input=dump.stdout, capture_output=True, check=True,
    )  # fmt: skip


def test_a_dump_of_a_live_system_goes_on_where_it_was_and_counts_nothing_twice(
    database_url: str, empty_database_url: str, redis_url: str, redis_client: Redis, namespace: str
) -> None:
    live = make_settings(database_url, redis_url, namespace)
    sent = [[make_event(provider=("claude", "newcomer")[index % 2]) for index in range(50)] for _ in range(6)]
    for entry in sent[:2]:
        add_entry(redis_client, namespace, entry)
    drain_all(redis_client, live)
    run_job("fold", live)
    with running_drain(redis_client, live):
        for entry in sent[2:4]:
            add_entry(redis_client, namespace, entry)
        restore(database_url, empty_database_url)

    restored = live.model_copy(update={"database_url": empty_database_url})
    # as a Redis that is restored, or spools: all of it again, and what is new
    for entry in sent:
        add_entry(redis_client, namespace, entry)
    drain_all(redis_client, restored)
    for job in JOBS:
        run_job(job, restored)

    with connect_database(empty_database_url, application_name="tests") as connection:
        assert migrate(connection) == []
        assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 300
        assert fetch_value(connection, "SELECT sum(requests) FROM llm_costs_daily") == 300
        assert fetch_value(connection, "SELECT sum(total_requests) FROM llm_provider_health") == 300
        assert fetch_value(connection, "SELECT count(*) FROM llm_rejected_events") == 0
        assert reconcile(connection).is_clean


class Roles:
    """The page's roles in a database of their own, under names that no other test has."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._suffix = uuid4().hex[:8]

    def rename(self, text: str) -> str:
        """Give roles and database their names of this test."""
        text = re.sub(r"\bfuseboard(_api|_analyst)?\b(?!_)", rf"fuseboard\1_{self._suffix}", text)
        return text.replace("PASSWORD 'CHANGE-ME", f"PASSWORD '{self._suffix}")

    def make_url(self, role: str) -> str:
        """Make the URL of the database as one of the roles sees it."""
        parts = urlsplit(self._server_url)
        name = self.rename(role)
        password = f"{self._suffix}-{['fuseboard', 'fuseboard_api', 'fuseboard_analyst'].index(role) + 1}"
        host = parts.netloc.rpartition("@")[2]
        netloc = f"{quote(name)}:{password}@{host}"
        return urlunsplit(parts._replace(netloc=netloc, path=f"/{self.rename('fuseboard')}"))

    def run(self, statements: str) -> None:
        """Run statements as whoever made the server."""
        with connect_database(self._server_url, application_name="tests") as admin:
            for statement in self.rename(statements).split(";\n"):
                if statement.strip():
                    admin.execute(statement.encode())


@pytest.fixture
def roles(servers: ServerUrls) -> Iterator[Roles]:
    made = Roles(servers.database_url)
    made.run(ROLES)
    yield made
    made.run(
        "DROP DATABASE fuseboard WITH (FORCE);\nDROP ROLE fuseboard_analyst;\nDROP ROLE fuseboard_api;\n"
        "DROP ROLE fuseboard;\n"
    )


def check_api(settings: Settings, owner: Database) -> None:
    with open_client(settings, make_api_token(owner, "admin")) as api:
        for path in ("costs", "providers", "circuits", "requests", "health", "rejected", "tags"):
            assert api.get(f"/api/llm/{path}").status_code == 200, path
        order = {"reason": "tried"}
        assert api.post("/api/llm/circuits/claude/force-open", json=order).status_code == 200
        assert api.get("/metrics").status_code == 200


def test_everything_works_under_roles_that_are_no_superusers(
    roles: Roles, redis_url: str, redis_client: Redis, namespace: str
) -> None:
    settings = make_settings(roles.make_url("fuseboard"), redis_url, namespace)
    with connect_database(roles.make_url("fuseboard"), application_name="tests") as owner:
        assert fetch_value(owner, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
        migrate(owner)
        owner.execute(roles.rename(GRANTS).encode())
        add_entry(redis_client, namespace, [make_event(occurred_at=datetime.now(UTC)) for _ in range(10)])
        drain_all(redis_client, settings)
        for job in JOBS:
            run_job(job, settings)
        check_api(settings.model_copy(update={"database_url": roles.make_url("fuseboard_api")}), owner)

    with connect_database(roles.make_url("fuseboard_analyst"), application_name="tests") as analyst:
        assert fetch_value(analyst, "SELECT total_requests FROM llm_cost_summary(7)") == 10
        assert fetch_value(analyst, "SELECT count(*) FROM llm_requests") == 10
        for refused in ("SELECT * FROM fuseboard_tokens", "DELETE FROM llm_requests"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                analyst.execute(refused.encode())

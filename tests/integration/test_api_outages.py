"""The API while its servers are away or busy: told in time, and well again by itself."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api_tools import ApiClient, expect_problem, make_api_token, open_client
from consumers import make_settings
from fuseboard_api import resources
from fuseboard_schema.database import connect_database
from private_servers import PrivateServers
from waiting import wait_until

Answers = list[httpx.Response]


@pytest.fixture
def api(private_servers: PrivateServers, tmp_path: Path) -> Iterator[ApiClient]:
    settings = make_settings(
        private_servers.database_url, private_servers.redis_url, "outages", FUSEBOARD_SPOOL_DIR=str(tmp_path)
    )
    with connect_database(private_servers.database_url, application_name="tests") as connection:
        token = make_api_token(connection, "admin")
    with open_client(settings, token) as client:
        yield client


def test_without_postgresql_the_caller_is_told_to_come_again_and_later_served(
    api: ApiClient, private_servers: PrivateServers
) -> None:
    assert api.get("/api/llm/health").status_code == 200
    private_servers.postgres.kill9()

    response = api.get("/api/llm/health")

    expect_problem(response, 503)
    assert int(response.headers["retry-after"]) > 0
    assert api.get("/healthz").status_code == 200
    expect_problem(api.get("/readyz"), 503)
    private_servers.postgres.start()
    wait_until(lambda: api.get("/api/llm/health").status_code == 200)


def test_without_postgresql_a_token_that_was_right_lately_records_and_reads_nothing(
    api: ApiClient, private_servers: PrivateServers
) -> None:
    event = {"provider": "claude", "model": "m"}
    stranger = {"Authorization": "Bearer fuseboard_000000000000_x"}
    assert api.post("/api/llm/record", json=event).status_code == 202
    private_servers.postgres.kill9()

    assert api.post("/api/llm/record", json=event).status_code == 202

    expect_problem(api.post("/api/llm/record", json=event, headers=stranger), 503)
    expect_problem(api.get("/api/llm/providers"), 503)


def test_more_readers_than_connections_wait_and_are_refused_in_the_end(
    api: ApiClient, private_servers: PrivateServers
) -> None:
    with connect_database(private_servers.database_url, application_name="tests") as holder, holder.transaction():
        # who reads health now waits, until the statement's time is over
        holder.execute("SET LOCAL idle_in_transaction_session_timeout TO 0")
        holder.execute("LOCK TABLE llm_provider_health")
        answers: Answers = []
        readers = [
            threading.Thread(target=lambda: answers.append(api.get("/api/llm/health")))
            for _ in range(2 * resources.POOL_MAX_CONNECTIONS)
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()

    assert len(answers) == len(readers)
    details = {expect_problem(answer, 503)["detail"] for answer in answers}
    assert details == {"the database took too long: ask for less", "the database is busy or away: try again"}
    assert api.get("/api/llm/health").status_code == 200

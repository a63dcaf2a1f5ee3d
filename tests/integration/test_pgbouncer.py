"""Everything behind PgBouncer, by session as it comes and by transaction with a direct URL."""

from pathlib import Path

import psycopg
import pytest
from redis import Redis

from api_tools import make_api_token, open_client
from commands import run_command, run_json
from consumers import consumers, is_drained, make_settings
from events import add_entry, make_event
from fuseboard_schema.database import PoolingError, connect_database
from fuseboard_schema.settings import Settings
from poolers import running_pgbouncer
from queries import Database, fetch_value
from waiting import wait_until

ENTRIES = 40


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str) -> Settings:
    return make_settings(database_url, redis_url, namespace)


def check_commands(pooled: Settings, pooling: str) -> None:
    """Check what commands say and do behind the pooler."""
    run_command(pooled, "migrate")
    run_command(pooled, "aggregator", "--once", "partitions")
    run_command(pooled, "aggregator", "--once", "fold")
    run_command(pooled, "reconcile")
    checks = {check["name"]: check for check in run_json(pooled, "doctor")}
    assert (checks["pooling"]["level"], pooling in checks["pooling"]["text"]) == ("ok", True)


def check_api(pooled: Settings, token: str) -> None:
    """Check reads, one of them in a snapshot, and an order, often enough for statements to be prepared."""
    with open_client(pooled, token) as api:
        for _ in range(8):
            costs = api.get("/api/llm/costs").json()
            assert costs["total_requests"] == 3 * ENTRIES + 4
            assert api.get("/api/llm/providers").status_code == 200
        for order in ("force-open", "clear"):
            answer = api.post(f"/api/llm/circuits/claude/{order}", json={"reason": "a test"})
            assert answer.json()["is_published"]
        assert api.get("/api/llm/export/llm_providers.csv").text.count("\n") > 1


@pytest.mark.parametrize("pooling", ["session", "transaction"])
def test_all_works_behind_pgbouncer(
    settings: Settings, redis_client: Redis, connection: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    pooling: str,
) -> None:  # fmt: skip
    direct = settings.database_url or ""
    with running_pgbouncer(tmp_path, direct, pooling) as url:
        pooled = settings.model_copy(update={"database_url": url})
        if pooling == "transaction":
            monkeypatch.setenv("FUSEBOARD_DIRECT_DATABASE_URL", direct)
            pooled = pooled.model_copy(update={"direct_database_url": direct})
        with consumers(2, tmp_path, url, settings.redis_url or "", settings.namespace) as running:
            for number in range(ENTRIES):
                add_entry(redis_client, settings.namespace, [make_event(provider="claude") for _ in range(3)])
                if number % 10 == 0:
                    # another provider, another day, and one that comes twice
                    add_entry(redis_client, settings.namespace, [make_event(provider=f"p{number}")] * 2)
            wait_until(lambda: is_drained(redis_client, settings.namespace))
            wait_until(lambda: any(consumer.logged("sweeper_started") for consumer in running))
            assert not any(consumer.logged("database_unavailable") for consumer in running)

        assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 3 * ENTRIES + 4
        check_api(pooled, make_api_token(connection, "admin"))
        check_commands(pooled, pooling)
        with psycopg.connect(url, autocommit=True) as other:
            # what others are given has nothing of ours
            assert other.execute("SHOW statement_timeout").fetchone() == ("0",)


def test_what_needs_a_session_refuses_a_pooler_of_transactions(settings: Settings, tmp_path: Path) -> None:
    with running_pgbouncer(tmp_path, settings.database_url or "", "transaction") as url:
        with pytest.raises(PoolingError, match="FUSEBOARD_DIRECT_DATABASE_URL"):
            connect_database(url, application_name="tests")
        with pytest.raises(PoolingError):
            run_command(settings.model_copy(update={"database_url": url}), "aggregator", "--once", "fold")
        checks = {
            check["name"]: check
            for check in run_json(settings.model_copy(update={"database_url": url}), "doctor", code=1)
        }
        assert checks["pooling"]["level"] == "fail"

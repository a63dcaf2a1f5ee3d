import os
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest
from redis.exceptions import ResponseError

from fuseboard_cli.command_error import describe_error

NOBODY_LISTENS = "127.0.0.1:1"


def run_command(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process with none of our environment."""
    command = [sys.executable, "-m", "fuseboard_cli", *arguments]
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "message"),
    [
        (["costs"], {}, 1, "there is no data in .fuseboard: start with `fuseboard up`"),
        (["nonsense"], {}, 2, "No such command 'nonsense'"),
        (["costs", "--days", "0"], {}, 2, "'--days'"),
        (["replay", "x.csv", "--mix", "a"], {}, 2, "write each provider once with its share"),
        (["replay", "x.csv"], {}, 1, "x.csv: no such file"),
        (["demo", "x.jsonl"], {}, 1, "the demo replays a trace"),
        (["prices", "set", "a", "b", "--input", "x", "--output", "1", "--source", "s"], {}, 2, "'x' is not an amount"),
        (["prices", "set", "a", "b", "--input", "NaN", "--output", "1", "--source", "s"], {}, 2, "'NaN' is not an"),
        (["prices", "reprice", "--from", "soon"], {}, 2, "'soon' is not a time"),
        (["rejected", "replay"], {}, 2, "give either ids, or --all, or --reason"),
        (["rejected", "list", "--reason", "x"], {}, 2, "'x' is none of not_json"),
        (["aggregator", "--once", "x"], {}, 2, "'x' is none of partitions, fold, reconcile"),
        (["costs"], {"DATABASE_URL": f"postgresql://u:pw@{NOBODY_LISTENS}/d"}, 1, "check DATABASE_URL"),
        (["costs"], {"REDIS_URL": f"redis://{NOBODY_LISTENS}"}, 1, "DATABASE_URL is not set"),
        (["replay", "trace.csv"], {"REDIS_URL": f"redis://{NOBODY_LISTENS}"}, 1, "check REDIS_URL"),
        (["consumer"], {"DATABASE_URL": "postgresql://h/d"}, 1, "REDIS_URL is not set"),
        (["status"], {"FUSEBOARD_NAMESPACE": "a b"}, 1, "FUSEBOARD_NAMESPACE"),
        (["up"], {"FUSEBOARD_FOLD_INTERVAL_SECONDS": "soon"}, 1, "FUSEBOARD_FOLD_INTERVAL_SECONDS"),
    ],
)
def test_what_goes_wrong_is_one_line_on_standard_error(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], code: int, message: str
) -> None:
    (tmp_path / "trace.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2026-05-01 12:00:00,1,2\n")

    done = run_command(tmp_path, *arguments, **variables)

    # a replay says first what it makes up
    line = done.stderr.splitlines()[-1]
    assert done.returncode == code
    assert line.startswith("fuseboard: ")
    assert message in line
    assert "Traceback" not in done.stderr
    assert "pw" not in done.stderr
    assert done.stdout == ""


def test_without_arguments_the_help_is_shown(tmp_path: Path) -> None:
    done = run_command(tmp_path)

    assert done.returncode == 2
    assert "replay" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    "group",
    [[], ["rejected"], ["prices"], ["providers"], ["circuits"], ["circuits", "disable"], ["prices", "set"], ["demo"]],
)
def test_every_command_has_help(tmp_path: Path, group: list[str]) -> None:
    done = run_command(tmp_path, *group, "--help")

    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_a_reader_that_goes_away_is_no_failure_of_ours(tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m fuseboard_cli --help | head -n 1"
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stderr == ""


def test_the_advice_fits_the_error() -> None:
    assert "run `fuseboard migrate`" in describe_error(psycopg.errors.UndefinedTable("no table"))
    assert "took too long" in describe_error(psycopg.errors.QueryCanceled("timeout"))
    assert describe_error(ResponseError("NOPERM")) == "Redis refused: NOPERM"
    assert describe_error(OSError("disk\nfull")) == "disk full"


def test_the_base_install_says_where_the_command_comes_from(tmp_path: Path) -> None:
    code = "import sys; sys.modules['typer'] = None; from fuseboard_cli.main import run; run()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("fuseboard: the base install")
    assert "pip install 'fuseboard[server]'" in done.stderr


def test_the_version_is_shown(tmp_path: Path) -> None:
    assert run_command(tmp_path, "--version").stdout == f"fuseboard {version('fuseboard')}\n"


@pytest.mark.parametrize("arguments", [["-h"], ["prices", "-h"], ["prices", "set", "-h"], ["psql", "-h"]])
def test_help_has_a_short_form(tmp_path: Path, arguments: list[str]) -> None:
    done = run_command(tmp_path, *arguments)

    assert done.returncode == 0
    assert "Usage" in done.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_reason_to_fail(tmp_path: Path, closed: str) -> None:
    command = f"{shlex.quote(sys.executable)} -m fuseboard_cli --version {closed}"
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("target", ["/dev/full", "a pipe that nobody reads"])
def test_output_that_cannot_be_written_is_at_most_one_line(tmp_path: Path, target: str) -> None:
    python = f"{shlex.quote(sys.executable)} -m fuseboard_cli --version"
    command = f"{python} > /dev/full" if target == "/dev/full" else f"({python}; echo code $? >&2) | true"
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 1 or "code 1" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Exception" not in done.stderr

"""Every command, when what it needs is not there or is written wrong: one line that says so, and no password in it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from redis.retry import Retry

from fuseboard_cli.application import app, run_application
from fuseboard_cli.listener import open_listener

NOBODY_LISTENS: Final = "127.0.0.1:1"
# what may be nowhere in what a command says: both halves of every password below
SECRETS: Final = ("Zq7xv", "Kw9tj")
TEXT: Final = "TIMESTAMP,ContextTokens,GeneratedTokens\n2026-05-01 12:00:00,1,2\n"
REASON: Final = ("--reason", "test")

# every command that ends by itself, with arguments that are right
ENDING: Final[dict[str, tuple[str, ...]]] = {
    "migrate": (),
    "replay": ("trace.csv",),
    "status": (),
    "costs": (),
    "reconcile": (),
    "rebuild": ("--time-zone", "UTC"),
    "doctor": (),
    "psql": ("-c", "SELECT 1 FROM llm_requests"),
    "rejected list": (),
    "rejected replay": ("--all",),
    "rejected edit": ("1", "--set", "a=b"),
    "rejected dismiss": ("--all",),
    "prices list": (),
    "prices set": ("claude", "x", "--input", "1", "--output", "1", "--source", "test"),
    "prices withdraw": ("1",),
    "prices reprice": ("--dry-run",),
    "providers list": (),
    "providers enable": ("claude",),
    "providers disable": ("claude",),
    "providers priority": ("claude", "1"),
    "providers aliases": (),
    "providers alias add": ("anthropic", "claude"),
    "providers alias remove": ("anthropic",),
    "providers merge": ("openai", "claude"),
    "providers remove": ("openai",),
    "providers set": ("claude", "--context-tokens", "1"),
    "circuits": (),
    "circuits history": (),
    "circuits settings": ("claude",),
    "circuits force-open": ("claude", *REASON),
    "circuits disable": ("claude", *REASON),
    "circuits clear": ("claude", *REASON),
    "circuits reset": ("claude", *REASON),
    "circuits reset-throttle": ("claude", *REASON),
    "analyst create": ("somebody",),
    "analyst drop": ("somebody",),
    "tags list": (),
    "tags costs": ("team",),
    "tags add": ("project",),
    "tags remove": ("project",),
    "tokens create": ("--scope", "read"),
    "tokens list": (),
    "tokens revoke": ("nobody",),
}
# the others run until they are told to stop
LASTING: Final = ("up", "demo", "consumer", "aggregator", "api")
# these say more than one line
OWN_FORM: Final = ("doctor", "psql", "replay")

HOSTILE_DATABASES: Final = {
    "nobody listens": f"postgresql://fuse:Zq7xvKw9tj@{NOBODY_LISTENS}/d",
    "as SQLAlchemy has it": f"postgresql+psycopg://fuse:Zq7xvKw9tj@{NOBODY_LISTENS}/d",
    "another driver": f"postgresql+asyncpg://fuse:Zq7xvKw9tj@{NOBODY_LISTENS}/d",
    "another database": f"mysql://fuse:Zq7xvKw9tj@{NOBODY_LISTENS}/d",
    "a percent sign": f"postgresql://fuse:Zq7xv%Kw9tj@{NOBODY_LISTENS}/d",
    "a hash": f"postgresql://fuse:Zq7xv#Kw9tj@{NOBODY_LISTENS}/d",
    "an at sign": f"postgresql://fuse:Zq7xv@Kw9tj@{NOBODY_LISTENS}/d",
    "a slash": f"postgresql://fuse:Zq7xv/Kw9tj@{NOBODY_LISTENS}/d",
    "a question mark": f"postgresql://fuse:Zq7xv?Kw9tj@{NOBODY_LISTENS}/d",
    "a colon": f"postgresql://fuse:Zq7xv:Kw9tj@{NOBODY_LISTENS}/d",
    "a blank": f"postgresql://fuse:Zq7xv Kw9tj@{NOBODY_LISTENS}/d",
    "a bracket": f"postgresql://fuse:Zq7xv[Kw9tj@{NOBODY_LISTENS}/d",
    "no scheme": f"fuse:Zq7xvKw9tj@{NOBODY_LISTENS}/d",
    "words": "host=127.0.0.1 port=1 user=fuse password=Zq7xvKw9tj",
    "wrong words": "host=127.0.0.1 port=1 user=fuse password=Zq7xv Kw9tj",
    "a parameter": "postgresql://fuse@127.0.0.1:1/d?password=Zq7xvKw9tj",
    "an unknown parameter": f"postgresql://fuse:Zq7xvKw9tj@{NOBODY_LISTENS}/d?pgbouncer=true",
    "a port in letters": "postgresql://fuse:Zq7xvKw9tj@127.0.0.1:port/d",
    "no host": "postgresql://fuse:Zq7xvKw9tj@no-such-host.invalid/d",
}
HOSTILE_REDIS: Final = {
    "nobody listens": f"redis://:Zq7xvKw9tj@{NOBODY_LISTENS}/0",
    "no scheme": NOBODY_LISTENS,
    "another scheme": f"http://:Zq7xvKw9tj@{NOBODY_LISTENS}/0",
    "a hash": f"redis://:Zq7xv#Kw9tj@{NOBODY_LISTENS}/0",
    "a slash": f"redis://:Zq7xv/Kw9tj@{NOBODY_LISTENS}/0",
    "a question mark": f"redis://:Zq7xv?Kw9tj@{NOBODY_LISTENS}/0",
    "a percent sign": f"redis://:Zq7xv%Kw9tj@{NOBODY_LISTENS}/0",
    "an at sign": f"redis://:Zq7xv@Kw9tj@{NOBODY_LISTENS}/0",
    "a colon": f"redis://user:Zq7xv:Kw9tj@{NOBODY_LISTENS}/0",
    "a bracket": f"redis://:Zq7xv[Kw9tj@{NOBODY_LISTENS}/0",
    "a port in letters": "redis://:Zq7xvKw9tj@127.0.0.1:port/0",
    "a database in letters": f"redis://:Zq7xvKw9tj@{NOBODY_LISTENS}/zero",
    "an unknown option": f"redis://:Zq7xvKw9tj@{NOBODY_LISTENS}/0?foo=Zq7xvKw9tj",
    "a wrong option": f"redis://:Zq7xvKw9tj@{NOBODY_LISTENS}/0?socket_timeout=Zq7xvKw9tj",
    "a parameter": f"redis://{NOBODY_LISTENS}/0?password=Zq7xvKw9tj",
}
# every command reads its URLs in the same place
TRIED_WITH_ALL: Final = ("nobody listens", "a slash", "no scheme")
OTHERWISE_TRIED: Final = ("status", "doctor", "psql", "replay")
GOOD_DATABASE: Final = f"postgresql://fuse@{NOBODY_LISTENS}/d"
GOOD_REDIS: Final = f"redis://{NOBODY_LISTENS}/0"


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a directory with a trace, and with servers that are not there."""
    (tmp_path / "trace.csv").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", GOOD_DATABASE)
    monkeypatch.setenv("REDIS_URL", GOOD_REDIS)
    monkeypatch.setenv("FUSEBOARD_SPOOL_DIR", str(tmp_path / "spool"))
    # how often is not the point here, and it takes long
    monkeypatch.setattr("fuseboard_schema.redis_client.Retry", lambda backoff, _: Retry(backoff, 0))


def list_leaves(command: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401 - Typer keeps its classes to itself
    for name, inner in getattr(command, "commands", {}).items():
        yield from list_leaves(inner, f"{path} {name}".strip())
    if not getattr(command, "commands", {}) or getattr(command, "invoke_without_command", False):
        yield path


def test_no_command_is_forgotten_here() -> None:
    assert set(list_leaves(typer.main.get_command(app))) == {*ENDING, *LASTING}


def run(command: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Run a command in this process as its own process would."""
    monkeypatch.setattr(sys, "argv", ["fuseboard", *command.split(), *ENDING[command]])
    code = run_application()
    said = capfd.readouterr()
    return code, said.out, said.err


def find_faults(command: str, code: int, out: str, err: str) -> list[str]:
    """Find what is wrong with how a command failed."""
    faults = [] if code not in (0, 130) else [f"exit code {code}"]
    faults += [
        f"{word} in its output" for word in (*SECRETS, "Traceback", "fuseboard: unexpected") if word in out + err
    ]
    if command not in OWN_FORM and (out or err.count("\n") != 1 or not err.startswith("fuseboard: ")):
        faults.append("more or less than one line")
    return [f"{command}: {fault}: {err or out}" for fault in faults]


@pytest.mark.parametrize("variable", ["DATABASE_URL", "REDIS_URL"])
def test_a_command_whose_servers_are_not_there_or_named_wrongly_says_so_in_one_line(
    variable: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = []
    for how, url in (HOSTILE_DATABASES if variable == "DATABASE_URL" else HOSTILE_REDIS).items():
        monkeypatch.setenv(variable, url)
        for command in ENDING if how in TRIED_WITH_ALL else OTHERWISE_TRIED:
            faults += [f"{how}: {fault}" for fault in find_faults(command, *run(command, capfd, monkeypatch))]
    assert not faults, "\n".join([f"{len(faults)} faults", *faults])


def test_a_wrong_url_is_named_by_its_variable(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", HOSTILE_REDIS["no scheme"])
    assert "REDIS_URL" in run("status", capfd, monkeypatch)[2]
    monkeypatch.setenv("DATABASE_URL", HOSTILE_DATABASES["no scheme"])
    assert "DATABASE_URL" in run("status", capfd, monkeypatch)[2]


def test_every_command_says_of_a_database_that_is_not_migrated_what_to_do(
    empty_database_url: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    faults = []
    # a replay needs no database
    for command in ENDING.keys() - {"migrate", "replay"}:
        code, out, err = run(command, capfd, monkeypatch)
        faults += find_faults(command, code, out, err)
        if command != "psql" and "fuseboard migrate" not in out + err:
            faults.append(f"{command}: {err}")
    assert not faults, "\n".join(faults)


def start(folder: Path, command: str, database_url: str, redis_url: str) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": database_url, "REDIS_URL": redis_url}
    return subprocess.Popen(
        [sys.executable, "-m", "fuseboard_cli", *command.split()],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_service_ends_at_a_url_that_is_written_wrong(tmp_path: Path) -> None:
    urls = [(HOSTILE_DATABASES["a slash"], GOOD_REDIS), (GOOD_DATABASE, HOSTILE_REDIS["a hash"])]
    for database_url, redis_url in urls:
        # the aggregator needs no Redis
        commands = [name for name in LASTING if database_url != GOOD_DATABASE or name != "aggregator"]
        processes = {name: start(tmp_path, name, database_url, redis_url) for name in commands}
        for name, process in processes.items():
            said, _ = process.communicate(timeout=60)
            line = said.splitlines()[-1]
            assert (process.returncode, line.startswith("fuseboard: "), "_URL" in line) == (1, True, True), said
            assert not any(word in said for word in (*SECRETS, "Traceback")), f"{name}: {said}"


def test_a_service_whose_servers_are_not_there_waits_without_a_traceback_and_ends_at_ctrl_c(tmp_path: Path) -> None:
    urls = (HOSTILE_DATABASES["nobody listens"], HOSTILE_REDIS["nobody listens"])
    with open_listener(None) as listener:
        port = listener.getsockname()[1]
    waiting = {name: start(tmp_path, name, *urls) for name in ("consumer", "aggregator", f"api --port {port}")}
    ending = {name: start(tmp_path, name, *urls) for name in ("up", "demo", "aggregator --once fold")}
    for name, process in ending.items():
        said, _ = process.communicate(timeout=60)
        assert (process.returncode, "check DATABASE_URL" in said.splitlines()[-1]) == (1, True), f"{name}: {said}"
        assert not any(word in said for word in (*SECRETS, "Traceback")), f"{name}: {said}"
    # until each has said that it waits, or in what time it would have done so
    time.sleep(3)
    for name, process in waiting.items():
        assert process.poll() is None, name
        process.send_signal(signal.SIGINT)
    for name, process in waiting.items():
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, f"{name}: {said}"
        assert not any(word in said for word in (*SECRETS, "Traceback")), f"{name}: {said}"

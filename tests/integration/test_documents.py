"""What the documents say is run and compared, so that it stays true."""

import json
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from psycopg import Connection
from psycopg.rows import TupleRow
from redis import Redis

from fuseboard_cli.application import app
from fuseboard_consumer.decode import decode_entries
from fuseboard_consumer.entries import Entry
from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.event import RequestEvent
from fuseboard_schema.settings import Settings
from fuseboard_schema.stream import ENTRY_FIELD, name_event_stream

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
README = (REPOSITORY / "README.md").read_text()
TABLES = (REPOSITORY / "docs" / "tables.md").read_text()
INTERNAL = "Of Fuseboard itself"


def list_blocks(language: str, documents: list[Path] = DOCUMENTS) -> list[Any]:
    return [
        pytest.param(block, id=f"{path.name}-{number}")
        for path in documents
        for number, block in enumerate(re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL))
    ]


@pytest.mark.parametrize("block", list_blocks("sql"))
def test_every_sql_statement_runs(block: str, connection: Connection[TupleRow]) -> None:
    for statement in block.split(";"):
        if statement.strip():
            connection.execute(statement.encode())


# complete as they stand; those of other pages call the reader's own clients
README_BLOCKS = list_blocks("python", [REPOSITORY / "README.md"])


@pytest.mark.parametrize("block", README_BLOCKS)
def test_every_snippet_of_the_readme_records_good_events(
    block: str,
    redis_url: str,
    redis_client: Redis,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("FUSEBOARD_SPOOL_DIR", str(tmp_path))
    # the reader's own namespace is the default one; the test's is apart from others
    named = block.replace("Producer()", f"Producer(namespace={namespace!r})")

    exec(compile(named, "snippet", "exec"), {})  # noqa: S102 - a snippet of ours

    events = read_events(redis_client, namespace)
    # the router's snippet fails once, on purpose
    routed = 2 * named.count("router.call(")
    assert len(events) == named.count("producer.record(") + named.count("producer.request(") + routed
    assert {event.status for event in events} <= ({"error", "success"} if routed else {"success", "timeout"})
    if routed:
        rows = [(event.provider, event.model, event.requested_model, event.original_provider) for event in events]
        assert rows == [
            ("ollama", "llama3.1:8b", None, None),
            ("claude", "claude-sonnet-4-5", "llama3.1:8b", "ollama"),
        ]


def read_events(redis: Redis, namespace: str) -> list[RequestEvent]:
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(name_event_stream(namespace)))
    payloads = [fields[ENTRY_FIELD.encode()] for _, fields in entries]
    return [RequestEvent.model_validate(item) for payload in payloads for item in json.loads(payload)]


@pytest.mark.parametrize("block", list_blocks("python"))
def test_every_snippet_is_python(block: str) -> None:
    compile(block, "snippet", "exec")


def test_the_entry_for_other_languages_is_accepted() -> None:
    (command,) = re.findall(r"^redis-cli .*?'\n?(?=```)", README, re.DOTALL | re.MULTILINE)
    words = shlex.split(command)
    assert words[:6] == ["redis-cli", "-u", "$REDIS_URL", "XADD", "fuseboard:events", "*"]

    decoded = decode_entries([Entry("1-0", words[7].encode())], datetime.now(UTC))

    assert words[6] == ENTRY_FIELD
    assert decoded.rejected == []


def list_command_lines() -> list[Any]:
    lines = [line for block in list_blocks("sh") for line in block.values[0].splitlines()]
    quoted = [text for path in DOCUMENTS for text in re.findall(r"`(fuseboard [a-z][^`]*)`", path.read_text())]
    return sorted({line.partition("#")[0].strip() for line in [*lines, *quoted] if line.startswith("fuseboard ")})


@pytest.mark.parametrize("line", list_command_lines())
def test_every_command_line_is_one_that_the_program_takes(line: str) -> None:
    command: Any = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands
        command = command.commands[words.pop(0)]
    options = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}

    assert {word for word in words if word.startswith("--")} <= options


def test_every_link_leads_somewhere() -> None:
    broken = [
        f"{path.name}: {target}"
        for path in DOCUMENTS
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
        if not target.startswith("http") and not (path.parent / target).exists()
    ]

    assert broken == []


def test_every_decision_is_listed() -> None:
    folder = REPOSITORY / "docs" / "decisions"
    listed = set(re.findall(r"\]\((\d{4}-[^)]+)\)", (folder / "README.md").read_text()))

    assert listed == {path.name for path in folder.glob("0*.md")}


def test_every_test_that_is_named_exists() -> None:
    named = {name for path in DOCUMENTS for name in re.findall(r"`(test_\w+)`", path.read_text())}
    written = {
        name
        for path in (REPOSITORY / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text())
    }

    assert named - written == set()


def test_every_setting_is_in_the_readme() -> None:
    cells = re.findall(r"^\| (`[A-Z_`, ]+) \|", README, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`([A-Z_]+)`", cell)}

    assert named == {field.alias for field in Settings.model_fields.values()}


def test_the_page_of_tables_is_the_database(connection: Connection[TupleRow]) -> None:
    sections = dict(re.findall(r"^## `?([^`\n]+)`?\n(.*?)(?=^## |\Z)", TABLES, re.DOTALL | re.MULTILINE))
    documented = {
        name: {
            column
            for row in re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
            for column in re.findall(r"`(\w+)`", row)
        }
        for name, text in sections.items()
        if name.startswith("llm_")
    }
    documented["llm_costs_current"] = documented["llm_costs_daily"]
    internal = set(re.findall(r"`(\w+)`", sections[INTERNAL]))

    relations = read_relations(connection)

    assert {name: relations[name] for name in documented} == documented
    assert set(relations) - set(documented) == internal


def read_relations(connection: Connection[TupleRow]) -> dict[str, set[str]]:
    """Read the columns of each table and view, without the partitions."""
    rows = connection.execute(
        """
        SELECT relname, array_agg(attname::text)
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'p') AND NOT relispartition
        GROUP BY relname"""
    )
    return {name: set(columns) for name, columns in rows}


def test_the_functions_on_the_page_are_there(connection: Connection[TupleRow]) -> None:
    signatures = re.findall(r"^\| `(\w+)\(([\w, ]+)\)` \|", TABLES, re.MULTILINE)
    rows = connection.execute(
        "SELECT proname, pronargs, proargnames FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    )
    found = {name: names[:count] for name, count, names in rows if names}

    assert {name: found[name] for name, _ in signatures} == {name: names.split(", ") for name, names in signatures}


def test_every_circuit_setting_is_on_its_page_with_its_default() -> None:
    page = (REPOSITORY / "docs" / "circuit.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+|null) \|", page, re.MULTILINE))

    assert {name: json.loads(default) for name, default in rows.items()} == CircuitSettings().model_dump()


@pytest.mark.parametrize(("runner", "file"), [("run_costs.py", "costs.json"), ("run.py", "breaker.json")])
def test_the_runners_of_cases_are_called_as_the_documents_say(runner: str, file: str) -> None:
    lines = {line for path in DOCUMENTS for line in re.findall(r"`(python tests/vectors/[^`]*)`", path.read_text())}
    assert f"python tests/vectors/{runner} FILE" in lines

    done = subprocess.run(
        [sys.executable, f"tests/vectors/{runner}", f"tests/vectors/{file}"],
        cwd=REPOSITORY, capture_output=True, check=False, timeout=120,
    )  # fmt: skip

    assert done.returncode == 0

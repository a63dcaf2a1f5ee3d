import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from fuseboard_cli.application import app

ROOT = Path(__file__).parents[2]
KINDS = (".py", ".js", ".html", ".sql", ".json", ".md")
PLACES = ("api", "cli", "consumer", "producer", "aggregator", "schema", "docs", "deploy", "README.md")
ADVICE = re.compile(r"(?:`|<code>)fuseboard ([a-z][^`<\n]*)(?:`|</code>)")
# what the page's scripts write
SCRIPTED = re.compile(r"[\"`]fuseboard ([^\"`]+)")
# the first word after the commands: an argument, an option or what an f-string puts in
ARGUMENT = re.compile(r"[^a-z]|.*[^a-z-]")


def list_advised() -> Iterator[str]:
    for place in PLACES:
        for path in [ROOT / place, *(ROOT / place).rglob("*")]:
            if path.suffix in KINDS and "decisions" not in path.parts:
                yield from (SCRIPTED if path.suffix == ".js" else ADVICE).findall(path.read_text())


@pytest.mark.parametrize("advised", sorted(set(list_advised())))
def test_a_command_that_anything_advises_exists_with_its_options(advised: str) -> None:
    command: Any = get_command(app)
    words = advised.split()
    while words and hasattr(command, "commands") and not ARGUMENT.match(words[0]):
        command = command.commands.get(words.pop(0))
        assert command is not None

    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.partition("=")[0] for word in words if word.startswith("--") and word != "--"}
    assert used - known - {"--help", "--version"} == set()


def test_there_is_advice_to_look_at() -> None:
    advised = set(list_advised())

    assert {"prices reprice --dry-run", "rejected list", "migrate"} <= advised

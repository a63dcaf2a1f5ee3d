import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import typer
import yaml

from fuseboard_cli.application import app
from monitoring import DEPLOY, find_program

CASES = Path(__file__).with_name("alert_cases.yml")
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]


def test_prometheus_takes_the_alert_rules() -> None:
    done = subprocess.run(
        [find_program("promtool"), "check", "rules", DEPLOY / "alerts.yml"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


def test_each_alert_fires_where_it_must_and_only_there(tmp_path: Path) -> None:
    # the cases name the rules as a file beside them
    for path in (CASES, DEPLOY / "alerts.yml"):
        shutil.copy(path, tmp_path)

    done = subprocess.run(
        [find_program("promtool"), "test", "rules", CASES.name],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    fired = set(re.findall(r'labels: ALERTS\{alertname="(\w+)", alertstate="firing"', CASES.read_text()))

    assert fired == {rule["alert"] for rule in RULES}


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert set(rule["annotations"]) == {"summary", "description", "action"}


def test_every_command_that_an_alert_names_is_one_of_ours() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    named = {
        command
        for rule in RULES
        for text in rule["annotations"].values()
        for command in re.findall(r"`fuseboard ([a-z -]+)", text)
    }

    assert len(named) > 5
    for words in (command.split() for command in named):
        group = commands[words[0]]
        assert len(words) == 1 or words[1].startswith("--") or words[1] in group.commands

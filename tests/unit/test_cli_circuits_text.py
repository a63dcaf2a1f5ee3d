"""How circuits are put into words and tables, and what the doctor makes of them."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console, RenderableType

from fuseboard_api.rows import CircuitHistoryRow
from fuseboard_cli import circuit_checks
from fuseboard_cli.circuit_rows import CircuitRow
from fuseboard_cli.circuit_settings import parse_changes
from fuseboard_cli.circuit_table import (
    describe_next,
    describe_reason,
    list_circuit_lines,
    render_circuits,
    render_history,
)
from fuseboard_cli.provider_offer import check_cleared, check_models, parse_models, parse_weight
from fuseboard_cli.times import parse_duration

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
CLOSED = CircuitRow(
    "ollama", "Ollama", True, "closed", False, NOON - timedelta(days=2), None, None, None, None, None, None, None, None,
    None, 1, 0, None, None, None, 99.5, None, None, None, NOON,
)  # fmt: skip
OPEN = CLOSED._replace(
    state="open", since=NOON - timedelta(seconds=6), reason="failure_rate", window_calls=12, window_bad=7,
    next_probe_at=NOON + timedelta(seconds=24.4), last_error_type="APITimeoutError", success_rate=41.666,
)  # fmt: skip
FORCED = CLOSED._replace(
    provider="claude", state="forced_open", since=NOON - timedelta(minutes=5), reason="forced_open", actor="ada@desk",
    note="old", override="forced_open", override_by="bob@desk", override_reason="bill unpaid",
    override_until=NOON + timedelta(minutes=90), enabled=False,
)  # fmt: skip


def draw(table: RenderableType) -> list[str]:
    console = Console(width=110, markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    return [" ".join(line.replace("│", " ").split()) for line in capture.get().splitlines()]


def test_the_table_of_circuits_says_what_why_since_when_and_what_is_next() -> None:
    lines = draw(render_circuits([OPEN, FORCED, CLOSED._replace(provider="localai", state="disabled")]))

    assert "ollama ✖ open 6 s failure_rate, 7 of 12 failed, probe in 24 s 41.67 %" in lines
    assert "last APITimeoutError" in lines
    assert "claude (not in use) ■ forced open 5 min bob@desk: bill unpaid ends in 90 min 99.50 %" in lines
    assert "localai ○ disabled 2 d - admits all 99.50 %" in lines


def test_no_two_states_have_the_same_symbol() -> None:
    states = ("closed", "open", "half_open", "forced_open", "disabled")
    lines = draw(render_circuits([CLOSED._replace(provider=state, state=state) for state in states]))

    assert len({line.split()[1] for line in lines if line.startswith(states)}) == 5


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "-"),
        ({"state": "closed", "reason": "probes_succeeded"}, "probes_succeeded"),
        ({"reason": "reset", "actor": "ada", "note": "fixed"}, "reset, ada: fixed"),
        ({"state": "open", "reason": "fatal", "window_calls": 3, "window_bad": 3, "last_error_type": "AuthError"},
         "fatal, 3 of 3 failed, last AuthError"),
        ({"state": "open", "reason": "slow_rate", "window_calls": 9, "window_bad": 1, "window_slow": 8},
         "slow_rate, 8 of 9 slow"),
        ({"state": "half_open", "reason": "probe_failed"}, "probe_failed"),
    ],
)  # fmt: skip
def test_the_reason_is_the_word_of_the_database_with_its_evidence(changes: dict[str, Any], text: str) -> None:
    assert describe_reason(CLOSED._replace(**changes)) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, ""),
        ({"state": "half_open"}, "probes now"),
        ({"state": "disabled", "override_until": NOON + timedelta(minutes=5)}, "admits all, ends in 5 min"),
        ({"throttle_until": NOON + timedelta(seconds=9)}, "throttled for 9 s"),
        ({"state": "open", "next_probe_at": NOON + timedelta(seconds=200), "throttle_until": NOON + timedelta(hours=3)},
         "probe in 3 min, throttled for 3 h"),
        ({"override_until": NOON - timedelta(seconds=1)}, "ends in 0 s"),
    ],
)  # fmt: skip
def test_what_comes_next_is_counted_down(changes: dict[str, Any], text: str) -> None:
    assert describe_next(CLOSED._replace(**changes)) == text


def test_a_plain_line_has_the_time_and_shows_no_escape_sequence() -> None:
    plain_open = OPEN._replace(last_error_type=None)
    forced = FORCED._replace(override_reason="\x1b[2J", enabled=True)

    assert list_circuit_lines([plain_open, forced, CLOSED._replace(enabled=False)]) == [
        "2026-05-01 12:00:00 ollama open; since 2026-05-01 11:59:54 UTC; failure_rate, 7 of 12 failed; probe in 24 s",
        r"2026-05-01 12:00:00 claude forced open; since 2026-05-01 11:55:00 UTC; bob@desk: \x1b[2J; ends in 90 min",
        "2026-05-01 12:00:00 ollama closed; since 2026-04-29 12:00:00 UTC; not in use",
    ]


def test_the_table_of_the_history_shows_how_long_each_state_lasted() -> None:
    opened = CircuitHistoryRow("ollama", NOON, "closed", "open", "consecutive", 2, 1, None, None, 5, 5, 0, None, 33.0)
    derived = CircuitHistoryRow("ollama", NOON, "open", "half_open", "open_until_passed", 2, 1, *[None] * 7)

    lines = draw(render_history([derived, opened]))

    assert "2026-05-01 12:00:00 ollama ◐ half-open open_until_passed so far" in lines
    assert "2026-05-01 12:00:00 ollama ✖ open consecutive, 5 of 5 failed 33 s" in lines


def test_symbols_that_a_terminal_lacks_end_no_command(tmp_path: Path) -> None:
    code = "from fuseboard_cli import application as a; a.app.command('x')(lambda: print('→ ■')); a.run_application()"
    environment = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv[1:] = ['x']; {code}"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    assert done.stdout == "? ?\n"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2d", 172_800), ("1d2h3m4s", 93_784)]
)
def test_a_duration_is_written_as_people_write_it(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "0s", "30", "m", "-5m", "1.5h", "5m1h", "99999999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a duration such as 30m"):
        parse_duration(text)


def test_settings_are_changed_by_key_and_value() -> None:
    assert parse_changes(["min_calls=20", "slow_ms=null", "open_mult="]) == {
        "min_calls": 20, "slow_ms": None, "open_mult": ...
    }  # fmt: skip
    for wrong in ("min_calls", "=5", "min_calls=many"):
        with pytest.raises(typer.BadParameter):
            parse_changes([wrong])


def test_a_model_that_is_offered_is_checked_by_key() -> None:
    assert check_models({"a": {"model": "b", "context_tokens": 5, "capabilities": ["tools"]}, "c": {}}) == ""
    assert check_models({"a": {"modl": "b"}}) == "a.modl: Extra inputs are not permitted"
    assert "a.context_tokens" in check_models({"a": {"context_tokens": 0}})
    assert check_models([]).startswith("all: ")
    with pytest.raises(typer.BadParameter, match="is not JSON"):
        parse_models("{")


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "much"])
def test_what_is_no_weight_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_weight(text)


def test_only_what_may_be_unknown_can_be_cleared() -> None:
    assert check_cleared(["models", "weight"]) == ["models", "weight"]
    with pytest.raises(typer.BadParameter, match="'priority' is none of weight, context-tokens, capabilities, models"):
        check_cleared(["priority"])


@pytest.mark.parametrize(("age", "level"), [(None, "warn"), (0.0, "ok"), (9.9, "ok"), (10.1, "warn"), (-3.0, "ok")])
def test_a_sweeper_without_progress_is_noticed(age: float | None, level: str) -> None:
    check = circuit_checks.check_heartbeat(age)

    assert (check.level, bool(check.action)) == (level, level != "ok")


def test_circuits_that_are_not_closed_are_named_where_the_provider_is_in_use() -> None:
    assert circuit_checks.check_circuits([CLOSED]).level == "ok"
    assert circuit_checks.check_circuits([FORCED]).level == "ok"
    check = circuit_checks.check_circuits([OPEN, FORCED._replace(enabled=True)])
    assert (check.level, check.text) == ("warn", "ollama is open, claude is forced open by bob@desk")


def test_settings_that_are_not_obeyed_fail_with_each_wrong_key() -> None:
    good: tuple[str, dict[str, Any], object] = ("a", {"min_calls": 3}, {})
    assert circuit_checks.check_provider_settings([good]).level == "ok"

    check = circuit_checks.check_provider_settings([good, ("b", {"min_cals": 3}, {}), ("c", {}, {"m": 1})])

    assert check.level == "fail"
    assert "circuit_settings of b: min_cals: " in check.text
    assert "models of c: m: " in check.text

import json
import logging
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseboard_cli.command_error import describe_error
from fuseboard_cli.logs import FORMAT, LineFormatter
from fuseboard_cli.output import clean_text, format_exact, format_span, format_usd, make_table, print_json, stdout
from fuseboard_cli.secrets import HIDDEN, mask_url
from fuseboard_cli.up import describe_installation, name_program
from fuseboard_schema.settings import Settings

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=30))
def test_exact_money_loses_no_digit_and_has_no_exponent(amount: Decimal) -> None:
    text = format_exact(amount)

    assert Decimal(text) == amount
    assert "e" not in text.lower()


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "0"), ("0E-12", "0"), ("1E+3", "1000"), ("1.500", "1.5"), ("2.5E-9", "0.0000000025"), ("100", "100")],
)
def test_exact_money_is_plain(amount: str, text: str) -> None:
    assert format_exact(Decimal(amount)) == text


def test_money_for_people_is_rounded_and_grouped() -> None:
    assert format_usd(Decimal("1234567.00005")) == "1,234,567.0000"
    assert format_usd(Decimal("-0.00016"), 4) == "-0.0002"
    assert format_usd(None) == "-"


def test_money_beyond_the_digits_of_a_double_is_formatted_as_well() -> None:
    assert format_usd(Decimal("123456789012345678901234567890.12345")) == "123,456,789,012,345,678,901,234,567,890.1234"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (3.4, "3 s"), (119, "119 s"), (120, "2 min"), (5400, "90 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_a_duration_is_given_in_the_largest_unit_of_which_there_are_two(seconds: float, text: str) -> None:
    assert format_span(seconds) == text


def test_what_a_terminal_would_obey_is_shown() -> None:
    assert clean_text("\x1b[31mred\nline\u202e") == r"\x1b[31mred\nline\u202e"
    assert clean_text("qwen2.5:14b [bold]größe") == "qwen2.5:14b [bold]größe"


def test_a_table_shows_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    stdout().print(make_table("t", ("model", "n #"), [("[red]x[/red]", 1)]))

    assert "[red]x[/red]" in capsys.readouterr().out


def test_json_has_money_as_text_counts_as_integers_and_times_in_iso_8601(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(
        {"cost_usd": Decimal("0.10"), "tokens": Decimal(5), "at": NOON, "rate": 97.5, "none": None, "list": [{}]}
    )

    assert json.loads(capsys.readouterr().out) == {
        "cost_usd": "0.1",
        "tokens": 5,
        "at": "2026-05-01T12:00:00+00:00",
        "rate": 97.5,
        "none": None,
        "list": [{}],
    }


def test_a_log_record_is_one_line_in_utc() -> None:
    record = logging.LogRecord("some.logger", logging.INFO, "f.py", 1, "event key=%s", ("a\nb",), None)
    record.created = NOON.timestamp() + 0.25

    assert LineFormatter(FORMAT).format(record) == "2026-05-01T12:00:00.250Z INFO some.logger event key=a\\nb"


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://:secret@host:6379/0", "redis://:***@host:6379/0"),
        ("postgresql://user:p%40ss@host/db", "postgresql://user:***@host/db"),
        ("postgresql://host/db?password=secret&sslmode=require", "postgresql://host/db?password=***&sslmode=require"),
        ("unix:///data/valkey.sock?db=0", "unix:///data/valkey.sock?db=0"),
    ],
)
def test_a_password_is_not_shown(url: str, masked: str) -> None:
    assert mask_url(url) == masked


def test_up_says_how_to_reach_the_embedded_servers() -> None:
    urls = {"DATABASE_URL": "postgresql://postgres@/postgres?host=%2Fd&port=5432", "REDIS_URL": "unix:///d/v.sock?db=0"}
    text = describe_installation(Settings.model_validate(urls), is_embedded=True)

    assert "export DATABASE_URL='postgresql://postgres@/postgres?host=%2Fd&port=5432'" in text
    assert 'Producer("unix:///d/v.sock?db=0")' in text


@pytest.mark.parametrize(
    ("started_as", "found", "named"),
    [
        (".venv/bin/fuseboard", False, ".venv/bin/fuseboard"),
        (".venv/bin/fuseboard", True, "fuseboard"),
        ("/a b/fuseboard", False, "'/a b/fuseboard'"),
        ("/lib/fuseboard_cli/__main__.py", False, "fuseboard"),
    ],
)
def test_up_names_the_program_as_the_shell_finds_it(
    started_as: str, found: bool, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if found:
        (tmp_path / "fuseboard").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert name_program(started_as) == named


def test_up_shows_no_password_of_own_servers() -> None:
    urls = {
        "DATABASE_URL": "postgresql://u:secret@h/d",
        "REDIS_URL": "redis://:secret@h",
        "FUSEBOARD_NAMESPACE": "mine",
    }
    text = describe_installation(Settings.model_validate(urls), is_embedded=False)

    assert "secret" not in text
    assert 'Producer(namespace="mine")' in text


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://fuse:Zq7xv@Kw9tj@127.0.0.1/d", "no host 'Kw9tj@127.0.0.1', no Zq7xv"),
        ("redis://:Zq7xv#Kw9tj@127.0.0.1/0", "port 'Zq7xv' is no number, Kw9tj"),
        ("fuse:Zq7xv%20Kw9tj@127.0.0.1/d", 'missing "=" after "fuse:Zq7xv Kw9tj@127.0.0.1/d"'),
        ("host=h password='Zq7xv Kw9tj' user=u", 'missing "=" after "Kw9tj\'", Zq7xv'),
        ("postgresql://h/d?sslpassword=Zq7xvKw9tj&x=y", "Zq7xvKw9tj"),
    ],
)
def test_no_message_has_a_part_of_a_password(url: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    record = logging.LogRecord("x", logging.INFO, "f.py", 1, "error=%s", (said,), None)

    for text in (describe_error(ValueError(said)), LineFormatter(FORMAT).format(record), mask_url(url)):
        assert HIDDEN in text
        assert "Zq7xv" not in text
        assert "Kw9tj" not in text

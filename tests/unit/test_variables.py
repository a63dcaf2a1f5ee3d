"""Environment variables that begin like Fuseboard's: the known ones, and what looks like one."""

import logging
import re
from pathlib import Path

import pytest

from fuseboard_schema import variables
from fuseboard_schema.settings import Settings, SettingsError, read_settings
from fuseboard_schema.variables import KNOWN, find_unknown_variables

REPOSITORY = Path(__file__).parents[2]


def list_mentioned() -> set[str]:
    """List the variables that any file of the repository speaks of, tests aside."""
    patterns = (
        "*/fuseboard_*/**/*.py",
        "*/fuseboard_*/**/*.sql",
        "docs/**/*.md",
        "*.md",
        "*.yml",
        "deploy/**/*",
        "scripts/*",
    )
    files = {path for pattern in patterns for path in REPOSITORY.glob(pattern) if path.is_file()}
    texts = (path.read_text(errors="replace") for path in files)
    return {found for text in texts for found in re.findall(r"\bFUSEBOARD_[A-Z0-9_]+[A-Z0-9]\b", text)}


def test_every_variable_that_code_or_documents_speak_of_is_known() -> None:
    assert find_unknown_variables(dict.fromkeys(list_mentioned(), "")) == {}
    assert {str(field.alias) for field in Settings.model_fields.values()} - KNOWN == {"DATABASE_URL", "REDIS_URL"}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("FUSEBOARD_NAMSPACE", "FUSEBOARD_NAMESPACE"),
        ("FUSEBOARD_RAW_RETENTION", "FUSEBOARD_RAW_RETENTION_DAYS"),
        ("FUSEBOARD_FOLD_INTERVAL", "FUSEBOARD_FOLD_INTERVAL_SECONDS"),
        ("FUSEBOARD_LOGLEVEL", "FUSEBOARD_LOG_LEVEL"),
        ("FUSEBOARD_X", None),
    ],
)
def test_a_typo_is_found_with_the_nearest_name(name: str, nearest: str | None) -> None:
    assert find_unknown_variables({name: "1", "FUSEBOARD_NAMESPACE": "x", "PATH": "/bin"}) == {name: nearest}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FUSEBOARD_SERVICE_HOST", "10.0.0.1"),
        ("FUSEBOARD_API_SERVICE_PORT_HTTP", "8420"),
        ("FUSEBOARD_PORT", "tcp://10.0.0.1:8420"),
        ("FUSEBOARD_PORT_8420_TCP_ADDR", "10.0.0.1"),
        ("FUSEBOARD_TEST_DATABASE_URL", ""),
    ],
)
def test_what_kubernetes_and_the_tests_set_is_no_typo(name: str, value: str) -> None:
    assert find_unknown_variables({name: value}) == {}


def test_an_unknown_variable_is_warned_of_once_in_a_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(variables, "_told", set())
    monkeypatch.setenv("FUSEBOARD_NAMSPACE", "prod")
    with caplog.at_level(logging.WARNING):
        read_settings()
        read_settings()

    assert caplog.messages == ["unknown_variable name=FUSEBOARD_NAMSPACE nearest=FUSEBOARD_NAMESPACE effect=none"]


def test_a_wrong_value_names_its_variable_and_does_not_quote_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSEBOARD_RAW_RETENTION_DAYS", "ninety")
    monkeypatch.setenv("FUSEBOARD_LOG_LEVEL", "LOUD")

    with pytest.raises(SettingsError, match=r"FUSEBOARD_RAW_RETENTION_DAYS: .*; FUSEBOARD_LOG_LEVEL: "):
        read_settings()

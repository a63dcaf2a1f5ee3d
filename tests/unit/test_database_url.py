import pytest

from fuseboard_schema.database_url import DatabaseUrlError, normalize_database_url, parse_database_url
from fuseboard_schema.settings import SettingsError, read_settings


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg", "POSTGRESQL"])
def test_sqlalchemys_form_of_a_url_is_understood(scheme: str) -> None:
    url = normalize_database_url(f" {scheme}://fuse:a%40b@db:5433/calls?sslmode=require ")

    assert url == "postgresql://fuse:a%40b@db:5433/calls?sslmode=require"
    assert parse_database_url(url) == {
        "user": "fuse", "password": "a@b", "host": "db", "port": "5433", "dbname": "calls", "sslmode": "require"
    }  # fmt: skip


def test_a_password_with_a_hash_needs_no_encoding() -> None:
    parts = parse_database_url("postgresql://fuse:a#b?c@db/calls")

    assert (parts["password"], parts["host"]) == ("a#b?c", "db")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://fuse:SEC%RET@db/calls",
        "postgresql://fuse:SEC@RET@db/calls",
        "postgresql://fuse:SEC/RET@db/calls",
        "postgresql://fuse:1/RET@db/calls",
        "postgresql://fuse:SEC RET@db/calls",
        "postgresql://fuse:SECRET",
        "postgresql://fuse:SECRET@db:RET/calls",
        "postgresql://fuse:SECRET@db:123456/calls",
        "postgresql://fuse:SECRET@db/calls?SEC=RET",
        "postgresql:/fuse:SECRET@db/calls",
        "mysql://fuse:SECRET@db/calls",
        "fuse:SECRET@db/calls",
        "host=db password=SEC RET dbname=calls",
        "host=db password='SEC'RET' dbname=calls",
    ],
)
def test_no_part_of_a_url_that_cannot_be_used_is_in_the_message(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)

    with pytest.raises(SettingsError, match=r"^DATABASE_URL: .+") as caught:
        read_settings()

    assert "SEC" not in str(caught.value)
    assert "RET" not in str(caught.value)
    assert "\n" not in str(caught.value)
    # nor in what a traceback would show
    assert "SEC" not in repr(caught.value.__cause__)
    assert "RET" not in f"{caught.value.__cause__}"


def test_a_parameter_that_libpq_does_not_know_is_named() -> None:
    with pytest.raises(DatabaseUrlError, match="no parameter ssl: leave it out"):
        parse_database_url("postgresql://fuse:secret@db/calls?ssl=require")


def test_a_direct_url_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("FUSEBOARD_DIRECT_DATABASE_URL", "postgresql://db/calls")

    with pytest.raises(SettingsError, match=r"^FUSEBOARD_DIRECT_DATABASE_URL is set without DATABASE_URL"):
        read_settings()

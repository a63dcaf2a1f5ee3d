import pytest

from fuseboard_schema.database import make_connection_arguments


def test_what_the_url_says_comes_before_our_own() -> None:
    url = (
        "postgresql://db/calls?connect_timeout=30&application_name=mine&keepalives_idle=60&options=-csearch_path%3Dfuse"
    )

    arguments = make_connection_arguments(url, application_name="fuseboard")

    assert arguments["connect_timeout"] == "30"
    assert arguments["application_name"] == "mine"
    assert arguments["keepalives_idle"] == "60"
    assert arguments["options"] == "-csearch_path=fuse"


def test_libpqs_variables_come_before_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "30")
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "any")

    arguments = make_connection_arguments("postgresql://db1,db2/calls", application_name="fuseboard")

    # PGOPTIONS and PGAPPNAME are libpq's to read, where nothing stands against them
    assert not {"connect_timeout", "target_session_attrs", "options", "application_name"} & set(arguments)


def test_of_several_servers_the_one_that_takes_writes_is_looked_for() -> None:
    several = make_connection_arguments("postgresql://db1,db2/calls", application_name="fuseboard")
    one = make_connection_arguments("postgresql://db1/calls", application_name="fuseboard")

    assert several["target_session_attrs"] == "read-write"
    assert "target_session_attrs" not in one

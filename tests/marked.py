"""Finding every process that descends from a test's, whatever it is called."""

from pathlib import Path
from typing import Final

MARK_VARIABLE: Final = "FUSEBOARD_TEST_MARK"


def count_marked(mark: str, folder: Path | None = None) -> int:
    """Count what `list_marked` lists."""
    return len(list_marked(mark, folder))


def list_marked(mark: str, folder: Path | None = None) -> list[str]:
    """List the command lines of the living processes that have the mark in their environment; Linux only.

    Those that work inside `folder` are listed as well: PostgreSQL writes its titles over its environment.
    """
    found = (_read_command(path, mark, folder) for path in Path("/proc").glob("[0-9]*"))
    return [command for command in found if command]


def _read_command(process: Path, mark: str, folder: Path | None) -> str:
    """Read the command line of a marked process; empty when it is not marked, has ended, or is somebody else's."""
    try:
        is_marked = f"{MARK_VARIABLE}={mark}".encode() in (process / "environ").read_bytes().split(b"\0")
        works_inside = folder is not None and (process / "cwd").readlink().is_relative_to(folder.resolve())
        return (process / "cmdline").read_bytes().decode(errors="replace") if is_marked or works_inside else ""
    except OSError:
        return ""

"""The files beside the servers' data: locks, addresses, sockets, logs."""

import fcntl
import json
import os
import stat
import tempfile
import time
from pathlib import Path
from typing import IO, Final, NamedTuple

from fuseboard_cli.embedded_error import EmbeddedError

POSTGRES_PORT: Final = 5432
# AF_UNIX paths end at 104 bytes on macOS, at 108 on Linux
SOCKET_PATH_MAX_BYTES: Final = 100
LOG_MAX_BYTES: Final = 4_000_000
# libpq reads a comma as the end of a host, redis-py the others as separators in what CLIENT INFO says of a connection
MISREAD_IN_SOCKET_PATHS: Final = (b",", b" ", b"\t", b"\n", b"=")


class Addresses(NamedTuple):
    """What the keeper says of its servers once both answer."""

    database_url: str
    redis_url: str
    keeper_pid: int
    postgres_pid: int
    valkey_pid: int


def read_addresses(root: Path) -> Addresses | None:
    """Read what the keeper wrote; None while the servers are not ready."""
    try:
        return Addresses(**json.loads((root / "servers.json").read_bytes()))
    except FileNotFoundError:
        return None


def write_addresses(root: Path, addresses: Addresses) -> None:
    """Write the addresses, whole or not at all."""
    unfinished = root / "servers.json.new"
    unfinished.write_text(json.dumps(addresses._asdict()), encoding="utf-8")
    unfinished.replace(root / "servers.json")


def remove_addresses(root: Path) -> None:
    """Let nobody find servers that are going down."""
    (root / "servers.json").unlink(missing_ok=True)


def open_lock(path: Path) -> IO[str]:
    """Open a lock file, which its owner alone may read."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+", encoding="ascii")


def try_lock(lock: IO[str]) -> bool:
    """Take the lock for this process alone; False when another has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(lock: IO[str], deadline: float) -> bool:
    """Take the lock for this process alone; False when another still has it at `deadline` (monotonic seconds)."""
    while not try_lock(lock):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def make_socket_folder(root: Path) -> Path:
    """Make the folder of the sockets: in `root`, or under the temporary directory where that path will not do.

    Raises EmbeddedError when the folder is not this user's own, because whoever can enter it is superuser.
    """
    folder = root / "run"
    path = os.fsencode(folder / "postgres" / f".s.PGSQL.{POSTGRES_PORT}.lock")
    if len(path) > SOCKET_PATH_MAX_BYTES or any(character in path for character in MISREAD_IN_SOCKET_PATHS):
        return _make_folder_elsewhere(root / "run.path")
    folder.mkdir(mode=0o700, exist_ok=True)
    if not _is_private(folder):
        raise EmbeddedError(f"{folder} must be a directory of mode 0700 owned by this user: remove it and start again")
    return folder


def _make_folder_elsewhere(note: Path) -> Path:
    """Make a folder under a name that nobody could take before, and note which, so that a killed keeper leaves one."""
    if note.exists() and _is_private(noted := Path(os.fsdecode(note.read_bytes()))):
        return noted
    folder = Path(tempfile.mkdtemp(prefix="fuseboard-"))
    note.write_bytes(os.fsencode(folder))
    return folder


def _is_private(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


def check_data_folder(root: Path) -> None:
    """Raise EmbeddedError when another user could put files there, and so say where this user's servers are."""
    status = root.stat()
    if os.geteuid() not in (0, status.st_uid) or status.st_mode & stat.S_IWOTH:
        raise EmbeddedError(
            f"the data directory {root} must be this user's own and not writable by others: "
            "change its owner and mode (0700), or choose another with FUSEBOARD_DATA_DIR"
        )


def open_log(path: Path) -> IO[bytes]:
    """Open a log for appending, after moving a long one aside: two files of bounded size per server start."""
    if path.exists() and path.stat().st_size > LOG_MAX_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def read_log_tail(path: Path, max_bytes: int = 400) -> str:
    """Read the end of a log, for an error message."""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - max_bytes))
        return log.read().decode(errors="replace").strip()

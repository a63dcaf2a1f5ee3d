"""Which user PostgreSQL runs as: it refuses root, and root must neither make a user nor open its directories."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from fuseboard_cli import exec_bound
from fuseboard_cli.embedded_error import EmbeddedError


class Way(NamedTuple):
    """A command prefix, and the user and group its files belong to."""

    prefix: list[str]
    uid: int
    gid: int


def bind_command(stop_signal: signal.Signals, *options: str) -> list[str]:
    """Make the prefix of a command that gets `stop_signal` when this process ends."""
    python = [sys.executable, "-I", "-S", exec_bound.__file__]
    return [*python, *options, str(os.getpid()), str(int(stop_signal))]


def choose_prefix(program: Path, stop_signal: signal.Signals, owned: tuple[Path, ...]) -> list[str]:
    """Choose how to run `program`, hand it the directories `owned`, and return the prefix of its commands.

    Raises EmbeddedError when this is root and every way of leaving root is forbidden.
    """
    if os.geteuid() != 0:
        return bind_command(stop_signal)
    reasons = []
    for make_way in (enter_namespace, drop_user):
        way = make_way(stop_signal)
        reason = _try_way(way, program)
        if reason is None:
            for directory in owned:
                _give(directory, way.uid, way.gid)
            return way.prefix
        reasons.append(f"{make_way.__name__}: {reason}")
    raise EmbeddedError(
        f"PostgreSQL cannot be run by root here ({'; '.join(reasons)}): "
        "run fuseboard as an ordinary user, or set DATABASE_URL"
    )


def enter_namespace(stop_signal: signal.Signals) -> Way:
    """Be nobody in a user namespace in which root's files are nobody's; most containers forbid it."""
    return Way(bind_command(stop_signal, "--as-nobody"), 0, 0)


def drop_user(stop_signal: signal.Signals) -> Way:
    """Be nobody, with root's right to pass through directories closed to others."""
    nobody = pwd.getpwnam("nobody")
    prefix = [
        shutil.which("setpriv") or "setpriv",
        f"--reuid={nobody.pw_uid}",
        f"--regid={nobody.pw_gid}",
        "--clear-groups",
        "--inh-caps=-all,+dac_override",
        "--ambient-caps=-all,+dac_override",
        # else access(2), which initdb asks, forgets the capability
        "--securebits=+no_setuid_fixup",
        f"--pdeathsig={stop_signal.name.removeprefix('SIG')}",
    ]
    return Way(prefix, nobody.pw_uid, nobody.pw_gid)


def _try_way(way: Way, program: Path) -> str | None:
    """Run `program --version` in this way; answer why that failed, or None."""
    command = [*way.prefix, str(program), "--version"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)  # noqa: S603 - our own command
    except subprocess.CalledProcessError as error:
        return (str(error.stderr).strip() or f"exit status {error.returncode}").splitlines()[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None


def _give(directory: Path, uid: int, gid: int) -> None:
    if not directory.exists() or directory.stat().st_uid == uid:
        return
    # bottom up, so that an interrupted run is seen and repeated by the next one
    for folder, _, names in os.walk(directory, topdown=False):
        for name in (*names, ""):
            os.chown(Path(folder) / name, uid, gid, follow_symlinks=False)

"""The commands there are, and how each one may end."""

import os
import sys
from io import TextIOWrapper
from typing import Final

import typer

from fuseboard_cli import analyst, circuits, prices, providers, rejected, tags, tokens
from fuseboard_cli.api import api
from fuseboard_cli.command_error import EXPECTED, describe_error
from fuseboard_cli.costs import costs
from fuseboard_cli.demo import demo
from fuseboard_cli.doctor import doctor
from fuseboard_cli.logs import setup_logging
from fuseboard_cli.reconcile import rebuild, reconcile
from fuseboard_cli.replay import replay
from fuseboard_cli.services import aggregator, consumer, migrate
from fuseboard_cli.status import status
from fuseboard_cli.up import up

INTERRUPTED_CODE: Final = 130

app = typer.Typer(
    name="fuseboard",
    help="The meter and the fuse box of a fleet of LLM workers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (up, demo, migrate, consumer, aggregator, api, replay, status, costs, reconcile, rebuild, doctor):
    app.command()(command)
for group in (rejected.app, prices.app, providers.app, circuits.app, analyst.app, tags.app, tokens.app):
    app.add_typer(group)


def run_application() -> int:
    """Run the command of this process; return the exit code, after one line about what went wrong."""
    for stream in (sys.stdout, sys.stderr):
        # a terminal without these symbols shows a question mark for them
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    setup_logging("WARNING")
    try:
        code = app(standalone_mode=False)
    except typer.TyperException as error:
        # without arguments Typer has printed the help and says nothing more
        return complain(error.format_message(), error.exit_code)
    except typer.Abort:
        return complain("stopped", INTERRUPTED_CODE)
    except BrokenPipeError:
        # the reader of a pipe, such as head, has gone; nothing more may be written at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except EXPECTED as error:
        return complain(describe_error(error), 1)
    return complain("stopped", code) if code == INTERRUPTED_CODE else int(code or 0)


def complain(text: str, code: int) -> int:
    """Say in one line what went wrong, if there is anything to say; return the code."""
    if text:
        sys.stderr.write(f"fuseboard: {text}\n")
    return code

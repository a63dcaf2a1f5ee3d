"""The commands there are, and how each one may end."""

import logging
import os
import sys
from importlib.metadata import version
from io import TextIOWrapper
from typing import Annotated, Final

import typer

from fuseboard_cli import analyst, circuits, prices, providers, rejected, tags, tokens
from fuseboard_cli.api import api
from fuseboard_cli.command_error import EXPECTED, describe_error
from fuseboard_cli.costs import costs
from fuseboard_cli.demo import demo
from fuseboard_cli.doctor import doctor
from fuseboard_cli.logs import setup_logging
from fuseboard_cli.psql import psql
from fuseboard_cli.reconcile import rebuild, reconcile
from fuseboard_cli.replay import replay
from fuseboard_cli.services import aggregator, consumer, migrate
from fuseboard_cli.status import status
from fuseboard_cli.up import up

log = logging.getLogger(__name__)

INTERRUPTED_CODE: Final = 130

app = typer.Typer(
    name="fuseboard",
    help="The meter and the fuse box of a fleet of LLM workers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(is_wanted: bool) -> None:
    """Print the version and end."""
    if is_wanted:
        sys.stdout.write(f"fuseboard {version('fuseboard')}\n")
        raise typer.Exit


@app.callback()
def take_common_options(
    _: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """The meter and the fuse box of a fleet of LLM workers."""


for command in (up, demo, migrate, consumer, aggregator, api, replay, status, costs, reconcile, rebuild, doctor):
    app.command()(command)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(psql)
for group in (rejected.app, prices.app, providers.app, circuits.app, analyst.app, tags.app, tokens.app):
    app.add_typer(group)


def run_application() -> int:
    """Run the command of this process; return the exit code, after one line about what went wrong."""
    for stream in (sys.stdout, sys.stderr):
        # a terminal without these symbols shows a question mark for them
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    setup_logging("DEBUG" if os.environ.get("FUSEBOARD_LOG_LEVEL") == "DEBUG" else "WARNING")
    try:
        code = app(standalone_mode=False)
        # what is buffered would fail at the end of the process, where nobody catches it
        sys.stdout.flush()
    except typer.TyperException as error:
        # without arguments Typer has printed the help and says nothing more
        return complain(error.format_message().replace("Value error, ", ""), error.exit_code)
    except typer.Abort:
        return complain("stopped", INTERRUPTED_CODE)
    except BrokenPipeError:
        # the reader of a pipe, such as head, has gone
        discard_output()
        return 1
    except EXPECTED as error:
        discard_output()
        return complain(describe_error(error), 1)
    except Exception as error:
        discard_output()
        # with FUSEBOARD_LOG_LEVEL=DEBUG, for whoever reports it
        log.debug("unexpected_error", exc_info=True)
        return complain(f"unexpected {type(error).__name__}: {describe_error(error)}", 1)
    return complain("stopped", code) if code == INTERRUPTED_CODE else int(code or 0)


def discard_output() -> None:
    """Let nothing more be written to standard output, at the end of the process either, where it cannot be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(text: str, code: int) -> int:
    """Say in one line what went wrong, if there is anything to say; return the code."""
    if text:
        sys.stderr.write(f"fuseboard: {text}\n")
    return code

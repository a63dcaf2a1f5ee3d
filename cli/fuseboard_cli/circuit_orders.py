"""What operators order of a circuit, by the functions of the database."""

import getpass
import os
import socket
from datetime import datetime, timedelta
from typing import Annotated

import typer
from psycopg import errors

from fuseboard_api.order_store import CircuitOrder, Ordered, OrderName, give_order
from fuseboard_cli.circuit_table import name_state
from fuseboard_cli.command_error import CommandError
from fuseboard_cli.output import clean_text, format_span, format_time, remark, say
from fuseboard_cli.publication import tell_workers, use_registry
from fuseboard_cli.times import parse_duration, parse_instant

Name = Annotated[str, typer.Argument(help="The provider's name.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why, for whoever asks later.", show_default=False)]
Actor = Annotated[str | None, typer.Option(help="Who orders it.", show_default="user@host")]
Lasting = Annotated[
    timedelta | None,
    typer.Option("--for", parser=parse_duration, metavar="DURATION", help="End it after this, such as 30m."),
]
Until = Annotated[datetime | None, typer.Option(parser=parse_instant, metavar="TIME", help="End it then.")]


def force_open(name: Name, reason: Reason, lasting: Lasting = None, until: Until = None, actor: Actor = None) -> None:
    """Let no call through to a provider, until it is cleared or the time is over."""
    done = _order("force_circuit_open", _make_override(name, actor, reason, lasting, until))
    say(f"{_describe(done)}: no worker calls it {_describe_end(name, lasting, until)}")


def disable(name: Name, reason: Reason, lasting: Lasting = None, until: Until = None, actor: Actor = None) -> None:
    """Disable the circuit, NOT the provider: admit everything, never trip. See also `fuseboard providers disable`."""
    done = _order("disable_circuit", _make_override(name, actor, reason, lasting, until))
    say(f"{_describe(done)}: every call is admitted and it never trips {_describe_end(name, lasting, until)}")
    remark(f"to keep workers from using the provider it would be `fuseboard providers disable {clean_text(name)}`")


def clear(name: Name, reason: Reason, actor: Actor = None) -> None:
    """Go back to what the circuit was before it was forced open or disabled."""
    done = _order("clear_circuit_override", _make_order(name, actor, reason))
    say(_describe(done))
    if done.from_state not in ("forced_open", "disabled"):
        remark("it was neither forced open nor disabled; its window is empty now")


def reset(name: Name, reason: Reason, actor: Actor = None) -> None:
    """Close a circuit as if it were new, whatever it was; a throttle stays."""
    say(f"{_describe(_order('reset_circuit', _make_order(name, actor, reason)))}: as if new")


def reset_throttle(name: Name, reason: Reason, actor: Actor = None) -> None:
    """Forget that a provider asked to be left alone, such as when its quota was raised."""
    say(f"{_describe(_order('reset_circuit_throttle', _make_order(name, actor, reason)))}: its throttle is forgotten")


def name_actor() -> str:
    """Name who runs this process, as user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # a container's user need not have a name
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _make_override(
    name: str, actor: str | None, reason: str, lasting: timedelta | None, until: datetime | None
) -> CircuitOrder:
    if lasting is not None and until is not None:
        raise typer.BadParameter("give either --for or --until")
    return _make_order(name, actor, reason)._replace(lasting=lasting, until=until)


def _make_order(name: str, actor: str | None, reason: str) -> CircuitOrder:
    return CircuitOrder(name, name_actor() if actor is None else actor, reason)


def _order(name: OrderName, order: CircuitOrder) -> Ordered:
    with use_registry() as (settings, connection):
        try:
            done = give_order(connection, name, order)
        except errors.InvalidParameterValue as error:
            raise CommandError(error.diag.message_primary or str(error)) from error
        tell_workers(settings, connection, [order.provider])
    return done


def _describe(done: Ordered) -> str:
    return f"{clean_text(done.provider)} was {name_state(done.from_state)} and is {name_state(done.to_state)}"


def _describe_end(name: str, lasting: timedelta | None, until: datetime | None) -> str:
    if lasting is not None:
        return f"for {format_span(lasting.total_seconds())}"
    if until is not None:
        return f"until {format_time(until)} UTC"
    return f"until `fuseboard circuits clear {clean_text(name)}`"

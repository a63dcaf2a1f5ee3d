"""`fuseboard rejected`: events that were refused, and what can become of them."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fuseboard_api.metrics_store import select_rejected
from fuseboard_cli.command_error import CommandError
from fuseboard_cli.output import clean_text, format_time, make_table, print_json, remark, say, show
from fuseboard_cli.rejected_edit import edit_in_editor, read_edited, set_fields
from fuseboard_cli.rejected_replay import (
    HOPELESS,
    Replayed,
    Replayer,
    decode_again,
    find_rejected_events,
    require_known,
)
from fuseboard_cli.rejected_store import (
    REASONS,
    Refusal,
    RejectedEvent,
    Scope,
    dismiss_rejected,
    select_rejected_events,
    select_rejected_to_replay,
    set_edited_text,
)
from fuseboard_cli.servers import open_database, use_database, use_servers

app = typer.Typer(name="rejected", help="Events that were refused, raw and with the reason.", no_args_is_help=True)

SHOWN_CHARACTERS: Final = 120
SHOWN_REFUSALS: Final = 20


def check_reason(reason: str | None) -> str | None:
    """Check the option's value."""
    if reason is not None and reason not in REASONS:
        raise typer.BadParameter(f"{reason!r} is none of {', '.join(REASONS)}")
    return reason


Ids = Annotated[list[int] | None, typer.Argument(help="Ids, as `rejected list` shows them.")]
Reason = Annotated[
    str | None, typer.Option(callback=check_reason, help=f"Only those refused as one of: {', '.join(REASONS)}.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def make_scope(ids: list[int] | None, reason: str | None, *, every: bool) -> Scope:
    """Make the scope of a command out of its arguments, exactly one of which must be given."""
    if sum((bool(ids), every, reason is not None)) != 1:
        raise typer.BadParameter("give either ids, or --all, or --reason")
    return Scope(ids or (), reason)


@app.command("list")
def list_rejected(
    *,
    reason: Reason = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    show_all: Annotated[bool, typer.Option("--all", help="Also those that were replayed or dismissed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the raw text.")] = False,
) -> None:
    """List refused events, the newest first."""
    with use_database() as connection:
        found = select_rejected_events(connection, reason=reason, limit=limit, show_all=show_all)
    if as_json:
        print_json([event._asdict() for event in found])
        return
    show(
        make_table(
            "Rejected events",
            ("id #", "received (UTC) !", "reason, what is wrong, and the event"),
            (line for event in found for line in list_lines(event, show_state=show_all)),
        )
    )


def list_lines(event: RejectedEvent, *, show_state: bool) -> list[list[object]]:
    """List the lines that the table has of an event, so that 80 columns will do."""
    state = f"{event.state}, " if show_state else ""
    times = f" ({event.refusals} times)" if event.refusals > 1 else ""
    reason = f"{state}{event.reason}{times}: {event.detail[:SHOWN_CHARACTERS]}"
    received_at = format_time(event.received_at)
    return [[event.rejected_id, received_at, reason], ["", "", event.text[:SHOWN_CHARACTERS]]]


@app.command()
def replay(
    ids: Ids = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All open ones that could be stored now.")] = False,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Store refused events after all, such as after an upgrade that understands them or `rejected edit`."""
    scope = make_scope(ids, reason, every=every)._replace(unwanted_reasons=HOPELESS if every else ())
    with use_servers(needs_redis=False) as settings, open_database(settings) as connection:
        replayer = Replayer(settings, connection)
        done, skipped = Replayed([], []), dict[int, str]()
        try:
            for page in find_rejected_events(connection, scope):
                skipped |= {event.rejected_id: event.obstacle for event in page if event.obstacle}
                part = replayer.replay([event for event in page if not event.obstacle])
                done.stored.extend(part.stored)
                done.refused.extend(part.refused)
        finally:
            replayer.close()
        hopeless = {reason: count for reason, count in select_rejected(connection).items() if reason in HOPELESS}
    if as_json:
        print_json(make_document(done, skipped))
    else:
        tell_replayed(done, skipped)
        for hopeless_reason, count in hopeless.items() if every else ():
            remark(f"{count:,} left out: `fuseboard rejected dismiss --reason {hopeless_reason}` closes them")
    if ids and (done.refused or skipped):
        raise typer.Exit(1)


def make_document(done: Replayed, skipped: dict[int, str]) -> dict[str, Any]:
    """Make the JSON form of a replay."""
    again = [{"rejected_id": number, "reason": f"{reason}: {detail}"} for number, reason, detail in done.refused]
    return {
        "replayed": done.stored,
        "refused": again + [{"rejected_id": number, "reason": obstacle} for number, obstacle in skipped.items()],
    }


def tell_replayed(done: Replayed, skipped: dict[int, str]) -> None:
    """Say what became of a replay, and what can be done about the rest."""
    say(f"{len(done.stored):,} stored, {len(done.refused):,} refused again, {len(skipped):,} not tried")
    for refusal in done.refused[:SHOWN_REFUSALS]:
        remark(f"{refusal.rejected_id} refused again: {describe_refusal(refusal)}")
    for rejected_id, obstacle in list(skipped.items())[:SHOWN_REFUSALS]:
        remark(f"{rejected_id} not tried: {obstacle}")
    if len(done.refused) > SHOWN_REFUSALS or len(skipped) > SHOWN_REFUSALS:
        remark("and more: `fuseboard rejected list`")
    if done.refused or skipped:
        remark("mend one with `fuseboard rejected edit ID`, or close it with `fuseboard rejected dismiss ID`")


def describe_refusal(refusal: Refusal) -> str:
    """Say why an event was refused, in one line."""
    return clean_text(f"{refusal.reason}: {refusal.detail}"[:SHOWN_CHARACTERS])


@app.command()
def edit(
    rejected_id: Annotated[int, typer.Argument(help="Its id, as `rejected list` shows it.")],
    *,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Set a field, tags.KEY a tag; repeatable.")
    ] = None,
    unset: Annotated[list[str] | None, typer.Option(metavar="FIELD", help="Remove a field; repeatable.")] = None,
    file: Annotated[Path | None, typer.Option(help="Take the text of this file; - is standard input.")] = None,
) -> None:
    """Edit a refused event, in $EDITOR or by options; the raw text is kept beside. Then `rejected replay` stores it."""
    if file is not None and (changes or unset):
        raise typer.BadParameter("give either --file, or --set and --unset")
    with use_database() as connection:
        require_known(connection, [rejected_id])
        [event] = select_rejected_to_replay(connection, Scope([rejected_id]))
        if event.replayed_at is not None:
            raise CommandError(f"{rejected_id} {event.obstacle}")
        if file is not None:
            text = read_edited(file)
        elif changes or unset:
            text = set_fields(event, changes or [], unset or [])
        else:
            text = edit_in_editor(event.text)
        if text == event.text:
            say(f"{rejected_id} is as it was")
            return
        set_edited_text(connection, rejected_id, text)
        refused = decode_again([event._replace(edited_text=text)], connection).rejected
    if not refused:
        say(f"{rejected_id} edited; now `fuseboard rejected replay {rejected_id}`")
        return
    say(f"{rejected_id} edited; it would still be refused: {clean_text(f'{refused[0].reason}: {refused[0].detail}')}")


@app.command()
def dismiss(
    ids: Ids = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Close refused events that nobody will replay: they are not counted as open any more, and expire in their time."""
    scope = make_scope(ids, reason, every=every)
    with use_database() as connection:
        require_known(connection, scope.ids)
        dismissed = dismiss_rejected(connection, scope)
    left = sorted(set(scope.ids) - set(dismissed))
    if as_json:
        print_json({"dismissed": dismissed})
    else:
        say(f"{len(dismissed):,} dismissed")
        for rejected_id in left:
            remark(f"{rejected_id} was not open")

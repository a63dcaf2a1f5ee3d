"""What a run says: a row for each kind of fault, as a table or as JSON."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

from chaos.checker import Verdict
from chaos.harness import Trial

HEADINGS: Final = ("fault", "faults", "events", "lost", "doubled", "median s", "worst s", "aim s")


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of fault. Seconds are None where nothing was tried or it did not recover."""

    name: str
    faults: int
    events: int
    lost: int
    doubled: int
    median_seconds: float | None
    worst_seconds: float | None
    aim_seconds: float | None


def make_lines(trials: Sequence[Trial], event_times: Sequence[float], verdict: Verdict) -> list[Line]:
    """Make a line for each kind, in order of name, and one of all together.

    An event belongs to the fault in whose time it was made: until the end of the trial, and the rest to the last one.
    """
    ends = [trial.ended_at for trial in trials]

    def count(times: Iterable[float], name: str) -> int:
        owners = (sum(at > end for end in ends[:-1]) for at in times)
        return sum(trials[owner].fault.name == name for owner in owners)

    lines = []
    for name in sorted({trial.fault.name for trial in trials}):
        own = [trial for trial in trials if trial.fault.name == name]
        seconds = [trial.recovery_seconds for trial in own]
        known = [each for each in seconds if each is not None]
        lines.append(
            Line(
                name,
                len(own),
                count(event_times, name),
                count((entry.at for entry in verdict.lost), name),
                count((entry.at for entry in verdict.doubled), name),
                median(known) if known else None,
                max(known) if len(known) == len(seconds) else None,
                own[0].fault.aim_seconds,
            )
        )
    return lines


def make_sum(lines: Sequence[Line], trials: Sequence[Trial]) -> Line:
    """Make the line of all faults together."""
    known = [trial.recovery_seconds for trial in trials if trial.recovery_seconds is not None]
    return Line(
        "all",
        sum(line.faults for line in lines),
        sum(line.events for line in lines),
        sum(line.lost for line in lines),
        sum(line.doubled for line in lines),
        median(known) if known else None,
        max(known) if known and len(known) == len(trials) else None,
        None,
    )


def format_table(lines: Sequence[Line]) -> str:
    """Format lines as a table of Markdown, which terminals show as well."""
    rows = [HEADINGS, *(tuple(format_cell(value) for value in asdict(line).values()) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]

    def write(row: Sequence[str]) -> str:
        first, *others = (cell.ljust(width) if not at else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths, strict=True)))  # fmt: skip  # noqa: E501
        return f"| {' | '.join([first, *others])} |"

    rule = "|" + "|".join(f"-{'-' * width}{'-' if not at else ':'}" for at, width in enumerate(widths)) + "|"
    return "\n".join([write(rows[0]), rule, *map(write, rows[1:])])


def format_cell(value: object) -> str:
    """Format one value; what is not known is a dash."""
    match value:
        case None:
            return "-"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.1f}"
        case _:
            return str(value)


def make_document(lines: Sequence[Line], trials: Sequence[Trial], verdict: Verdict, about: dict[str, Any]) -> str:
    """Make the same as a document of JSON, with each trial."""
    return json.dumps(
        {
            **about,
            "stored": verdict.stored,
            "lost": len(verdict.lost),
            "doubled": len(verdict.doubled),
            "lost_by_killed_producers": len(verdict.excused),
            "dropped_and_said_so": verdict.said_dropped,
            "differences": verdict.differences,
            "kinds": [asdict(line) for line in lines],
            "trials": [
                {
                    "fault": trial.fault.name,
                    "victim": trial.wound.victim,
                    "is_in_transaction": trial.wound.is_in_transaction,
                    "recovery_seconds": trial.recovery_seconds,
                    "is_late": trial.is_late,
                }
                for trial in trials
            ],
        },
        indent=2,
    )

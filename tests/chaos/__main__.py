"""The command: `PYTHONPATH=tests python -m chaos --seed 7 --faults 30`."""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from chaos import data_faults, link_faults, machine_faults, process_faults, refusal_faults
from chaos.field import FAULTS
from chaos.fleet import Size
from chaos.harness import Harness, Trial, draw_faults
from chaos.tally import format_table, make_document, make_lines, make_sum
from fuseboard_cli import embedded_binaries

# importing them has filled the table
FAULT_MODULES: Final = (process_faults, link_faults, refusal_faults, data_faults, machine_faults)
LATE_EXIT_CODE: Final = 2


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="chaos", description="Inject faults into real processes, and count.")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="repeats a run")
    parser.add_argument("--faults", type=int, default=10**6, help="so many, and no more")
    parser.add_argument("--minutes", type=float, default=5.0, help="begin no fault after so long (5)")
    parser.add_argument("--kinds", default="", help="names of faults, or parts of them, by comma (all)")
    parser.add_argument("--pairs", type=float, default=0.0, help="share of trials after which two strike at once (0)")
    parser.add_argument("--consumers", type=int, default=Size.consumers)
    parser.add_argument("--aggregators", type=int, default=Size.aggregators)
    parser.add_argument("--producers", type=int, default=Size.producers)
    parser.add_argument("--rate", type=float, default=Size.per_second, help="events a second of each producer (60)")
    parser.add_argument("--brief", action="store_true", help="thaw what is frozen as soon as the others are well")
    parser.add_argument("--system", action="store_true", help="servers of the system, not those from wheels")
    parser.add_argument("--json", action="store_true", help="a document instead of the table")
    parser.add_argument("--strict", action="store_true", help="exit code 2 when a recovery took longer than its aim")
    parser.add_argument("--list", action="store_true", help="name all faults and end")
    return parser.parse_args()


def choose_names(kinds: str) -> list[str]:
    """Choose faults by parts of their names; ends with a message where one fits none."""
    parts = [part.strip() for part in kinds.split(",") if part.strip()]
    unknown = [part for part in parts if not any(part in name for name in FAULTS)]
    if unknown:
        sys.exit(f"--kinds: no fault is named like {', '.join(unknown)}; --list names all")
    return [name for name in sorted(FAULTS) if not parts or any(part in name for part in parts)]


def leave_out(names: list[str], *, has_machine: bool) -> list[str]:
    """Leave out, and say so, what needs a machine of its own where none can be made."""
    left_out = [] if has_machine else [name for name in names if FAULTS[name].needs_machine]
    if left_out:
        say(f"left out, because they need root and `ip netns`: {', '.join(left_out)}")
    return [name for name in names if name not in left_out]


def say(text: str) -> None:
    """Show progress, past what is asked for."""
    print(text, file=sys.stderr, flush=True)


def describe(trial: Trial) -> str:
    """Describe a trial in one line."""
    took = "not recovered" if trial.recovery_seconds is None else f"{trial.recovery_seconds:.1f} s"
    marks = " (in a transaction)" if trial.wound.is_in_transaction else ""
    late = f"  LATE, aim {trial.fault.aim_seconds:.0f} s" if trial.is_late else ""
    return f"{trial.fault.name}: {trial.wound.victim}{marks}  {took}{late}"


def run_trials(harness: Harness, names: list[str], arguments: argparse.Namespace) -> list[Trial]:
    """Try faults until there were enough or the time is up."""
    trials: list[Trial] = []
    harness.is_brief = arguments.brief
    ends_at = time.monotonic() + arguments.minutes * 60
    names = leave_out(names, has_machine=harness.field.machine is not None)
    for fault in draw_faults(names, arguments.seed, arguments.pairs):
        if len(trials) >= arguments.faults or time.monotonic() > ends_at:
            break
        trial = harness.try_fault(fault)
        if trial is None:
            say(f"      {fault.name}: could not be injected")
            continue
        trials.append(trial)
        say(f"{len(trials):4}  {describe(trials[-1])}")
        for difference in trials[-1].differences:
            say(f"      DIFFERENCE {difference}")
    return trials


def run_chaos(arguments: argparse.Namespace, folder: Path) -> int:
    """Run, print, and return the exit code."""
    size = Size(arguments.consumers, arguments.aggregators, arguments.producers, arguments.rate)
    say(f"seed {arguments.seed}, files in {folder}")
    names = choose_names(arguments.kinds)
    wants_machine = any(FAULTS[name].needs_machine for name in names)
    with Harness.run(folder, size, arguments.seed, wants_machine=wants_machine) as harness:
        trials = run_trials(harness, names, arguments)
        verdict = harness.finish()
        event_times = harness.list_event_times()
    lines = make_lines(trials, event_times, verdict)
    lines.append(make_sum(lines, trials))
    about: dict[str, Any] = {"seed": arguments.seed, "exits": harness.exits}
    print(make_document(lines, trials, verdict, about) if arguments.json else format_table(lines))
    say(
        f"{verdict.stored:,} stored; within the bound of killed producers {len(verdict.excused)} lost;"
        f" dropped and said so {verdict.said_dropped}"
    )
    problems = [*harness.exits, *(problem for trial in trials for problem in trial.differences), *verdict.differences]
    tell("ended by itself or wrong", problems)
    tell("lost", verdict.lost)
    tell("doubled", verdict.doubled)
    tell("late", [describe(trial) for trial in trials if trial.is_late])
    if problems or not verdict.is_good:
        say(f"repeat it with --seed {arguments.seed}; logs, journals and data are in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return LATE_EXIT_CODE if arguments.strict and any(trial.is_late for trial in trials) else 0


def tell(what: str, found: Sequence[object]) -> None:
    """Show the first of what was found."""
    for each in found[:10]:
        say(f"{what}: {each}")
    if len(found) > 10:
        say(f"{what}: and {len(found) - 10} more")


def main() -> None:
    """Run the command."""
    arguments = read_arguments()
    # ends in good order: namespaces are taken away
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if arguments.system:
        embedded_binaries._find_package = lambda name: []  # noqa: ARG005 - its one argument's name is part of its type
    if arguments.list:
        print("\n".join(f"{name}: {row.strike.__doc__}" for name, row in sorted(FAULTS.items())))
        return
    sys.exit(run_chaos(arguments, Path(tempfile.mkdtemp(prefix="fuseboard-chaos-"))))


if __name__ == "__main__":
    main()

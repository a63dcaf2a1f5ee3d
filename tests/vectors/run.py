"""Runs a file of breaker vectors (format breaker-vectors/1) through the real circuit and the real choice of provider.

    python tests/vectors/run.py FILE

One line per case, then the counts. Exit code 0: every case is right; 1: one is not; 2: FILE is unreadable.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

# what these share with the tests is one folder up
sys.path.append(str(Path(__file__).parents[1]))

from circuit_cases import run_circuit_case
from selection_cases import run_selection_case
from vector_files import Case, read_cases

Wrong = list[tuple[str, object, object]]
SECTIONS: Final[dict[str, Callable[[Case], Wrong]]] = {
    "spec_vectors": run_circuit_case,
    "selection_vectors": run_selection_case,
}


def run_case(section: str, case: Case) -> str:
    """Run one case and return its line."""
    name = case.get("id", "without id")
    try:
        if not any(step.get("expect") for step in case.get("steps", [case])):
            raise ValueError("nothing is expected")  # noqa: TRY301 - told like every other case that cannot be run
        wrong = SECTIONS[section](case)
    except Exception as error:  # noqa: BLE001 - a case that cannot be run is a wrong case, and the others go on
        return f"FAIL {name} could not be run: {type(error).__name__}: {error}".replace("\n", " ")
    told = "; ".join(f"{figure} expected {expected!r} got {got!r}" for figure, expected, got in wrong)
    return f"FAIL {name} {told}" if wrong else f"ok {name}"


def main(arguments: list[str]) -> int:
    """Run the file named; print a line per case and the counts."""
    try:
        (path,) = arguments
        cases = read_cases(path, SECTIONS)
    except (OSError, ValueError, RecursionError) as error:
        print(f"usage: run.py FILE of breaker-vectors/1: {error}", file=sys.stderr)
        return 2
    lines = []
    for section, case in cases:
        lines.append(run_case(section, case))
        print(lines[-1], flush=True)
    failed = sum(line.startswith("FAIL") for line in lines)
    print(f"{len(lines) - failed} passed, {failed} failed")
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

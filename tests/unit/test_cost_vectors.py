import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parents[1] / "vectors"
RUNNER = VECTORS / "run_costs.py"


def run(*arguments: Path | str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, RUNNER, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout.splitlines()


def load_own_cases() -> dict[str, Any]:
    cases: dict[str, Any] = json.loads((VECTORS / "costs.json").read_text())
    return cases


def test_our_own_cases_pass_with_a_line_for_each() -> None:
    sections = load_own_cases()
    names = [case["id"] for cases in sections.values() if isinstance(cases, list) for case in cases]

    code, lines = run(VECTORS / "costs.json")

    assert lines[:-1] == [f"ok {name}" for name in names]
    assert (code, lines[-1]) == (0, f"{len(names)} passed, 0 failed, 0 not run")


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("cost_vectors", {"expected_cost_usd": "0.000000000000000001"}),
    ("cost_vectors", {"expected_cost_usd": "0"}),
    ("cost_vectors", {"price_rows": [{"rates": {"input": "1", "output": "0"}, "windows_utc": "always"}]}),
    ("cost_vectors", {"usage": {"input_tokens": 1, "unheard_of_tokens": 1}}),
    ("normalization_vectors", {"expected": {"input_tokens": 1}}),
    ("normalization_vectors", {"expected": {"reasoning_tokens": 0}}),
    ("normalization_vectors", {"expected": {"unheard_of": 1}}),
    ("normalization_vectors", {"provider_usage": {"tokens": 1}}),
    ("invalid_input_vectors", {"expected": "accept"}),
    ("invalid_input_vectors", {"expected": "flag"}),
    ("invalid_input_vectors", {"expected": "do something"}),
    ("savings_vectors", {"expected_savings": None}),
    ("savings_vectors", {"expected_baseline_cost": "0"}),
    ("savings_vectors", {"expected_colour": "green"}),
]


def test_a_wrong_or_unknown_expectation_fails_and_the_others_still_run(tmp_path: Path) -> None:
    own = load_own_cases()
    cases = [
        (section, {**own[section][0], **change, "id": f"{number}"}) for number, (section, change) in enumerate(WRONG)
    ]
    sections = {name: [case for section, case in cases if section == name] for name in dict(cases)}
    path = tmp_path / "cases.json"
    path.write_text(
        json.dumps({**sections, "savings_vectors": [*sections["savings_vectors"], own["savings_vectors"][0]]})
    )

    code, lines = run(path)

    assert [line.split()[:2] for line in lines[:-2]] == [["FAIL", case["id"]] for _, case in cases]
    assert lines[-2:] == [f"ok {own['savings_vectors'][0]['id']}", f"1 passed, {len(WRONG)} failed, 0 not run"]
    assert code == 1


def test_a_case_that_expects_nothing_is_not_ok(tmp_path: Path) -> None:
    case = load_own_cases()["savings_vectors"][0]
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"savings_vectors": [{k: v for k, v in case.items() if not k.startswith("expected")}]}))

    code, lines = run(path)

    assert (code, lines[0]) == (1, f"FAIL {case['id']} could not be run: ValueError: nothing is expected")


@pytest.mark.parametrize("content", [None, "not json", "[]", '{"cost_vectors": [1]}', '{"other": [{}]}'])
def test_an_unreadable_file_has_an_exit_code_of_its_own(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "cases.json"
    if content is not None:
        path.write_text(content)

    assert run(path)[0] == 2


def test_a_file_must_be_named() -> None:
    assert run()[0] == 2


def test_a_file_without_cases_shows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "cases.json"
    path.write_text('{"cost_vectors": []}')

    assert run(path)[0] == 1

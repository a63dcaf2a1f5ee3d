import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parents[1] / "vectors"
SHARED = Path(__file__).parents[3] / "shared" / "spec" / "cost_vectors.json"


def run(path: Path, server_url: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, VECTORS / "run_costs.py", path],
        env={**os.environ, "FUSEBOARD_TEST_DATABASE_URL": server_url},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return done.returncode, done.stdout.splitlines()


def list_cases(path: Path) -> list[dict[str, Any]]:
    sections = json.loads(path.read_text()).values()
    return [case for cases in sections if isinstance(cases, list) for case in cases]


def test_our_own_cases_about_stored_events_pass(empty_database_url: str) -> None:
    path = VECTORS / "stored.json"

    code, lines = run(path, empty_database_url)

    assert lines[:-1] == [f"ok {case['id']}" for case in list_cases(path)]
    assert code == 0


@pytest.mark.skipif(not SHARED.exists(), reason="the shared specification is not beside this repository")
def test_every_case_of_the_shared_specification_passes(empty_database_url: str) -> None:
    code, lines = run(SHARED, empty_database_url)

    assert lines[:-1] == [f"ok {case['id']}" for case in list_cases(SHARED)]
    assert code == 0


WRONG: list[dict[str, Any]] = [
    {"costs": ["0.1", "0.2"], "expected_sum": "0.30000000000000004"},
    {"costs": [None], "expected": {"unpriced_requests": 0}},
    {"costs": ["0.1"], "expected": {"unheard_of": 1}},
    {"note": "an identical duplicate", "expected": {"rows": 2}},
    {"note": "Europe/Berlin 2026-10-25, dst", "expected": {"hours": 24}},
    {"note": "nothing this runner knows", "expected": "something"},
    {
        "zone": "Asia/Kolkata",
        "events": ["2026-01-31T18:30:00Z"],
        "expected": {"2026-01-31": {"requests": 1}},
    },
]


def test_wrong_expectations_about_stored_events_fail(empty_database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    cases = [{"id": f"case_{number}", **case} for number, case in enumerate(WRONG)]
    path.write_text(json.dumps({"aggregation_vectors": cases}))

    code, lines = run(path, empty_database_url)

    assert [line.split()[:2] for line in lines[:-1]] == [["FAIL", case["id"]] for case in cases]
    assert code == 1

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

VECTORS = Path(__file__).parents[1] / "vectors"
SHARED = Path(__file__).parents[3] / "shared" / "spec" / "breaker_vectors.json"
OWN: dict[str, Any] = json.loads((VECTORS / "breaker.json").read_text())


def run(*arguments: Path | str, redis_url: str = "") -> tuple[int, list[str]]:
    """Run the cases, on a server of their own where none is given."""
    done = subprocess.run(
        [sys.executable, VECTORS / "run.py", *arguments],
        env={**os.environ, "FUSEBOARD_TEST_REDIS_URL": redis_url},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout.splitlines()


def list_names(path: Path) -> list[str]:
    sections = json.loads(path.read_text()).values()
    return [case["id"] for cases in sections if isinstance(cases, list) for case in cases]


def test_our_own_cases_pass_with_a_line_for_each() -> None:
    names = list_names(VECTORS / "breaker.json")

    code, lines = run(VECTORS / "breaker.json")

    assert lines == [*(f"ok {name}" for name in names), f"{len(names)} passed, 0 failed"]
    assert code == 0


@pytest.mark.skipif(not SHARED.exists(), reason="the shared specification is not beside this repository")
def test_the_specifications_cases_pass_and_leave_nothing_behind(redis_client: Redis, redis_url: str) -> None:
    names = list_names(SHARED)

    code, lines = run(SHARED, redis_url=redis_url)

    assert lines == [*(f"ok {name}" for name in names), f"{len(names)} passed, 0 failed"]
    assert code == 0
    assert list(redis_client.scan_iter(match="*{vectors*", count=1000)) == []


def change_expectation(case: dict[str, Any], **expect: object) -> dict[str, Any]:
    if "steps" in case:
        return {**case, "steps": [*case["steps"][:-1], {**case["steps"][-1], "expect": expect}]}
    return {**case, "expect": expect}


WRONG: list[tuple[str, int, dict[str, object]]] = [
    ("spec_vectors", 0, {"state": "closed"}),
    ("spec_vectors", 1, {"throttle_until": 32.001}),
    ("spec_vectors", 1, {"throttle_until": None}),
    ("spec_vectors", 2, {"unheard_of": 1}),
    ("spec_vectors", 4, {"admission": None}),
    ("spec_vectors", 8, {"outcomes": [["closed", 0]]}),
    ("spec_vectors", 8, {"outcomes": [["open", 1]], "version": 1}),
    ("selection_vectors", 0, {"order": ["a"]}),
    ("selection_vectors", 0, {"order": ["b"], "panic": True}),
    ("selection_vectors", 1, {"unheard_of": 1}),
]


def test_a_wrong_or_unknown_expectation_fails_and_the_others_still_run(tmp_path: Path, redis_url: str) -> None:
    cases: dict[str, list[dict[str, Any]]] = {"spec_vectors": [], "selection_vectors": []}
    for number, (section, place, expect) in enumerate(WRONG):
        cases[section].append({**change_expectation(OWN[section][place], **expect), "id": f"{number}"})
    cases["selection_vectors"].append(OWN["selection_vectors"][0])
    (tmp_path / "cases.json").write_text(json.dumps(cases))

    code, lines = run(tmp_path / "cases.json", redis_url=redis_url)

    assert [line.split()[:2] for line in lines[:-1]] == [["FAIL", f"{n}"] for n in range(len(WRONG))] + [
        ["ok", "OWN-21"]
    ]
    assert (code, lines[-1]) == (1, f"1 passed, {len(WRONG)} failed")


@pytest.mark.parametrize("content", ["", "[]", "{", '{"other_vectors": []}', '{"spec_vectors": [1]}'])
def test_a_file_that_cannot_be_read_is_told_apart(tmp_path: Path, content: str) -> None:
    path = tmp_path / "cases.json"
    path.write_text(content)

    assert run(path) == (2, [])


def test_no_file_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    assert run() == (2, [])
    assert run(tmp_path / "missing.json") == (2, [])


def test_a_file_without_cases_proves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "cases.json"
    path.write_text('{"spec_vectors": []}')

    assert run(path)[0] == 1

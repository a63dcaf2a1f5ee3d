"""The short form of `make chaos`: faults in real processes, an independent count, and a judge who can say no."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from redis import Redis

from chaos.checker import Verdict, judge
from chaos.journal import Entry, JournalContent
from chaos.observer import Observer
from consumers import drain_all, make_settings
from events import add_entry, make_event
from fuseboard_schema.database import connect_database

TESTS = Path(__file__).parents[1]
KINDS = "consumer killed,consumer frozen,aggregator frozen,redis killed,postgresql killed,producer killed"


def test_faults_one_after_the_other_lose_nothing_and_double_nothing() -> None:
    options = ["--seed", "9", "--faults", "6", "--brief", "--json", "--kinds", KINDS, "--consumers", "2"]
    run = subprocess.run(
        [sys.executable, "-m", "chaos", *options, "--producers", "2"],
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert (found["lost"], found["doubled"], found["differences"], found["exits"]) == (0, 0, [], [])
    assert len(found["trials"]) == 6
    assert all(trial["recovery_seconds"] is not None for trial in found["trials"]), run.stderr
    assert found["stored"] > 500


def make_entry(event: dict[str, Any]) -> Entry:
    return Entry(event["event_id"], 0.0, "claude", "small", "success", 1000, 100, None, None)


def test_the_judge_finds_what_is_lost_doubled_wrong_or_nobodys(
    database_url: str, redis_url: str, redis_client: Redis, namespace: str
) -> None:
    events = [make_event(model="small") for _ in range(4)]
    entries = [make_entry(event) for event in events]
    add_entry(redis_client, namespace, events[:3])
    drain_all(redis_client, make_settings(database_url, redis_url, namespace))
    observer = Observer(database_url, redis_url)

    def judge_now(*expected: Entry, may_lose: bool = False) -> Verdict:
        journals = {"producer": JournalContent({entry.event_id: entry for entry in expected}, 0)}
        return judge(observer, journals, {"producer": [(0.0, 1.0)]} if may_lose else {})

    assert judge_now(*entries[:3]).is_good
    assert judge_now(*entries).lost == entries[3:]
    excused = judge_now(*entries, may_lose=True)
    assert (excused.is_good, excused.excused) == (True, entries[3:])
    assert "in no journal" in judge_now(*entries[:2]).differences[0]
    with connect_database(database_url, application_name="tests") as connection:
        connection.execute("UPDATE llm_requests SET cost_usd = 1 WHERE event_id = %s", [entries[0].event_id])
        found = judge_now(*entries[:3]).differences
        assert any(entries[0].event_id in text for text in found)
        assert any("compare_days" in text for text in found)
        assert any("compare_hours" in text for text in found)
        connection.execute("UPDATE llm_provider_health SET total_requests = 7 WHERE provider = 'claude'")
        assert any("compare_health" in text for text in judge_now(*entries[:3]).differences)
    observer.close()

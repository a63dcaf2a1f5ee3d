"""An aggregator whose host's clock is set while it runs: a real process, by libfaketime."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aggregators import AggregatorProcess, aggregator
from queries import Database, fetch_value
from stored_usage import make_events, store_events
from waiting import wait_until

LIBRARIES = [*Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")]


def is_folded(connection: Database) -> bool:
    return bool(fetch_value(connection, "SELECT count(*) = 0 FROM llm_usage_deltas"))


def wait_for_jumps(running: AggregatorProcess, jumps: int) -> None:
    wait_until(lambda: running.log.read_text().count("clock_jumped") == jumps)


@pytest.mark.skipif(not LIBRARIES and "CI" not in os.environ, reason="libfaketime is not installed")
def test_folds_go_on_after_the_clock_was_set_back_and_forward(
    database_url: str, connection: Database, tmp_path: Path
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    fake = {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with aggregator(tmp_path, database_url, FUSEBOARD_FOLD_INTERVAL_SECONDS="1", **fake) as running:
        wait_until(lambda: running.logged("job_done job=fold"))
        for jumps, offset in enumerate(("-6h", "+3d", "-1d"), 1):
            clock.write_text(f"{offset}\n")
            wait_for_jumps(running, jumps)
            # two of them: one fold may have been under way
            for _ in range(2):
                store_events(database_url, make_events([datetime.now(UTC)]))
                wait_until(lambda: is_folded(connection))

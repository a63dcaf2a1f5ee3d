"""Real aggregator processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RUN_AGGREGATOR = """
import logging
from fuseboard_aggregator.scheduler import run_aggregator
from fuseboard_schema.settings import read_settings
logging.basicConfig(level="INFO")
run_aggregator(read_settings())
"""


class AggregatorProcess:
    """A real aggregator process, its log in a file."""

    def __init__(self, folder: Path, database_url: str, **variables: str) -> None:
        self.log = folder / f"aggregator-{len(list(folder.glob('aggregator-*')))}.log"
        environment = {**os.environ, "FUSEBOARD_FOLD_INTERVAL_SECONDS": "1", **variables, "DATABASE_URL": database_url}
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RUN_AGGREGATOR], env=environment, stdout=out, stderr=subprocess.STDOUT
            )

    def logged(self, text: str) -> bool:
        """Say whether the process has logged a text."""
        return text in self.log.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=10)


@contextmanager
def aggregator(folder: Path, database_url: str, **variables: str) -> Iterator[AggregatorProcess]:
    """Run an aggregator; one that still lives at the end is killed."""
    running = AggregatorProcess(folder, database_url, **variables)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()

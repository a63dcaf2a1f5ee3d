"""LLM workers for tests: real processes that call providers over HTTP through a Router, led by their test."""

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]
PROGRAM: Final = Path(__file__).with_name("router_work.py")
REPLY_SECONDS: Final = 60.0


class RouterWorker:
    """A worker's process as its test sees it.

    urls: by provider, in the order that holds while nothing is known. timeout_seconds: of one HTTP call.
    uses_asyncio: whether it calls by `acall`. clock_ahead_seconds: how wrong its clock is.
    """

    def __init__(
        self,
        folder: Path,
        worker_id: str,
        redis_url: str,
        namespace: str,
        urls: dict[str, str],
        *,
        timeout_seconds: float = 5.0,
        uses_asyncio: bool = False,
        clock_ahead_seconds: float = 0.0,
    ) -> None:
        self.worker_id = worker_id
        self._ledger = folder / f"{worker_id}.jsonl"
        self._log = folder / f"{worker_id}.log"
        orders = {
            "worker_id": worker_id,
            "redis_url": redis_url,
            "namespace": namespace,
            "urls": urls,
            "timeout_seconds": timeout_seconds,
            "uses_asyncio": uses_asyncio,
            "clock_ahead_seconds": clock_ahead_seconds,
            "ledger": str(self._ledger),
            "spool_dir": str(folder / f"spool-{worker_id}"),
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM), json.dumps(orders)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def ask(self, order: str, **fields: object) -> Json:
        """Give an order and return the answer; fails the test when the worker is gone or says nothing."""
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"order": order, **fields}).encode() + b"\n")
        process.stdin.flush()
        readable, _, _ = select.select([process.stdout], [], [], REPLY_SECONDS)
        assert readable, f"{self.worker_id} does not answer"
        line = process.stdout.readline()
        assert line, self._log.read_text()
        reply: Json = json.loads(line)
        return reply

    def call(self) -> Json:
        """Make one request now; returns its line of the ledger."""
        return self.ask("call")

    def look(self) -> Json:
        """Ask what the worker would do now: choice, candidates, reasons, may_call, and each provider's circuit."""
        return self.ask("look")

    def wait_until_ready(self) -> None:
        """Wait until the worker has read the circuits for the first time."""
        assert self.ask("wait", seconds=30)["is_ready"]

    def set_rate(self, per_second: float) -> None:
        """Make requests by itself from now on, so many a second; 0 is none."""
        self.ask("rate", per_second=per_second)

    def read_ledger(self) -> list[Json]:
        """Read the requests so far, in order of their end."""
        return [json.loads(line) for line in self._ledger.read_text().splitlines()] if self._ledger.exists() else []

    def stop(self) -> int:
        """Send SIGTERM and return the exit code; requests in hand and their events are finished."""
        self.process.terminate()
        return self.process.wait(30)


@contextmanager
def router_workers(
    count: int, folder: Path, redis_url: str, namespace: str, urls: dict[str, str], *, timeout_seconds: float
) -> Iterator[list[RouterWorker]]:
    """Run workers, every other one with asyncio; those that still live at the end are killed."""
    started: list[RouterWorker] = []
    try:
        started.extend(
            RouterWorker(
                folder,
                f"worker-{number}",
                redis_url,
                namespace,
                urls,
                timeout_seconds=timeout_seconds,
                uses_asyncio=number % 2 == 1,
            )
            for number in range(count)
        )
        yield started
    finally:
        for worker in started:
            kill_worker(worker)


def kill_worker(worker: RouterWorker) -> None:
    """End a worker's process for good, in whatever state it is."""
    worker.process.kill()
    worker.process.communicate()

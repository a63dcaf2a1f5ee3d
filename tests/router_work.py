"""The program of a worker in tests: it takes orders as lines of JSON and answers each with one, until SIGTERM.

It calls providers over HTTP through a Router, and writes a line for each of its requests into its ledger.
"""

import asyncio
import http.client
import json
import signal
import sys
import threading
import time
from datetime import datetime, timedelta, tzinfo
from http import HTTPStatus
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

from fake_provider import ADMISSION_HEADER, EPOCH_HEADER, LEASE_HEADER, WORKER_HEADER
from fuseboard_producer import Attempt, NoProviderAvailable, Producer, Router

Json = dict[str, Any]


class ProviderError(Exception):
    """An answer that is no success, with what a client of an LLM carries in its errors."""

    def __init__(self, status_code: int, headers: dict[str, str]) -> None:
        super().__init__(f"the provider answered {status_code}")
        self.status_code = status_code
        self.headers = headers


class Work:
    """The worker: traffic of its own beside what it is ordered to do."""

    def __init__(self, orders: Json) -> None:
        self._orders = orders
        self._urls: dict[str, str] = orders["urls"]
        self._producer = Producer(
            orders["redis_url"],
            namespace=orders["namespace"],
            spool_dir=orders["spool_dir"],
            worker_id=orders["worker_id"],
        )
        self._router = Router(self._producer, providers=tuple(self._urls))
        self._pause_seconds: float | None = None
        self._changed = threading.Event()
        self._stopping = False
        self._ledger_lock = threading.Lock()
        self._traffic = threading.Thread(target=self._make_traffic)

    def __enter__(self) -> Self:
        self._traffic.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._changed.set()
        self._traffic.join()
        self._router.close()
        self._producer.close(10)

    def obey(self, order: Json) -> Json:
        """Do one order; returns the answer."""
        match order["order"]:
            case "call":
                return self._make_request()
            case "look":
                return self._look()
            case "rate":
                rate = float(order["per_second"])
                self._pause_seconds = 1 / rate if rate else None
                self._changed.set()
                return {}
            case "wait":
                return {"is_ready": bool(self._router.wait_until_ready(order["seconds"]))}
            case "flush":
                is_safe = self._producer.flush(20)
                counters = self._producer.counters
                return {"is_safe": is_safe, **{name: getattr(counters, name) for name in counters.__slots__}}
            case unknown:
                raise ValueError(f"order {unknown!r} is not known")

    def _make_traffic(self) -> None:
        while not self._stopping:
            self._changed.wait(self._pause_seconds)
            self._changed.clear()
            if self._pause_seconds is not None and not self._stopping:
                self._make_request()

    def _make_request(self) -> Json:
        """Make one request, keep it in the ledger, and return its line; times are seconds since 1970."""
        attempts: list[Json] = []
        line: Json = {"began_at": time.time(), "served_by": None, "error": None, "attempts": attempts}

        def ask_provider(attempt: Attempt) -> str:
            made = {name: getattr(attempt, name) for name in ("provider", "admission", "epoch", "lease_id")}
            attempts.append(made)
            self._post(attempt)
            return attempt.provider

        async def ask_in_thread(attempt: Attempt) -> str:
            return await asyncio.to_thread(ask_provider, attempt)

        try:
            if self._orders["uses_asyncio"]:
                line["served_by"] = asyncio.run(self._router.acall(None, dict.fromkeys(self._urls, ask_in_thread)))
            else:
                line["served_by"] = self._router.call(None, dict.fromkeys(self._urls, ask_provider))
        except NoProviderAvailable as error:
            line |= {"error": type(error).__name__, "retry_after_seconds": error.retry_after_seconds}
        except Exception as error:  # noqa: BLE001 - the ledger tells the test
            line["error"] = type(error).__name__
        line["ended_at"] = time.time()
        with self._ledger_lock, Path(self._orders["ledger"]).open("a") as ledger:
            ledger.write(json.dumps(line) + "\n")
        return line

    def _post(self, attempt: Attempt) -> None:
        """Call the provider, with what the fleet knows of the call in its headers."""
        url = urlsplit(self._urls[attempt.provider])
        headers = {
            WORKER_HEADER: self._orders["worker_id"],
            ADMISSION_HEADER: attempt.admission,
            EPOCH_HEADER: str(attempt.epoch or ""),
            LEASE_HEADER: attempt.lease_id or "",
        }
        connection = http.client.HTTPConnection(url.netloc, timeout=self._orders["timeout_seconds"])
        try:
            connection.request("POST", url.path, b"{}", headers)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != HTTPStatus.OK:
            raise ProviderError(response.status, dict(response.headers.items()))
        answer = json.loads(body)
        attempt.set_usage(prompt_tokens=answer["prompt_tokens"], completion_tokens=answer["completion_tokens"])

    def _look(self) -> Json:
        # not choose(), which takes the lease of a probe
        plan = self._router.plan()
        candidates = [candidate.provider for candidate in plan.candidates]
        snapshot = self._router.snapshot
        return {
            "choice": candidates[0] if candidates else None,
            "candidates": candidates,
            "reasons": dict(plan.reasons),
            "is_panic": plan.is_panic,
            "may_call": {name: self._router.may_call(name) for name in self._urls},
            "circuits": {
                view.name: {name: getattr(view, name) for name in ("state", "epoch", "revision", "enabled")}
                for view in snapshot.providers
            },
        }


def set_clock_ahead(seconds: float) -> None:
    """Make the clock by which this process dates its events wrong; no part of it uses another one for that."""
    from fuseboard_producer import producer as producer_module  # noqa: PLC0415 - what is changed is its name there

    class WrongClock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(seconds=seconds)

    setattr(producer_module, "datetime", WrongClock)  # noqa: B010 - it exports no such name


def main() -> None:
    """Be a worker until standard input or SIGTERM ends it."""

    def leave(signum: int, frame: FrameType | None) -> NoReturn:
        del signum, frame
        raise SystemExit(0)

    orders: Json = json.loads(sys.argv[1])
    if orders["clock_ahead_seconds"]:
        set_clock_ahead(orders["clock_ahead_seconds"])
    with Work(orders) as work:
        signal.signal(signal.SIGTERM, leave)
        for line in sys.stdin:
            print(json.dumps(work.obey(json.loads(line))), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()

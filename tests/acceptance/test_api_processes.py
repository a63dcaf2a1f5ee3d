"""`fuseboard up` and `fuseboard api` as processes: from the printed link to the end."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from api_tools import bear, make_api_token
from fuseboard_cli.listener import open_listener
from fuseboard_schema.stopping import STOP_WITHIN_SECONDS
from waiting import wait_until

COMMAND = [sys.executable, "-m", "fuseboard_cli"]
LINK = re.compile(r"(http://127\.0\.0\.1:\d+)(/login\?code=\S+)")


def start(folder: Path, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a command, its output in out.log."""
    with (folder / "out.log").open("wb") as log:
        return subprocess.Popen(
            [*COMMAND, *arguments], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )


def answers(url: str) -> bool:
    """Say whether something ready listens."""
    try:
        return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def can_listen(port: int) -> bool:
    """Say whether another process could be at this port."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_the_link_that_up_prints_leads_to_the_board_and_nobody_else_can_be_there(tmp_path: Path) -> None:
    output = tmp_path / "out.log"
    up = start(tmp_path, ["up"], {"FUSEBOARD_SPOOL_DIR": str(tmp_path / "spool")})
    try:
        wait_until(lambda: LINK.search(output.read_text()), 60)
        found = LINK.search(output.read_text())
        assert found
        url, path = found.groups()
        # not one that another user's server could be given before ours answers
        assert answers(url)
        with httpx.Client(base_url=url, trust_env=False, follow_redirects=True) as browser:
            page = browser.get(path)
            assert (page.status_code, page.url.path) == (200, "/")
            assert page.headers["content-type"].startswith("text/html")
            event: dict[str, Any] = {"provider": "claude", "model": "claude-sonnet-4-5", "prompt_tokens": 1000}
            own = {"Origin": url, "X-Fuseboard-CSRF": "1"}
            sent = browser.post("/api/llm/record", json={**event, "completion_tokens": 100}, headers=own)
            assert sent.status_code == 202
            wait_until(lambda: browser.get("/api/llm/costs").json()["total_cost_usd"] == 0.0045, 60)
        [api] = re.findall(r"process_started name=api pid=(\d+)", output.read_text())
        os.kill(int(api), signal.SIGKILL)
        port = int(url.rpartition(":")[2])
        wait_until(lambda: can_listen(port) or output.read_text().count("process_started name=api") == 2, 60)
        assert not can_listen(port)
        # without a wait: what knocks in between is answered by the next one
        assert httpx.get(f"{url}/healthz", timeout=60, trust_env=False).status_code == 200
        up.send_signal(signal.SIGINT)

        assert up.wait(60) == 0
        assert not answers(url)
    finally:
        up.kill()
        up.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_api_ends_in_time_although_somebody_looks_on(
    number: signal.Signals,
    database_url: str,
    redis_url: str,
    namespace: str,
    connection: Connection[TupleRow],
    tmp_path: Path,
) -> None:
    with open_listener(None) as listener:
        port = listener.getsockname()[1]
    variables = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "FUSEBOARD_NAMESPACE": namespace}
    environment = {**os.environ, **variables, "FUSEBOARD_SPOOL_DIR": str(tmp_path / "spool")}
    api = start(tmp_path, ["api", "--port", str(port)], environment)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(url), 60)
        headers = bear(make_api_token(connection, "read"))
        with httpx.stream("GET", f"{url}/api/llm/events", headers=headers, trust_env=False) as stream:
            assert next(stream.iter_lines()).startswith("retry:")
            api.send_signal(number)

            # the backstop and what a loaded machine adds
            assert api.wait(STOP_WITHIN_SECONDS + 10) == 0
    finally:
        api.kill()
        api.wait()
    assert "Traceback" not in (tmp_path / "out.log").read_text()


def test_an_api_whose_port_is_taken_says_so(database_url: str, redis_url: str, namespace: str, tmp_path: Path) -> None:
    variables = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "FUSEBOARD_NAMESPACE": namespace}
    api = start(tmp_path, ["api", "--host", "192.0.2.1"], {**os.environ, **variables})

    assert api.wait(60) == 1
    assert "cannot listen at 192.0.2.1:8420" in (tmp_path / "out.log").read_text()
